"""Names of exported files."""

from __future__ import annotations

import re

from core.request import RenderRequest


def file_stem(subject: str, request: RenderRequest) -> str:
    """A file name without suffix: at most 48 characters of the subject, and the seed."""
    words = re.sub(r"[^\w]+", "-", subject.lower()).strip("-_")[:48].strip("-_") or "picture"
    return f"{words}-seed{_number(request.seed_x)}" + (f"_{_number(request.seed_y)}" if request.seed_y else "")


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
