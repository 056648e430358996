"""The error for a mistake in a command, a file or the machine that the person can mend."""

from __future__ import annotations


class UserError(ValueError):
    """Shown as one line, without a traceback; it says what was expected, what came and what to do."""


def reason(error: OSError) -> str:
    """The system's words for an error, without the number and the path that str() puts around them."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        # From making or entering a folder; "file exists" alone would puzzle.
        return "part of the path is a file, not a folder"
    return (error.strerror or str(error) or type(error).__name__).lower()
