"""Recordings, exports and saved pictures."""
