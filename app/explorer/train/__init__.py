"""Training from the explorer: the process, its plan and its progress."""
