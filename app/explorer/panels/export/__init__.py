"""Saving, recording, exporting, and contact sheets."""
