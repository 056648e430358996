"""The explorer without a display: ImGui's null backends, driven by its test engine, in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.explorer.gui.texture import Region
from app.explorer.scripted import Context, Script, add_script, without_display
from app.explorer.session import Session
from app.explorer.window import Explorer
from tests.app.explorer.fakes import make_session


class RecordingTexture:
    """Remembers what it was asked to draw."""

    def __init__(self) -> None:
        self.uploads: list[NDArray[np.uint8]] = []
        self.drawn: list[tuple[Region, int] | str] = []

    def upload(self, pixels: NDArray[np.uint8]) -> None:
        self.uploads.append(pixels)

    def smooth(self) -> int:
        self.drawn.append("smooth")
        return 1

    def sharp(self, region: Region, zoom: int) -> int:
        self.drawn.append((region, zoom))
        return 2


def drive(
    folder: Path,
    script: Script,
    checkpoint: Path | None = None,
    before: Callable[[Session], None] | None = None,
    **services: Any,
) -> RecordingTexture:
    """Run `script` against the whole explorer with a fake engine."""
    session = make_session(folder, checkpoint, **services)
    texture = RecordingTexture()
    try:
        if before is not None:
            before(session)
        explorer = Explorer(
            session,
            texture=texture,
            layout=folder / "layout.ini",
            native_dialogs=False,
            new_texture=RecordingTexture,
        )
        without_display(explorer)
        explorer.params.ini_disable = True
        check = add_script(explorer, script)
        explorer.run()
        check()
    finally:
        session.close()
        assert session.rendering.thread.close(timeout=10.0)
    assert not [thread for thread in threading.enumerate() if thread.name in ("render", "recorder")]
    return texture


def until(ctx: Context, condition: Callable[[], bool], frames: int = 600) -> None:
    """Let the window draw until `condition` holds."""
    for _ in range(frames):
        if condition():
            return
        ctx.yield_()
    raise AssertionError("did not happen within the frames given")


def settle(ctx: Context, session: Session) -> None:
    """Let the window draw until the picture is the scene's."""
    ctx.yield_(2)
    until(ctx, lambda: session.rendering.settled)
