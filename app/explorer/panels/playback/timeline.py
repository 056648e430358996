"""The timeline: playing and editing keyframes and tracks, in seconds or beats."""

from __future__ import annotations

import time
from dataclasses import replace

from imgui_bundle import icons_fontawesome_6 as icons
from imgui_bundle import imgui

from app.document.history import History
from app.document.parts import LONGEST_S
from app.document.playback import beat_seconds, trackable
from app.document.scene import BPM_LIMITS
from app.document.timeline_edits import track_of
from app.explorer.actions import by_id
from app.explorer.gui import theme
from app.explorer.gui.widgets import dim_text, end_of_edit, set_field, square_button, tooltip
from app.explorer.panels.playback.timeline_lanes import Lanes
from app.explorer.session import Session

BARS = (1, 2, 4, 8, 16, 32, 64)
SHORTEST_S = 0.1


class TimelinePanel:
    """A bar of buttons above the ruler and its lanes."""

    title = "Timeline"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lanes = Lanes(session)
        self._stretched = False

    def draw(self, history: History) -> None:
        self._bar(history)
        self._lanes.draw(history)

    def _bar(self, history: History) -> None:
        session, scene = self._session, history.scene
        playing = session.playback.transport.playing
        self._action("play", icons.ICON_FA_PAUSE if playing else icons.ICON_FA_PLAY)
        self._action("rewind", icons.ICON_FA_BACKWARD_STEP)
        imgui.same_line(0, 12)
        self._action("keyframe_previous", icons.ICON_FA_CHEVRON_LEFT)
        self._action("keyframe", icons.ICON_FA_PLUS)
        differs = session.playback.timeline.differs
        if differs:
            imgui.push_style_color(imgui.Col_.text, theme.colour.amber)
        self._action("keyframe_update", icons.ICON_FA_PEN)
        if differs:
            imgui.pop_style_color()
        self._action("keyframe_delete", icons.ICON_FA_TRASH_CAN)
        self._action("keyframe_next", icons.ICON_FA_CHEVRON_RIGHT)
        imgui.same_line(0, 12)
        self._toggle(history, "loop", icons.ICON_FA_REPEAT, scene.loop, "Begin again at the end, without a seam.")
        self._toggle(
            history, "snap", icons.ICON_FA_MAGNET, scene.snap, "Keyframes, points and the playhead keep to the beats."
        )
        imgui.same_line(0, 12)
        self._length(history)
        self._tempo(history)
        self._add_track(history)
        imgui.new_line()

    def _action(self, action_id: str, icon: str) -> None:
        action = by_id(action_id)
        imgui.begin_disabled(not action.enabled(self._session))
        if square_button(f"{icon}###{action_id}"):
            action.run(self._session)
        imgui.end_disabled()
        what = f"{action.label(self._session)} ({action.shortcut})"
        tooltip(f"{what}\n{action.tooltip}" if action.tooltip else what)
        imgui.same_line(0, 3)

    def _toggle(self, history: History, field: str, icon: str, value: bool, help_text: str) -> None:
        if value:
            imgui.push_style_color(imgui.Col_.button, theme.colour.accent_dim)
        if square_button(f"{icon}###{field}"):
            set_field(history, field, field, not value)
        if value:
            imgui.pop_style_color()
        tooltip(f"{field}: {help_text}")
        imgui.same_line(0, 3)

    def _length(self, history: History) -> None:
        scene, editor = history.scene, self._session.playback.timeline
        unit = beat_seconds(scene) if scene.unit == "beats" else 1.0
        imgui.set_next_item_width(imgui.get_font_size() * 5.6)
        shown = "%.4g beats" if scene.unit == "beats" else "%.2f s"
        changed, value = imgui.drag_float("##duration", scene.duration / unit, 0.05, SHORTEST_S, LONGEST_S, shown)
        if changed and value == value:
            editor.set_duration(min(max(value * unit, SHORTEST_S), LONGEST_S), stretched=self._stretched)
        end_of_edit(history)
        tooltip("The timeline's length; double-click to type. What lies after the end is kept but does not play.")
        imgui.same_line(0, 3)
        if square_button(f"{icons.ICON_FA_CARET_DOWN}###length"):
            imgui.open_popup("##lengths")
        tooltip("Length in bars, what the ruler counts, and whether keyframes stretch with the length.")
        if imgui.begin_popup("##lengths"):
            self._lengths(history)
            imgui.end_popup()
        imgui.same_line(0, 3)

    def _lengths(self, history: History) -> None:
        scene, editor = history.scene, self._session.playback.timeline
        bar = scene.beats_per_bar * beat_seconds(scene)
        for bars in BARS:
            label = f"{bars} bar{'s' if bars > 1 else ''}###bars {bars}"
            possible = SHORTEST_S <= bars * bar <= LONGEST_S
            if imgui.menu_item(label, f"{bars * bar:.2f} s", abs(scene.duration - bars * bar) < 1e-6, possible)[0]:
                editor.set_bars(bars, stretched=self._stretched)
        imgui.separator()
        _, self._stretched = imgui.menu_item("Stretch keyframes with the length###stretch", "", self._stretched)
        beats = scene.unit == "beats"
        if imgui.menu_item("Count in beats###beats", "", beats)[0]:
            history.step("time unit", lambda scene: replace(scene, unit="seconds" if beats else "beats"))
        tooltip("The ruler shows bars and beats, and another tempo keeps every keyframe on its beat.")
        imgui.set_next_item_width(imgui.get_font_size() * 6)
        changed, value = imgui.slider_int(
            "beats a bar###beats_per_bar", scene.beats_per_bar, 1, 12, "%d", imgui.SliderFlags_.always_clamp
        )
        if changed:
            history.apply("beats a bar", lambda scene: replace(scene, beats_per_bar=value))
        end_of_edit(history)

    def _tempo(self, history: History) -> None:
        scene, editor = history.scene, self._session.playback.timeline
        imgui.set_next_item_width(imgui.get_font_size() * 5.2)
        changed, value = imgui.drag_float("##bpm", scene.bpm, 0.1, *BPM_LIMITS, "%.1f BPM")
        if changed and value == value:
            editor.set_bpm(value)
        end_of_edit(history)
        tooltip("The tempo in beats a minute; double-click to type.")
        imgui.same_line(0, 3)
        if imgui.button("Tap###tap"):
            editor.tap(time.monotonic())
            history.end_gesture()
        tooltip("Click on the beat, twice or more, to set the tempo.")
        imgui.same_line(0, 12)

    def _add_track(self, history: History) -> None:
        scene = history.scene
        if imgui.button(f"{icons.ICON_FA_PLUS}  Track###track"):
            imgui.open_popup("##controls")
        tooltip("Let one control follow a curve, whatever keyframes and sliders say.")
        if imgui.begin_popup("##controls"):
            dim_text("A track for")
            for control in trackable(scene):
                there = track_of(scene, control.id) is not None
                label = f"{control.label}###track {control.id}"
                if imgui.menu_item(label, f"{control.read(scene):.3g}", there, not there)[0]:
                    self._session.playback.timeline.add_track(control)
                tooltip(control.help)
            imgui.end_popup()
        imgui.same_line(0, 3)
