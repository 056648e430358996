"""A display for the window tests: an Xvfb of their own where there is no other."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REQUIRED = os.environ.get("GLISSANDO_REQUIRE_WINDOWS") == "1"


def unavailable(why: str) -> None:
    """Skip, or fail where windows are required."""
    if REQUIRED:
        pytest.fail(f"{why}, and GLISSANDO_REQUIRE_WINDOWS=1 requires the window tests")
    pytest.skip(f"{why}; the window tests need it")


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """The name of an X display with OpenGL, 1280 x 800 when it is our own."""
    if not sys.platform.startswith("linux"):
        unavailable("not on Linux, where Xvfb gives a display")
    given = os.environ.get("DISPLAY")
    if given:
        yield given
        return
    program = shutil.which("Xvfb")
    if program is None:
        unavailable("no DISPLAY and no Xvfb (Debian: apt-get install xvfb libgl1 libgl1-mesa-dri)")
        return
    read, write = os.pipe()
    process = subprocess.Popen(
        [program, "-displayfd", str(write), "-screen", "0", "1280x800x24", "+extension", "GLX", "-nolisten", "tcp"],
        pass_fds=[write],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        ready, _, _ = select.select([read], [], [], 30.0)
        number = os.read(read, 16).decode().strip() if ready else ""
        if not number:
            unavailable("Xvfb did not start within 30 seconds")
        yield f":{number}"
    finally:
        os.close(read)
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def environment(display: str, tmp_path: Path) -> dict[str, str]:
    """The variables of a process that opens a window and keeps its settings in `tmp_path`."""
    changed = {
        "DISPLAY": display,
        "GLISSANDO_CONFIG_DIR": str(tmp_path / "config"),
        "HOME": str(tmp_path),
        "PYTHONFAULTHANDLER": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "LIBGL_ALWAYS_SOFTWARE": "1",
    }
    return {key: value for key, value in os.environ.items() if key != "WAYLAND_DISPLAY"} | changed
