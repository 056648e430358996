"""The status bar: model, device and speed."""

from __future__ import annotations

from imgui_bundle import imgui

from app.document.active_edits import active_edits
from app.explorer.gui import theme
from app.explorer.gui.widgets import fitted, tooltip
from app.explorer.session import Session
from app.explorer.ui_state import ShowPanel


def draw_status(session: Session) -> None:
    """The model on the left, its speed on the right."""
    info = session.models.info
    if info is None:
        text = session.models.loading_text if session.rendering.thread.loading is not None else "no model"
        imgui.text_colored(theme.colour.dim, text)
        _following(session, imgui.get_window_width())
        return
    imgui.text_colored(
        theme.colour.dim, f"{info.name}  ·  {info.size[1]} × {info.size[0]}  ·  {info.precision} on {info.device}"
    )
    tooltip(
        f"{info.path}\n{info.parameters / 1e6:.1f} million parameters, {info.images_seen:,} pictures seen in training"
    )
    for text, panel in active_edits(session.history.scene):
        imgui.same_line()
        imgui.text_colored(theme.colour.accent, f"·  {text}")
        if imgui.is_item_hovered():
            imgui.set_mouse_cursor(imgui.MouseCursor_.hand)
        if imgui.is_item_clicked():
            session.ui.request(ShowPanel(panel, True))
        tooltip(f"This acts on the picture. Click for the panel {panel}.")
    frame = session.rendering.frame
    if frame is None:
        _following(session, imgui.get_window_width())
        return
    rate = session.rendering.latency.frames_per_second
    took = f"{frame.render_ms:.1f} ms" if frame.render_ms < 1000 else f"{frame.render_ms / 1000:.1f} s"
    text = f"{took} a frame  ·  " + (f"{rate:.0f} frames/s" if rate else "still")
    at = imgui.get_window_width() - imgui.calc_text_size(text).x - 24
    _following(session, at)
    imgui.same_line(at)
    imgui.text_colored(theme.colour.dim, text)
    tooltip("The time the model took for this picture, and how many new pictures came in the last second.")


def _following(session: Session, right: float) -> None:
    """The run being followed, as far as there is room."""
    if session.run_follower.text:
        imgui.same_line()
        room = right - imgui.get_cursor_pos_x() - imgui.get_font_size()
        imgui.text_colored(theme.colour.dim, fitted(f"·  {session.run_follower.text}", room))
        tooltip(f"{session.run_follower.run}\nEach new snapshot is shown by itself; File > Follow the run ends that.")
