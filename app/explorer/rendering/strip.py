"""A sweep as a strip: the picture glides from prompt to prompt and back to the first. No GUI and no torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.document.parts import SceneKeyframe
from app.document.scene import Scene
from app.rendering import ExportSettings
from core.request import RenderRequest
from core.timeline import EasingName, timeline_through

FPS = 30
EASING: EasingName = "smoother"
SECONDS_A_PROMPT = 1.5
SIDE = 512
"""In a video, small pictures are enlarged by a whole number to about so many pixels."""


def with_strip(scene: Scene, requests: Sequence[RenderRequest]) -> Scene:
    """The scene with the strip as its timeline, in the place of the keyframes it had: through all pictures at an even
    pace, and from the last to the first again.
    """
    strip = timeline_through(requests, seconds=SECONDS_A_PROMPT * len(requests), loop=True, easing=EASING)
    # A scene that loops closes by itself: the first picture at the end would be there twice.
    stops = strip.keyframes[: len(requests)]
    keyframes = tuple(SceneKeyframe(time=stop.time, request=stop.request, easing=stop.easing) for stop in stops)
    return replace(scene, keyframes=keyframes, duration=strip.duration, loop=True)


def strip_settings(size: tuple[int, int]) -> ExportSettings:
    """How a strip of pictures of this size becomes a video."""
    side = max(size)
    return ExportSettings(fps=str(FPS), size=side * max(1, SIDE // side), smooth=False)
