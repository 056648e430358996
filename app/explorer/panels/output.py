"""Keep it: pictures, videos, and where they go."""

from __future__ import annotations

from pathlib import Path

from imgui_bundle import icons_fontawesome_6 as icons
from imgui_bundle import imgui

from app.explorer import theme
from app.explorer.actions import by_id
from app.explorer.history import History
from app.explorer.session import Session
from app.explorer.widgets import action_button, dim_text, square_button, tooltip


class OutputPanel:
    """Save, record, output folder."""

    title = "Save"

    def __init__(self, session: Session) -> None:
        self._session = session

    def draw(self, history: History) -> None:
        session = self._session
        half = (imgui.get_content_region_avail().x - 6) / 2
        action_button(session, by_id("save"), f"{icons.ICON_FA_IMAGE}  Save picture###save", half)
        imgui.same_line(0, 6)
        recorder = session.recorder
        if recorder is None:
            action_button(session, by_id("record"), f"{icons.ICON_FA_CIRCLE}  Record video###record", half)
        else:
            imgui.push_style_color(imgui.Col_.text, theme.colour.red)
            word = "Finishing…" if recorder.stopping else f"Stop  {recorder.seconds:.1f} s"
            action_button(session, by_id("record"), f"{icons.ICON_FA_STOP}  {word}###record", half)
            imgui.pop_style_color()
        square = imgui.get_frame_height()
        folder = session.settings.output_dir
        imgui.align_text_to_frame_padding()
        width = imgui.get_content_region_avail().x - square - 6
        dim_text(_shortened(folder, width))
        tooltip(f"Pictures and videos go to {folder}")
        imgui.same_line(imgui.get_style().window_padding.x + width + 6)
        if square_button(f"{icons.ICON_FA_FOLDER_OPEN}###folder"):
            session.dialog_wish = "output_folder"
        tooltip("Choose another folder for pictures and videos.")


def _shortened(path: str, width: float) -> str:
    """A path with "~" for the home folder, cut at its beginning to fit `width` pixels."""
    home = str(Path.home())
    if path.startswith(home) and len(home) > 1:
        path = "~" + path[len(home) :]
    if imgui.calc_text_size(path).x <= width:
        return path
    while path and imgui.calc_text_size("…" + path).x > width:
        path = path[1:]
    return "…" + path
