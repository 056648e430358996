"""A training run: its folder, configuration file, lock, saved states, snapshots and loop."""
