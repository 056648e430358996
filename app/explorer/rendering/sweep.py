"""A template such as "astronaut, {X}" with one picture for each X, at one seed. No GUI and no torch here.

The pictures are drawn on the render thread one at a time between frames of the live picture, and only while the scene
rests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.document.scene import Scene
from app.explorer.rendering.render_thread import RenderThread
from app.explorer.rendering.thumbnails import Pixels, ThumbnailCache
from core.prompts import escaped
from core.request import RenderRequest

SLOT = "{X}"
MOST = 100
REST_S = 0.3
KEPT = 128


def filled(template: str, lines: str) -> list[tuple[str, str]]:
    """(X, prompt) for each line that is not empty, each once; without a slot, X follows the template after a comma."""
    values = list(dict.fromkeys(line.strip() for line in lines.splitlines() if line.strip()))[:MOST]
    if SLOT not in template:
        template = f"{template}, {SLOT}" if template.strip() else SLOT
    return [(value, template.replace(SLOT, value)) for value in values]


def template_of(prompt: str, start: int, stop: int) -> str:
    """A prompt with the slot in the place of one of its words."""
    return prompt[:start] + SLOT + prompt[stop:]


def lines_of(choices: Sequence[str]) -> str:
    """Words as the lines of a list; what they mean as a prompt stays the same."""
    return "\n".join(escaped(choice) for choice in choices)


class Sweep:
    """The pictures of one template at the scene's other values. Belongs to the UI thread; `tick` it once a frame."""

    def __init__(self, render: RenderThread) -> None:
        self._pictures = ThumbnailCache(render, side=None, limit=KEPT)
        self._model = ""
        self._base: RenderRequest | None = None
        self._since = 0.0
        self._wanted: list[RenderRequest] = []

    @property
    def missing(self) -> int:
        """How many pictures are still to come."""
        return sum(self._pictures.peek(r) is None and self._pictures.problem(r) is None for r in self._wanted)

    @property
    def problem(self) -> str | None:
        """Why a picture cannot be drawn, if that is so."""
        problems = (self._pictures.problem(request) for request in self._wanted)
        return next((problem for problem in problems if problem is not None), None)

    @property
    def requests(self) -> list[RenderRequest]:
        return list(self._wanted)

    def picture(self, index: int) -> Pixels | None:
        """One of the pictures asked for; None while it is not drawn."""
        return self._pictures.peek(self._wanted[index])

    def tick(self, scene: Scene, prompts: Sequence[str], model: str, now: float) -> None:
        """Take what was drawn, and ask for what the scene wants once it has rested for a moment."""
        if model != self._model:
            self._model = model
            self._pictures.forget()
        base = replace(scene.request(), prompt="", blend=0.0, blend_y=0.0)
        if base != self._base:
            self._base, self._since = base, now
        self._wanted = [replace(base, prompt=prompt) for prompt in prompts]
        if model and now - self._since >= REST_S:
            for request in self._wanted:
                self._pictures.get(request)
        self._pictures.tick()
