"""Play: a closed path, through the seeds or from A to B."""

from __future__ import annotations

import random
from dataclasses import replace

from imgui_bundle import ImVec2, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.controls import control
from app.document.history import History
from app.document.scene import PathShape
from app.explorer.actions import by_id
from app.explorer.gui.widgets import (
    action_button,
    drag_control,
    reset_button,
    reset_width,
    row_label,
    set_field,
    slider_row,
    square_button,
    tooltip,
)
from app.explorer.session import Session

PATH_HELP = (
    "The way play takes: through the seeds, or from A to B. Every path is closed, the end meets the beginning; only a "
    "random walk can go on for ever."
)
PATH_LABELS: dict[PathShape, str] = {
    "circle": "circle",
    "eight": "figure eight",
    "line": "there and back",
    "walk": "random walk",
    "noise": "noise loop",
    "blend": "A to B and back",
    "still": "stand still",
}


class MotionPanel:
    """Play, pause, the path and its speed."""

    title = "Play"

    def __init__(self, session: Session) -> None:
        self._session = session

    def draw(self, history: History) -> None:
        session = self._session
        transport = session.playback.transport
        icon = icons.ICON_FA_PAUSE if transport.playing else icons.ICON_FA_PLAY
        square = imgui.get_frame_height()
        play = by_id("play")
        width = imgui.get_content_region_avail().x - square - 6
        action_button(session, play, f"{icon}  {play.label(session)}###play", width, accent=True)
        imgui.same_line(0, 6)
        rewind = by_id("rewind")
        if square_button(f"{icons.ICON_FA_BACKWARD_STEP}###rewind"):
            rewind.run(session)
        tooltip(f"{rewind.label(session)} ({rewind.shortcut})")

        scene = history.scene
        seconds = scene.round_seconds
        row_label("position", "Where the picture is along the path; drag to scrub.")
        imgui.set_next_item_width(-reset_width() - 4)
        position = transport.time % seconds
        endless = not scene.closed and not scene.has_timeline
        past = transport.time - position if endless else 0.0
        shown = f"{transport.time:.1f} s" if endless else f"%.1f of {seconds:.1f} s"
        changed, position = imgui.slider_float(
            "##position", position, 0.0, seconds, shown, imgui.SliderFlags_.always_clamp
        )
        if changed:
            # A full turn is the start again; inside the loop the slider stays at its right end while it is held.
            transport.time = past + min(position, seconds * (1 - 1e-6))
            session.playback.follower.show_timeline()
        tooltip(
            "Where the picture is along the path; drag to scrub. Not a change of the scene, so undo leaves it alone."
        )

        row_label("path", PATH_HELP)
        imgui.set_next_item_width(-reset_width() - 4)
        if imgui.begin_combo("##path", PATH_LABELS[scene.path]):
            for shape, label in PATH_LABELS.items():
                if imgui.selectable(label, shape == scene.path, 0, ImVec2(0, 0))[0]:
                    set_field(history, "path", "path", shape)
            imgui.end_combo()
        tooltip(PATH_HELP)
        reset_button(history, "path", "path")
        if scene.path in ("walk", "noise"):
            self._seed(history)
        imgui.begin_disabled(scene.path == "blend")
        slider_row(history, control("path_size"))
        imgui.end_disabled()
        slider_row(history, control("loop_seconds"))

    def _seed(self, history: History) -> None:
        """The seed of a random path, and whether it is closed."""
        scene = history.scene
        path_seed = control("path_seed")
        row_label("path seed", path_seed.help)
        loops = scene.path == "walk"
        gap, square = 6.0, imgui.get_frame_height()
        taken = reset_width() + 4 + square + gap
        if loops:
            taken += imgui.calc_text_size("loop").x + square + imgui.get_style().item_inner_spacing.x + gap
        imgui.set_next_item_width(-taken)
        drag_control(history, path_seed, "path seed", 0.1)
        imgui.same_line(0, gap)
        if square_button(f"{icons.ICON_FA_DICE}###another path"):
            another = random.randrange(10_000)
            history.step("another path", lambda scene: replace(scene, path_seed=another))
        tooltip("Another path.")
        if loops:
            imgui.same_line(0, gap)
            toggled, closed = imgui.checkbox("loop", scene.path_loops)
            if toggled:
                history.step("loop", lambda scene: replace(scene, path_loops=closed))
            tooltip("Come back to the start after every round; without it the walk goes on for ever.")
        reset_button(history, "path seed", "path_seed", "path_loops")
