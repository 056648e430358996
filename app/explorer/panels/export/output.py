"""Saving pictures and recording videos."""

from __future__ import annotations

from imgui_bundle import icons_fontawesome_6 as icons
from imgui_bundle import imgui

from app.document.history import History
from app.explorer.actions import by_id
from app.explorer.gui import theme
from app.explorer.gui.widgets import action_button, square_button, tooltip
from app.explorer.session import Session


class OutputPanel:
    """Save, record, output folder."""

    title = "Save"

    def __init__(self, session: Session) -> None:
        self._session = session

    def draw(self, history: History) -> None:
        session = self._session
        square, gap = imgui.get_frame_height(), 6.0
        half = (imgui.get_content_region_avail().x - square - 2 * gap) / 2
        action_button(session, by_id("save"), f"{icons.ICON_FA_IMAGE}  Save picture###save", half)
        imgui.same_line(0, gap)
        recorder = session.export.recording.recorder
        if recorder is None:
            action_button(session, by_id("record"), f"{icons.ICON_FA_CIRCLE}  Record video###record", half)
        else:
            imgui.push_style_color(imgui.Col_.text, theme.colour.red)
            word = "Finishing…" if recorder.stopping else f"Stop  {recorder.seconds:.1f} s"
            action_button(session, by_id("record"), f"{icons.ICON_FA_STOP}  {word}###record", half)
            imgui.pop_style_color()
        imgui.same_line(0, gap)
        if square_button(f"{icons.ICON_FA_FOLDER_OPEN}###folder"):
            session.ui.dialog_request = "output_folder"
        tooltip(f"Pictures and videos go to {session.preferences.settings.output_dir}. Click to choose another folder.")
