"""Whether the picture follows the timeline or the controls, where a scene has both. No GUI and no torch here.

Time leads: playing, scrubbing and editing the timeline show what it has there. The hand leads: moving a control while
nothing plays shows the controls, so that a keyframe can be made from what one sees. Tracks without keyframes act on the
controls themselves, so there is nothing to choose.
"""

from __future__ import annotations

from app.document.playback import request_at
from app.document.scene import Scene
from app.explorer.playback.transport import Transport
from core.request import RenderRequest


class TimelineFollower:
    """Watches scene and transport, once a frame. Not part of the document: like the playhead, it is no step to undo."""

    def __init__(self) -> None:
        self._timeline = False
        self._controls: RenderRequest | None = None
        self._time = 0.0
        self._parts: object = None
        self._was_playing = False
        self.moved = False
        """Whether the last change of the picture came from time, not from a control."""
        self.took_over = False
        """Whether keyframes began to lead in the last `follow`."""

    def follows_timeline(self, scene: Scene) -> bool:
        return scene.has_timeline and (self._timeline or not scene.keyframes)

    def request(self, scene: Scene, time: float) -> RenderRequest:
        """The request to show of this scene at `time` seconds."""
        if scene.has_timeline and not self.follows_timeline(scene):
            return scene.request()
        return request_at(scene, time)

    def show_controls(self) -> None:
        """From now on the controls lead, until time moves."""
        self._timeline = False

    def show_timeline(self) -> None:
        """From now on the timeline leads, until a control is moved."""
        self._timeline = True

    def follow(self, scene: Scene, transport: Transport) -> RenderRequest:
        """Once a frame, after the panels and the transport: what to show now. Stops play at an end that is one."""
        self._stop_at_end(scene, transport)
        controls = scene.request()
        parts = (scene.keyframes, scene.tracks, scene.duration, scene.loop)
        by_time = transport.playing or transport.time != self._time or parts != self._parts
        by_hand = controls != self._controls
        led = self._timeline
        if self._controls is not None:
            if by_time:
                self._timeline = True
            elif by_hand:
                self._timeline = False
        follows = self.follows_timeline(scene)
        # Under keyframes controls change nothing; elsewhere a change by hand may fade.
        self.moved = follows and by_time and (bool(scene.keyframes) or not by_hand)
        self.took_over = bool(scene.keyframes) and self._timeline and not led
        self._controls, self._time, self._parts = controls, transport.time, parts
        self._was_playing = transport.playing
        return self.request(scene, transport.time)

    def _stop_at_end(self, scene: Scene, transport: Transport) -> None:
        if not (scene.has_timeline and transport.playing and not scene.loop and transport.time >= scene.duration):
            return
        if self._was_playing:
            transport.playing, transport.time = False, scene.duration
        else:
            transport.rewind()
