"""Exports: renders takes or the scene to videos in the background, one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from imgui_bundle import ImVec2, ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.codecs import CODECS
from app.document.history import History
from app.explorer.export.controller import takes_in
from app.explorer.export.queue import ExportJob, JobState
from app.explorer.gui import theme
from app.explorer.gui.widgets import dim_text, fitted, quiet_button, row_label, tooltip, wide_button, wrapped_text
from app.explorer.session import Session
from app.rendering import SPEEDS, ExportSettings
from app.sources import stem_of
from app.video import SIZE_LIMIT, SMALLEST

LOOK_AGAIN_S = 2.0
PLAY_TITLE = "this scene's play"
LOOP_HELP = "The last second goes over into the first, so that the end meets the beginning."
SCALINGS: dict[bool | None, str] = {None: "as on screen", False: "sharp", True: "smooth"}
STATES: dict[JobState, str] = {
    "waiting": "waiting",
    "running": "starting…",
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}


class ExportsPanel:
    """The source and settings of an export, and the queue."""

    title = "Exports"

    def __init__(self, session: Session, show_in_folder: Callable[[Path], None], clock: Callable[[], float]) -> None:
        self._session = session
        self._show_in_folder = show_in_folder
        self._clock = clock
        self._settings = ExportSettings()
        self._take: Path | None = None
        self._takes: list[Path] = []
        self._looked = -float("inf")

    def draw(self, history: History) -> None:
        now = self._clock()
        if now - self._looked > LOOK_AGAIN_S:
            self._takes = takes_in(Path(self._session.preferences.settings.output_dir))
            self._looked = now
            if self._take not in self._takes:
                self._take = None
        self._source()
        self._format()
        self._scaling()
        settings = self._settings
        if wide_button(f"{icons.ICON_FA_PLUS}  Add to queue###add", accent=True):
            if self._take is not None:
                self._session.export.add_take(self._take, settings)
            else:
                self._session.export.add_scene(settings)
        tooltip(f"Render it behind the window. Interrupted, {CODECS[settings.codec].interrupted}.")
        imgui.separator()
        self._queue()

    def _source(self) -> None:
        help_text = "A take is written beside every recording. It renders again in any size, rate and format."
        row_label("what", help_text)
        imgui.set_next_item_width(-1)
        shown = PLAY_TITLE if self._take is None else stem_of(self._take)
        if imgui.begin_combo("###source", shown):
            if imgui.selectable(f"{PLAY_TITLE}###play", self._take is None)[0]:
                self._take = None
            for index, take in enumerate(self._takes):
                if imgui.selectable(f"{stem_of(take)}###take {index}", take == self._take)[0]:
                    self._take = take
            imgui.end_combo()
        tooltip(help_text)

    def _format(self) -> None:
        settings = self._settings
        row_label("format", "FFV1 and PNG keep every bit; H.264 and VP9 are small; ProRes is for editing.")
        imgui.set_next_item_width(-1)
        if imgui.begin_combo("###codec", CODECS[settings.codec].title):
            for name, codec in CODECS.items():
                if imgui.selectable(f"{codec.title}###{name}", name == settings.codec)[0]:
                    fps = str(min(60, codec.most_fps)) if settings.rate > codec.most_fps else settings.fps
                    self._settings = replace(settings, codec=name, fps=fps)
            imgui.end_combo()
        settings = self._settings
        row_label("size, fps", "The longer side in pixels, and frames a second.")
        width = (imgui.get_content_region_avail().x - 6) / 2
        imgui.set_next_item_width(width)
        changed, size = imgui.drag_int("##size", settings.size, 2.0, SMALLEST, SIZE_LIMIT, "%d px")
        if changed:
            self._settings = settings = replace(settings, size=min(max(size, SMALLEST), SIZE_LIMIT))
        tooltip("The longer side in pixels; drag, or double-click to type.")
        imgui.same_line(0, 6)
        imgui.set_next_item_width(width)
        most = CODECS[settings.codec].most_fps
        changed, rate = imgui.drag_int("##fps", round(settings.rate), 0.2, 1, most, "%d fps")
        if changed:
            self._settings = replace(settings, fps=str(min(max(rate, 1), most)))
        tooltip(f"Frames a second, up to {most} in this format.")

    def _scaling(self) -> None:
        settings = self._settings
        row_label("speed", "2 is twice as fast.")
        imgui.set_next_item_width(-1)
        low, high = SPEEDS
        flags = imgui.SliderFlags_.logarithmic
        changed, speed = imgui.slider_float("##speed", settings.speed, 0.1, 10.0, "%.2f x", flags)
        if changed and speed == speed:
            self._settings = settings = replace(settings, speed=min(max(speed, low), high))
        row_label("enlarge", "How small pictures become large ones: by whole pixels, or smoothly.")
        imgui.set_next_item_width(-1)
        if imgui.begin_combo("###scaling", SCALINGS[settings.smooth]):
            for value, label in SCALINGS.items():
                if imgui.selectable(label, value == settings.smooth)[0]:
                    self._settings = settings = replace(settings, smooth=value)
            imgui.end_combo()
        row_label("loop", LOOP_HELP)
        changed, loop = imgui.checkbox("seamless", settings.loop)
        if changed:
            self._settings = replace(settings, loop=loop)
        tooltip(LOOP_HELP)

    def _queue(self) -> None:
        queue = self._session.export.queue
        if queue.paused:
            wrapped_text("Left from last time:", theme.colour.dim)
            imgui.same_line()
            if imgui.small_button("Go on###go on"):
                queue.go_on()
        if not queue.jobs:
            wrapped_text("Nothing in the queue.", theme.colour.dim)
            return
        imgui.begin_child("##jobs")
        for job in reversed(queue.jobs):
            imgui.push_id(job.id)
            self._job(job)
            imgui.pop_id()
        imgui.end_child()

    def _job(self, job: ExportJob) -> None:
        queue = self._session.export.queue
        buttons = imgui.get_frame_height() * 2 + 10
        right = imgui.get_cursor_pos_x() + imgui.get_content_region_avail().x - buttons
        imgui.align_text_to_frame_padding()
        name = Path(job.out).name
        imgui.text_unformatted(fitted(name, imgui.get_content_region_avail().x - buttons - 8))
        tooltip(f"{job.out}\n{_about(job.settings)}")
        imgui.same_line(right)
        if job.state in ("waiting", "running"):
            if quiet_button(f"{icons.ICON_FA_XMARK}###cancel"):
                queue.cancel(job.id)
            tooltip("Cancel it; what was rendered stays.")
        else:
            if job.state == "done":
                if quiet_button(f"{icons.ICON_FA_FOLDER_OPEN}###folder"):
                    self._show_in_folder(Path(job.out))
                tooltip("Show it in its folder.")
            else:
                if quiet_button(f"{icons.ICON_FA_ROTATE_RIGHT}###retry"):
                    queue.retry(job.id)
                tooltip("Try again.")
            imgui.same_line(right + imgui.get_frame_height() + 4)
            if quiet_button(f"{icons.ICON_FA_TRASH_CAN}###remove"):
                queue.remove(job.id)
            tooltip("Take it off the list; the file stays.")
        if job.state == "running" and job.total:
            share = job.done / job.total
            imgui.push_style_color(imgui.Col_.plot_histogram, theme.colour.accent_dim)
            imgui.progress_bar(share, ImVec2(-1, 0), f"{job.done} of {job.total} frames")
            imgui.pop_style_color()
            return
        colours: dict[JobState, ImVec4] = {"done": theme.colour.green, "failed": theme.colour.red}
        if job.state == "failed":
            wrapped_text(job.message, theme.colour.red)
        else:
            dim_text(STATES[job.state], colours.get(job.state, theme.colour.dim))
            # Several exports of one take have names that differ only where they are cut off.
            imgui.same_line()
            dim_text(f"{job.settings.codec}, {job.settings.size} px, {job.settings.fps} fps", theme.colour.faint)


def _about(settings: ExportSettings) -> str:
    parts = [CODECS[settings.codec].title, f"{settings.size} px", f"{settings.fps} frames a second"]
    if settings.speed != 1.0:
        parts.append(f"{settings.speed:g} x speed")
    if settings.loop:
        parts.append("seamless loop")
    return ", ".join(parts)
