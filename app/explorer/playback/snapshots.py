"""Taking snapshots, going back to them and comparing with them. No GUI and no torch here."""

from __future__ import annotations

from dataclasses import replace

from app.document.history import History
from app.document.scene import Compare, Scene
from app.document.snapshots import added, marked, with_mark
from app.explorer.playback.controller import PlaybackController
from app.explorer.rendering.controller import RenderController


class SnapshotController:
    """What actions and the Snapshots panel do. Belongs to the UI thread."""

    def __init__(self, history: History, playback: PlaybackController, rendering: RenderController) -> None:
        self._history = history
        self._playback = playback
        self._rendering = rendering

    @property
    def can_compare(self) -> bool:
        """Whether there is a snapshot B."""
        return marked(self._history.scene, "B") is not None

    @property
    def can_toggle(self) -> bool:
        """Whether there are snapshots A and B."""
        return self.can_compare and marked(self._history.scene, "A") is not None

    def take(self) -> None:
        """Add a snapshot of the picture. The first two are marked A and B: most are taken for comparing."""
        request = self._rendering.wanted

        def edit(scene: Scene) -> Scene:
            scene = added(scene, request)
            for mark in ("A", "B"):
                if marked(scene, mark) is None and not scene.snapshots[-1].mark:
                    scene = with_mark(scene, len(scene.snapshots) - 1, mark)
            return scene

        self._history.step("snapshot", edit)

    def go(self, index: int) -> None:
        """Morph to a snapshot in the scene's morph time."""
        scene = self._history.scene
        if 0 <= index < len(scene.snapshots):
            self._playback.crossfade.morph(scene.morph_seconds, scene.morph_easing)
            self._playback.show_controls()
            request = scene.snapshots[index].request
            self._history.step("go to snapshot", lambda scene: scene.with_request(request))

    def toggle(self) -> None:
        """Cut from A to B, or from anywhere else to A."""
        scene = self._history.scene
        a, b = marked(scene, "A"), marked(scene, "B")
        if a is None or b is None:
            return
        goal = b if self._rendering.wanted == a.request else a
        self._playback.crossfade.morph(0.0, "linear")
        self._playback.show_controls()
        # One step however often it is pressed, and none when it ends where it began.
        self._history.apply("A/B", lambda scene: scene.with_request(goal.request))

    def compare(self, how: Compare) -> None:
        """Show snapshot B beside the picture or over it; the same again ends it."""
        self._history.step("compare", lambda scene: replace(scene, compare="off" if how == scene.compare else how))
