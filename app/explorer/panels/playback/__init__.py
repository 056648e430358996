"""The path through the seeds, the timeline and snapshots."""
