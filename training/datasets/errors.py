"""The error for data that cannot be used."""

from __future__ import annotations


class DataError(ValueError):
    """Data that cannot be trained on, or that went away during a run; the message says what was expected, what was
    found and what to do."""
