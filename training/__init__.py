"""From pictures and captions to a checkpoint."""
