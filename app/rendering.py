"""Rendering off line: requests to a video or to a folder of pictures, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.codecs import CODECS, CodecName
from app.document.playback import Play
from app.errors import UserError
from app.images import entries_of, read_png, write_png
from app.provenance import document, document_text
from app.sources import CLOSING_S, PlaySource, closed
from app.takes import even_times
from app.video import VideoWriter, enlarge, video_size
from core.request import RenderRequest
from core.timeline import Timeline

if TYPE_CHECKING:
    from core.engine import Engine

SPEEDS = (0.01, 100.0)
# A day at 60 frames a second; beyond it somebody mistyped.
MOST_FRAMES = 24 * 3600 * 60

Progress = Callable[[int, int], None]
"""(frames done, of how many)."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How a source becomes a file. Raises `ValueError` for values out of range."""

    codec: CodecName = "h264"
    fps: str = "60"
    """A number or a fraction such as 30000/1001."""
    size: int = 512
    """The longer side, in pixels."""
    speed: float = 1.0
    """2 is twice as fast, and half as long."""
    loop: bool = False
    """Whether the last second goes over into the first, so that the end meets the beginning."""
    smooth: bool | None = None
    """Whether small pictures are enlarged smoothly; None is as it was on screen."""

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise ValueError(f"codec: expected one of {', '.join(CODECS)}, got {self.codec!r}")
        most = CODECS[self.codec].most_fps
        if not 1 <= self.rate <= most:
            raise ValueError(f"fps: expected frames per second from 1 to {most} for {self.codec}, got {self.fps}")
        if not SPEEDS[0] <= self.speed <= SPEEDS[1]:
            raise ValueError(f"speed: expected a number from {SPEEDS[0]:g} to {SPEEDS[1]:g}, got {self.speed!r}")

    @property
    def rate(self) -> Fraction:
        """Frames a second."""
        try:
            return Fraction(self.fps).limit_denominator(1001)
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"fps: expected a number or a fraction such as 30000/1001, got {self.fps!r:.40}") from None

    def frames(self, duration: float) -> int:
        """How many frames a source of so many seconds has. Raises `UserError` for too many."""
        count = even_times(duration, self.speed / float(self.rate))
        if count > MOST_FRAMES:
            raise UserError(f"{duration:g} s: expected at most {MOST_FRAMES} frames, got {count}; take fewer a second")
        return count


def export_source(
    engine: Engine,
    source: PlaySource,
    path: Path,
    settings: ExportSettings,
    *,
    resume: bool = False,
    progress: Progress = lambda done, total: None,
) -> int:
    """Render a take or a scene's play to `path`; returns how many frames were rendered, which `resume` makes fewer.

    Raises `UserError` as `VideoWriter` does, and `EngineError` for a picture that is not finite. Whatever interrupts
    it, Ctrl-C included, leaves what `CODECS` says.
    """
    total = settings.frames(source.duration)
    step = Fraction(settings.speed) / settings.rate
    at = closed(source.at, source.duration, CLOSING_S * settings.speed) if settings.loop else source.at
    smooth = source.smooth if settings.smooth is None else settings.smooth
    requests = (at(float(index * step)) for index in range(total))
    if CODECS[settings.codec].open is None:
        scene = source.scene if source.kind == "scene" else None  # a take's is that of its start
        folder = _Folder(engine, path, settings.size, smooth=smooth, scene=scene, step=float(step))
        return folder.fill(requests, total, resume, progress)
    about = {
        "from": source.kind,
        "seconds": source.duration,
        "fps": str(settings.rate),
        "speed": settings.speed,
        "loop": settings.loop,
        "frames": total,
    }
    comment = document_text(document(at(0.0), engine.info, scene=source.scene, video=about))
    with VideoWriter(
        path, settings.rate, settings.size, codec=settings.codec, smooth=smooth, comment=comment
    ) as writer:
        draw = _Drawing(engine)
        for index, request in enumerate(requests):
            progress(index, total)
            writer.write(draw(request))
    progress(total, total)
    return total


class _Folder:
    """000000.png and so on; each says how it was made, so another export knows which are there and right."""

    def __init__(
        self, engine: Engine, path: Path, size: int, *, smooth: bool, scene: dict[str, Any] | None, step: float
    ) -> None:
        self._engine, self._path, self._smooth = engine, path, smooth
        self._scene, self._step = scene, step
        self._size = video_size(engine.info.size, size, even=False)

    def fill(self, requests: Iterator[RenderRequest], total: int, resume: bool, progress: Progress) -> int:
        """Write what is missing; returns how many pictures that were."""
        draw = _Drawing(self._engine)
        rendered = 0
        for index, request in enumerate(requests):
            progress(index, total)
            path = self._path / f"{index:06d}.png"
            if resume and _is_whole(path, request, self._engine.info.sha256, self._size):
                continue
            pixels = enlarge(draw(request), self._size, smooth=self._smooth)
            time = index * self._step
            write_png(path, pixels, entries_of(request, self._engine.info, pixels, scene=self._scene, time=time))
            rendered += 1
        progress(total, total)
        return rendered


def _is_whole(path: Path, request: RenderRequest, sha256: str, size: tuple[int, int]) -> bool:
    try:
        picture = read_png(path)
    except UserError:
        return False
    same_model = picture.checkpoint is not None and picture.checkpoint["sha256"] == sha256
    return same_model and picture.request == request and (picture.width, picture.height) == size


class _Drawing:
    """Renders, and draws a picture that stands still once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._request: RenderRequest | None = None
        self._pixels: NDArray[np.uint8] | None = None

    def __call__(self, request: RenderRequest) -> NDArray[np.uint8]:
        if self._pixels is None or request != self._request:
            self._request, self._pixels = request, self._engine.render(request).pixels
        return self._pixels


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
    scene = timeline.scene.to_json() if isinstance(timeline, Play) else None
    about = {"from": "scene" if scene else "timeline", "seconds": timeline.duration, "fps": str(fps), "frames": frames}
    comment = document_text(document(timeline.at(0.0), engine.info, scene=scene, video=about))
    with ExitStack() as stack:
        writer = stack.enter_context(VideoWriter(path, fps, size, smooth=smooth, comment=comment))
        bar = stack.enter_context(tqdm(total=frames, desc=path.name, unit="frame", disable=hidden))
        for request in timeline.requests(frames):
            writer.write(engine.render(request).pixels)
            bar.update()
