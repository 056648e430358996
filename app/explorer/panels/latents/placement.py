"""Placement of the content, for models with an input transform."""

from __future__ import annotations

from imgui_bundle import icons_fontawesome_6 as icons

from app.document.controls import control
from app.document.history import History
from app.explorer.actions import by_id
from app.explorer.gui import theme
from app.explorer.gui.widgets import action_button, slider_row, wrapped_text
from app.explorer.session import Session

ROWS = ("input_x", "input_y", "input_turn", "input_scale")


class PlacementPanel:
    """Move, turn, scale."""

    title = "Placement"

    def __init__(self, session: Session) -> None:
        self._session = session

    def draw(self, history: History) -> None:
        info = self._session.models.info
        can = info is None or info.has_transform
        if not can:
            wrapped_text("The pictures of this model cannot be moved: it draws from a fixed input.", theme.colour.dim)
            return
        for name in ROWS:
            slider_row(history, control(name))
        action_button(
            self._session, by_id("reset_placement"), f"{icons.ICON_FA_ARROW_ROTATE_LEFT}  Reset placement###reset all"
        )
        wrapped_text("On the picture: drag with Alt to move, Ctrl to turn, Shift to scale.", theme.colour.faint)
