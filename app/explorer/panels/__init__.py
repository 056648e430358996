"""The panels: each a small class with a title and one `draw(history)`, which edits the document and renders nothing."""

from __future__ import annotations

from typing import Protocol

from app.document.history import History


class Panel(Protocol):
    """One panel; `title` is its name in menus."""

    title: str

    def draw(self, history: History) -> None: ...
