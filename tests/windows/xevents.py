"""A mouse and a keyboard: events that the X server makes and sends as if someone had moved them (XTest)."""

from __future__ import annotations

import ctypes
import os
import time

_KEYSYMS = {".": "period", "-": "minus", "\n": "Return", "\b": "BackSpace"}


class Hand:
    """Moves the pointer of a display, clicks and types. Raises `OSError` without libX11, libXtst or the display."""

    def __init__(self, name: str) -> None:
        self._x11, self._xtst = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXtst.so.6")
        self._x11.XOpenDisplay.restype = ctypes.c_void_p
        self._x11.XStringToKeysym.restype = ctypes.c_ulong
        self._x11.XKeysymToKeycode.argtypes = [ctypes.c_void_p, ctypes.c_ulong]
        display = None
        # A server whose last window has just closed starts afresh, and answers nobody for a moment.
        for _ in range(50):
            display = self._x11.XOpenDisplay(os.fsencode(name))
            if display:
                break
            time.sleep(0.1)
        else:
            raise OSError(f"nothing answers at {name}")
        self._display = ctypes.c_void_p(display)

    def move(self, x: float, y: float) -> None:
        self._xtst.XTestFakeMotionEvent(self._display, -1, round(x), round(y), ctypes.c_ulong(0))
        self._x11.XFlush(self._display)

    def button(self, number: int, down: bool) -> None:
        self._xtst.XTestFakeButtonEvent(self._display, number, int(down), ctypes.c_ulong(0))
        self._x11.XFlush(self._display)

    def key(self, character: str) -> None:
        keysym = self._x11.XStringToKeysym(_KEYSYMS.get(character, character).encode())
        code = self._x11.XKeysymToKeycode(self._display, keysym)
        for down in (1, 0):
            self._xtst.XTestFakeKeyEvent(self._display, code, down, ctypes.c_ulong(0))
            self._x11.XFlush(self._display)
            time.sleep(0.03)

    def close(self) -> None:
        self._x11.XCloseDisplay(self._display)
