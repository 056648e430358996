"""The log: all messages, newest first."""

from __future__ import annotations

from imgui_bundle import imgui

from app.document.history import History
from app.explorer.gui import theme
from app.explorer.gui.widgets import dim_text, wrapped_text
from app.explorer.session import Session


class LogPanel:
    """Messages; hidden until chosen in the View menu."""

    title = "Log"

    def __init__(self, session: Session) -> None:
        self._session = session

    def draw(self, history: History) -> None:
        if not self._session.messages.lines:
            dim_text("Nothing yet. Saved files and errors are listed here.")
            return
        if imgui.small_button("Copy all"):
            imgui.set_clipboard_text("\n".join(f"{m.clock} {m.level}: {m.text}" for m in self._session.messages.lines))
        for message in reversed(self._session.messages.lines):
            imgui.push_style_color(imgui.Col_.text, theme.colour.faint)
            imgui.text_unformatted(message.clock)
            imgui.pop_style_color()
            imgui.same_line()
            wrapped_text(message.text, theme.colour.red if message.level == "error" else theme.colour.text)
