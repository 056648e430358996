"""Rendering off line: a timeline to a video, frame by frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from app.explorer.scene_timeline import Play
from app.video import VideoWriter
from core.timeline import Timeline

if TYPE_CHECKING:
    from core.engine import Engine


def export_video(
    engine: Engine,
    timeline: Timeline | Play,
    path: Path,
    *,
    frames: int,
    fps: int | Fraction,
    size: int = 512,
    smooth: bool = False,
    progress: bool = True,
) -> None:
    """Write `frames` pictures of a timeline, at even steps over it, or of a scene's play, at its frame rate.

    Raises `UserError` as `VideoWriter` does, and `EngineError` for a picture that is not finite. Whatever interrupts
    it, Ctrl-C included, what was rendered so far is a whole video.
    """
    # tqdm's None: a bar on a terminal, silence in a log.
    hidden = None if progress else True
    with (
        VideoWriter(path, fps, size, smooth=smooth) as writer,
        tqdm(total=frames, desc=path.name, unit="frame", disable=hidden) as bar,
    ):
        for request in timeline.requests(frames):
            writer.write(engine.render(request).pixels)
            bar.update()
