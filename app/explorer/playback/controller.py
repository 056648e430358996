"""What of a scene is shown now: the playhead, whether timeline or controls lead, and crossfades. No GUI here."""

from __future__ import annotations

from app.document.history import History
from app.explorer.playback.crossfade import Crossfade
from app.explorer.playback.timeline_editor import TimelineEditor
from app.explorer.playback.timeline_follower import TimelineFollower
from app.explorer.playback.transport import Transport
from core.request import RenderRequest


class PlaybackController:
    """Transport, timeline and crossfade of one document. Belongs to the UI thread; `tick` it once a frame."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._loop_seconds = history.scene.loop_seconds
        self.transport = Transport()
        self.follower = TimelineFollower()
        self.crossfade = Crossfade()
        self.timeline = TimelineEditor(history, self.transport, self.follower)

    def tick(self, now: float) -> None:
        """Move the playhead to wall-clock time `now`, in seconds."""
        self.transport.tick(now)
        self._keep_place()

    def follow(self) -> RenderRequest:
        """The request to show in this frame, before any crossfade; stops play at the end of the timeline."""
        wanted = self.follower.follow(self._history.scene, self.transport)
        if self.follower.took_over:
            self.crossfade.cut()
        return wanted

    def faded(self, request: RenderRequest, now: float) -> RenderRequest:
        """`request`, or a request on the way to it while a crossfade or a morph runs."""
        return self.crossfade.follow(request, self._history.scene.crossfade, now, moved=self.follower.moved)

    @property
    def request(self) -> RenderRequest:
        """The request at the playhead once every fade has ended."""
        return self.follower.request(self._history.scene, self.transport.time)

    @property
    def shown_time(self) -> float | None:
        """The playhead in seconds; None while the controls are shown instead of the timeline."""
        scene = self._history.scene
        plays = not scene.has_timeline or self.follower.follows_timeline(scene)
        return self.transport.time if plays else None

    @property
    def moving(self) -> bool:
        """Whether the next frame shows something else by itself."""
        return self.transport.playing or self.crossfade.running

    def stop_at(self, time: float | None) -> None:
        """Pause this scene at `time` in seconds; None shows its controls instead of its timeline."""
        self.transport.playing = False
        self.transport.time = time or 0.0
        self._loop_seconds = self._history.scene.loop_seconds
        self.follower.follow(self._history.scene, self.transport)
        if time is None:
            self.follower.show_controls()
        else:
            self.follower.show_timeline()

    def show_controls(self) -> None:
        """Let the controls be shown exactly: keyframes would hide them, a path would lead away from them."""
        if self._history.scene.keyframes:
            self.transport.playing = False
            self.follower.show_controls()
        else:
            self.transport.rewind()

    def _keep_place(self) -> None:
        """After a change of speed, go on from the same place on the path."""
        scene = self._history.scene
        seconds = scene.loop_seconds
        if seconds != self._loop_seconds:
            if not scene.has_timeline:
                time = self.transport.time % self._loop_seconds if scene.closed else self.transport.time
                self.transport.time = time / self._loop_seconds * seconds
            self._loop_seconds = seconds
