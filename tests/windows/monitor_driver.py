"""Runs one script against the monitor's real window, in a process of its own: Dear PyGui keeps global state.

    python -m tests.windows.monitor_driver MODULE:FUNCTION RUN [RUN ...]

The function is called as script(person), in the window's thread; the exit code is 0 when it ended well.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.windows.driver import PATIENCE_S
from tests.windows.xevents import Hand


def run_script(script: str, runs: Sequence[Path], environment: dict[str, str]) -> str:
    """Start the process and return what it printed; an AssertionError with its output when it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.windows.monitor_driver", script, *map(str, runs)],
        env=environment,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, f"{script} ended with {done.returncode}:\n{done.stdout}"
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


class Person:
    """Somebody at the window, with a real mouse and keyboard: the X server sends the events."""

    def __init__(self, monitor: Any) -> None:
        self.monitor = monitor
        self.hand = Hand(os.environ["DISPLAY"])
        # A pointer that was there before the window came is not known to it until it moves.
        self.move((3, 3))
        self.move((2, 2))

    def wait(self, what: str, condition: Callable[[], object]) -> None:
        """Let the window draw until `condition` holds."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, what
            self.frames(1)

    def frames(self, count: int = 3) -> None:
        for _ in range(count):
            self.monitor.frame(time.monotonic())
            time.sleep(0.005)

    def move(self, place: tuple[float, float]) -> None:
        import dearpygui.dearpygui as dpg

        x, y = (round(value) for value in place)
        self.hand.move(x, y)
        end = time.monotonic() + PATIENCE_S
        while dpg.get_mouse_pos(local=False) != [x, y]:
            assert time.monotonic() < end, f"the pointer is at {dpg.get_mouse_pos(local=False)}, not at {place}"
            self.frames(1)
        self.frames(2)

    def press(self, button: int = 1) -> None:
        self.hand.button(button, True)
        self.frames(3)

    def release(self, button: int = 1) -> None:
        self.hand.button(button, False)
        self.frames(3)

    def click(self, item: int, *, right: float = 0.5) -> None:
        """Click on an item, so far from its left edge."""
        self.move(self.place(item, right=right))
        self.press()
        self.release()

    def double_click(self) -> None:
        """Where the pointer is. On a busy machine frames may be too slow for two clicks to be a double one: look."""
        for down in (True, False, True, False):
            self.hand.button(1, down)
        self.frames(10)

    def scroll(self, steps: int) -> None:
        """Turn the wheel: up, or down for a number below 0."""
        for _ in range(abs(steps)):
            self.hand.button(4 if steps > 0 else 5, True)
            self.hand.button(4 if steps > 0 else 5, False)
            self.frames(3)

    def type(self, text: str) -> None:
        for character in text:
            self.hand.key(character)
            self.frames(3)

    def place(self, item: int, *, right: float = 0.5, down: float = 0.5) -> tuple[float, float]:
        """A point of an item, by shares of its width and height."""
        import dearpygui.dearpygui as dpg

        left, top = dpg.get_item_rect_min(item)
        width, height = dpg.get_item_rect_size(item)
        return left + right * width, top + down * height

    def screen(self) -> Any:
        """What the screen shows: [height, width, 3]."""
        import numpy as np
        from PIL import ImageGrab

        self.frames(3)
        return np.asarray(ImageGrab.grab().convert("RGB"))

    def screenshot(self, path: Path) -> None:
        from PIL import Image

        Image.fromarray(self.screen()).save(path)


def main(arguments: Sequence[str]) -> int:
    """Open the window on the runs and run one script."""
    name, *runs = arguments
    module, _, function = name.partition(":")
    script = getattr(importlib.import_module(module), function)

    from app.monitor.state import MonitorState
    from app.monitor.window import Monitor

    heavy = {"torch", "open_clip", "timm", "imgui_bundle", "training"} & set(sys.modules)
    assert not heavy, f"the monitor imports {heavy}"
    monitor = Monitor(MonitorState([Path(run) for run in runs]))
    try:
        monitor.open()
        script(Person(monitor))
    finally:
        monitor.close()
    print("the window has closed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
