"""The training monitor: reads the folders of runs, shows them, and leaves commands for them. It needs no torch."""
