"""What can be rendered off line: a take, or the play of a scene file. Both are a request at every time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from app.document.file import read_scene_file
from app.document.playback import request_at
from app.takes import SUFFIX as TAKE_SUFFIX
from app.takes import read_take
from core.arithmetic import Arithmetic
from core.request import RenderRequest
from core.timeline import EASINGS, fade

# How long a loop takes to go over from its end to its beginning, in seconds of the video.
CLOSING_S = 1.0

At = Callable[[float], RenderRequest]


@dataclass(frozen=True, kw_only=True)
class PlaySource:
    """A play with a beginning and an end."""

    path: Path
    kind: str
    """take or scene."""
    at: At
    """The request at a time in seconds."""
    duration: float
    smooth: bool
    scene: dict[str, Any]
    """The window's document, as JSON."""
    checkpoint: str
    """Where the model lay; empty for the bundled one."""
    sha256: str | None
    """The model's hash, if it is known."""
    model: str
    """Its name, if it is known."""
    arithmetic: Arithmetic
    """How its pictures were calculated, as far as that is known."""


def open_source(path: Path) -> PlaySource:
    """A take (NAME.take.jsonl) or a scene file. Raises `UserError`."""
    if path.name.endswith(".jsonl"):
        take = read_take(path)
        checkpoint = take.header.checkpoint
        return PlaySource(
            path=path,
            kind="take",
            at=take.at,
            duration=take.duration,
            smooth=take.header.smooth,
            scene=take.scene,
            checkpoint=checkpoint.path,
            sha256=checkpoint.sha256,
            model=checkpoint.name,
            arithmetic=take.header.arithmetic,
        )
    file = read_scene_file(path)
    scene, made_with = file.scene, file.made_with
    return PlaySource(
        path=path,
        kind="scene",
        at=partial(request_at, scene),
        duration=scene.round_seconds,
        smooth=scene.smooth,
        scene=scene.to_json(),
        checkpoint=scene.checkpoint,
        sha256=made_with.sha256 if made_with else None,
        model=made_with.name if made_with else "",
        arithmetic=(made_with and made_with.arithmetic) or Arithmetic(),
    )


def stem_of(path: Path) -> str:
    """A source's name without what says its kind."""
    return path.name.removesuffix(TAKE_SUFFIX) if path.name.endswith(TAKE_SUFFIX) else path.stem


def closed(at: At, duration: float, seconds: float) -> At:
    """The same play whose last `seconds` go over into its beginning, so that the request at `duration` is the one at 0.

    Styles and numeric synthesis options move; an option without an in-between, such as the noise seed, stays.
    """
    seconds = min(seconds, duration / 2)

    def request(time: float) -> RenderRequest:
        here = at(time)
        u = (time - (duration - seconds)) / seconds if seconds > 0.0 else 0.0
        if u <= 0.0:
            return here
        goal = at(max(time - duration, 0.0))
        if u >= 1.0:
            return goal
        u = EASINGS["smooth"](u)
        return fade(here, goal, u).with_options(here.towards(goal, u))

    return request
