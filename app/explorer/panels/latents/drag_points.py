"""Drag points: their number, the layers and the region that may change, start and stop."""

from __future__ import annotations

from imgui_bundle import icons_fontawesome_6 as icons
from imgui_bundle import imgui

from app.document.history import History
from app.explorer.actions import by_id
from app.explorer.gui import theme
from app.explorer.gui.widgets import action_button, dim_text, row_label, tooltip, wide_button, wrapped_text
from app.explorer.session import Session
from core.edit.points import STEP_SIZES

HELP = (
    "Press on something in the picture and pull: what is at the red point is to go to the blue one. "
    "Start then looks for the picture in which it is there. Drag with Shift: only that rectangle is to change."
)
LAYERS_HELP = (
    "How many of the model's layers may change, the first ones: few move things and leave the surface alone, many "
    "follow more closely and change more."
)
STEP_HELP = "How far each step goes. Large ones are fast and may lose the point or spoil the picture."
POINTS_HELP = (
    "A right click on a point of the picture takes it away, and so it does the rectangle. Outside the rectangle the "
    "picture stays as it is, as far as the model can."
)


class DragPointsPanel:
    """Points, layers, step size, Start and Stop."""

    title = "Drag points"

    def __init__(self, session: Session) -> None:
        self._session = session

    def draw(self, history: History) -> None:
        session, drag = self._session, self._session.drag
        if not session.vectors.store.is_open:
            dim_text("Points are dragged in a model's pictures; none is open yet.")
            return
        mode = by_id("drag_points")
        imgui.begin_disabled(not mode.enabled(session))
        if imgui.checkbox("put points on the picture###mode", drag.on)[0]:
            mode.run(session)
        imgui.end_disabled()
        tooltip(f"{mode.tooltip} ({mode.shortcut})")
        wrapped_text(
            HELP if drag.on else "Switch this on to put points; off, the mouse walks as usual.", theme.colour.dim
        )
        imgui.begin_disabled(drag.running)
        self._settings(session.models.info.num_ws)
        self._points()
        imgui.end_disabled()
        action = by_id("drag_run")
        running = drag.running
        icon, word = (icons.ICON_FA_STOP, "Stop") if running else (icons.ICON_FA_PLAY, "Start")
        action_button(session, action, f"{icon}  {word}###run", accent=not running)
        if drag.status_text:
            wrapped_text(drag.status_text, theme.colour.dim)

    def _settings(self, num_ws: int) -> None:
        drag = self._session.drag
        row_label("layers", LAYERS_HELP)
        imgui.set_next_item_width(-1)
        flags = imgui.SliderFlags_.always_clamp
        shown = f"the first %d of {num_ws}"
        changed, styles = imgui.slider_int("##styles", min(drag.styles, num_ws), 1, num_ws, shown, flags)
        if changed:
            drag.styles = min(max(styles, 1), num_ws)
        tooltip(LAYERS_HELP)
        row_label("step", STEP_HELP)
        imgui.set_next_item_width(-1)
        changed, step = imgui.slider_float(
            "##step", drag.step_size, *STEP_SIZES, "%.3f", flags | imgui.SliderFlags_.logarithmic
        )
        if changed and step == step:
            drag.step_size = min(max(step, STEP_SIZES[0]), STEP_SIZES[1])
        tooltip(STEP_HELP)

    def _points(self) -> None:
        drag = self._session.drag
        count = len(drag.points)
        row_label("points", POINTS_HELP)
        text = f"{count}" if count else "none yet"
        imgui.text_unformatted(text + (" within a rectangle" if drag.region is not None else ""))
        tooltip(POINTS_HELP)
        imgui.begin_disabled(not count and drag.region is None)
        if wide_button(f"{icons.ICON_FA_ERASER}  Clear###clear"):
            drag.clear()
        imgui.end_disabled()
        tooltip("Take all points and the rectangle away. The picture stays.")
