"""Frozen networks that look at pictures and texts."""
