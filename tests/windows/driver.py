"""Runs one script against the real window, in a process of its own: GLFW and OpenGL keep global state.

    python -m tests.windows.driver MODULE:FUNCTION CHECKPOINT FOLDER

The function is called as script(ctx, session, explorer, window) on the test engine's thread.
The exit code is 0 when the script ended well.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Nothing here is timed; this only ends a test that hangs. A busy machine with a software renderer may need more.
PATIENCE_S = float(os.environ.get("GLISSANDO_TEST_PATIENCE", "240"))

Pixels = NDArray[np.uint8]


def run_script(
    script: str,
    checkpoint: Path,
    folder: Path,
    environment: dict[str, str],
    *,
    ends_with: int = 0,
) -> str:
    """Start the process and return what it printed; an AssertionError with its output when it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.windows.driver", script, str(checkpoint), str(folder)],
        env=environment,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == ends_with, f"{script} ended with {done.returncode}:\n{done.stdout}"
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


class Window:
    """What a script needs of the real window beyond the test engine: its framebuffer."""

    def __init__(self, explorer: object, folder: Path) -> None:
        self.folder = folder
        self.explorer = explorer
        self.modules_in_first_frame: set[str] = set()
        self._wanted = False
        self._pixels: Pixels | None = None

    def before_swap(self) -> None:
        """On the window's own thread, which has the OpenGL context."""
        if not self.modules_in_first_frame:
            self.modules_in_first_frame = set(sys.modules)
        if not self._wanted:
            return
        from OpenGL import GL

        x, y, width, height = (int(value) for value in GL.glGetIntegerv(GL.GL_VIEWPORT))
        GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 1)
        data = GL.glReadPixels(x, y, width, height, GL.GL_RGB, GL.GL_UNSIGNED_BYTE)
        # OpenGL's first row is the lowest.
        self._pixels = np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3)[::-1].copy()
        self._wanted = False

    def framebuffer(self, ctx: object) -> Pixels:
        """What the window shows: [height, width, 3]."""
        self._wanted = True
        for _ in range(100):
            ctx.yield_()
            if not self._wanted:
                assert self._pixels is not None
                return self._pixels
        raise AssertionError("no frame was drawn")

    def picture(self, ctx: object) -> Pixels:
        """The picture as the framebuffer has it, enlarged as it is shown. The mouse is moved off it first."""
        ctx.mouse_teleport_to_pos((2.0, 2.0))
        ctx.yield_(3)
        shown = self.framebuffer(ctx)
        place = self.explorer.viewport.placement
        return shown[place.y : place.y + place.height, place.x : place.x + place.width]

    def screenshot(self, ctx: object, name: str) -> None:
        """Keep the window's picture beside the test's files."""
        from PIL import Image

        Image.fromarray(self.framebuffer(ctx)).save(self.folder / name)


def enlarged(pixels: Pixels, zoom: float) -> Pixels:
    """What nearest filtering at a whole zoom must show."""
    assert zoom == int(zoom)
    return pixels.repeat(int(zoom), axis=0).repeat(int(zoom), axis=1)


def main(arguments: list[str]) -> int:
    """Open the window on a checkpoint and run one script."""
    name, checkpoint, folder = arguments[0], Path(arguments[1]), Path(arguments[2])
    module, _, function = name.partition(":")
    script = getattr(importlib.import_module(module), function)

    from app.explorer.scripted import add_script
    from app.explorer.session import Session
    from app.explorer.storage.settings import SettingsStore
    from app.explorer.window import Explorer, log_to, real_services

    services = real_services()
    if hasattr(script, "open_engine"):
        services = replace(services, open_engine=lambda path, report, choice: script.open_engine(path, report))
    store = SettingsStore()
    log_to(store)
    session = Session(services, store, checkpoint)
    session.preferences.set_output_dir(folder / "out")
    try:
        explorer = Explorer(session, native_dialogs=False)
        window = Window(explorer, folder)
        explorer.params.callbacks.before_swap = window.before_swap
        check = add_script(explorer, lambda ctx, session, explorer: script(ctx, session, explorer, window))
        explorer.run()
        check()
    finally:
        session.close()
    print("the window has closed")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYOPENGL_PLATFORM", "x11")
    sys.exit(main(sys.argv[1:]))
