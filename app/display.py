"""Whether a window can be opened here, and what to install where it cannot.

Checked before any GUI library is imported: those abort or raise something cryptic.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Mapping, Sequence

# What the window loads on Linux, by package: for Debian and Ubuntu, Fedora, and Arch.
PACKAGES: Mapping[str, tuple[str, str, str]] = {
    "libX11.so.6": ("libx11-6", "libX11", "libx11"),
    "libGL.so.1": ("libgl1", "libglvnd-glx", "libglvnd"),
    "libEGL.so.1": ("libegl1", "libglvnd-egl", "libglvnd"),
    "libXext.so.6": ("libxext6", "libXext", "libxext"),
    "libxcb.so.1": ("libxcb1", "libxcb", "libxcb"),
}
# The driver that libGL loads when there is no graphics card; its absence shows only when the window opens.
MESA = ("libgl1-mesa-dri", "mesa-dri-drivers", "mesa")


def why_no_display() -> str | None:
    """Why no window can be shown, in a few words; None when one can. Windows and macOS always have a display."""
    if not sys.platform.startswith("linux"):
        return None
    if os.environ.get("WAYLAND_DISPLAY"):
        return None
    name = os.environ.get("DISPLAY")
    if not name:
        return "No display (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    if _answers(name):
        return None
    return f"No display (nothing answers at DISPLAY={name})"


def missing_libraries() -> list[str]:
    """The system libraries that the window needs and this machine lacks. Always empty outside Linux."""
    if not sys.platform.startswith("linux"):
        return []
    return [name for name in PACKAGES if not _loads(name)]


def library_in(error: ImportError) -> str | None:
    """The shared library that an ImportError of the dynamic loader says is missing; None for any other."""
    match = re.match(r"(lib[^\s:]+\.so[.\d]*): cannot open shared object", str(error))
    return match[1] if match else None


def install_advice(missing: Sequence[str]) -> str:
    """One line that names what is missing and the packages that bring it."""
    debian, fedora, arch = (
        " ".join(dict.fromkeys([*(PACKAGES[name][index] for name in missing if name in PACKAGES), MESA[index]]))
        for index in range(3)
    )
    return (
        f"the window needs system libraries that are missing: {', '.join(missing)}. Install them with "
        f"`sudo apt-get install {debian}` (Debian, Ubuntu), `sudo dnf install {fedora}` (Fedora) or "
        f"`sudo pacman -S {arch}` (Arch), then start again. "
        "`glissando generate` and `glissando video` work without them."
    )


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _answers(name: str) -> bool:
    """Whether an X server answers. Without libX11 nobody can tell; the missing library is then what gets reported."""
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:
        return True
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XOpenDisplay.argtypes = [ctypes.c_char_p]
    x11.XCloseDisplay.argtypes = [ctypes.c_void_p]
    connection = x11.XOpenDisplay(os.fsencode(name))
    if not connection:
        return False
    x11.XCloseDisplay(connection)
    return True
