"""The output window, which shows only the picture: full screen on a monitor, or as a window.

It has an OpenGL context of its own and uploads the newest frame itself, so nothing in it depends on what the main
window draws. It never waits for its monitor: vsync is off, and the main window keeps its pace.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

from app.explorer.gui.texture import GlTexture
from app.explorer.ui_state import OTHER_MONITOR, WINDOWED, ShowOutput

if TYPE_CHECKING:
    from app.explorer.session import Session

log = logging.getLogger(__name__)

WINDOWED_SIZE = (768, 768)
LOOK_AGAIN_FRAMES = 60


class OutputError(RuntimeError):
    """The output window cannot be shown; the message says why."""


def letterbox(width: int, height: int, room_width: int, room_height: int, *, whole: bool) -> tuple[int, int, int, int]:
    """(left, lower, width, height) of the largest picture that fits, centred in the given room, in pixels.

    With `whole`, it is enlarged by a whole number, so that its pixels stay squares of one size; one that is larger
    than the room is made to fit all the same.
    """
    scale = min(room_width / width, room_height / height)
    if whole and scale >= 1.0:
        scale = float(int(scale))
    shown_width, shown_height = max(round(width * scale), 1), max(round(height * scale), 1)
    return (room_width - shown_width) // 2, (room_height - shown_height) // 2, shown_width, shown_height


class OutputWindow:
    """Opens, draws and closes the output window as `session.ui` asks. `main` is the main window's GLFW handle."""

    def __init__(self, session: Session, main: Any) -> None:
        self._session = session
        self._main = main
        self._window: _Window | None = None
        self._frames = 0

    def before_frame(self, requests: list[ShowOutput]) -> None:
        """Carry out requests, and look for monitors now and then."""
        if self._frames % LOOK_AGAIN_FRAMES == 0:
            self._session.ui.monitors = _monitor_names()
        self._frames += 1
        for request in requests:
            self.close()
            if request.place is None:
                continue
            try:
                place = self._other_monitor() if request.place == OTHER_MONITOR else request.place
                self._window = _Window(place)
                self._session.ui.output = place
            except Exception as error:  # noqa: BLE001 (a driver's refusal must not take the main window with it)
                self._fail(error)
            finally:
                self._back_to_main()

    def after_frame(self) -> None:
        """Draw the newest picture, if it is another one than before."""
        if self._window is None:
            return
        if self._window.closing:
            self.close()
            return
        try:
            self._window.draw(self._session)
        except Exception as error:  # noqa: BLE001 (as above)
            self._fail(error)
        finally:
            self._back_to_main()

    def close(self) -> None:
        """Take the window away, if there is one."""
        window, self._window = self._window, None
        self._session.ui.output = None
        if window is None:
            return
        try:
            window.destroy()
        except Exception as error:  # noqa: BLE001 (as above)
            self._fail(error)
        finally:
            self._back_to_main()

    def _fail(self, error: Exception) -> None:
        log.error("output window", exc_info=error)
        window, self._window = self._window, None
        self._session.ui.output = None
        text = str(error) if isinstance(error, OutputError) else f"{type(error).__name__}: {error}"
        self._session.messages.error(f"The output window was closed: {text}")
        if window is not None:
            self.close_quietly(window)

    def close_quietly(self, window: _Window) -> None:
        try:
            window.destroy()
        except Exception:  # (the failure was told already)
            log.exception("closing the output window")

    def _back_to_main(self) -> None:
        import glfw

        glfw.make_context_current(self._main)

    def _other_monitor(self) -> int:
        """The first monitor that the main window is not on, or the only one there is."""
        import glfw

        x, y = glfw.get_window_pos(self._main)
        width, height = glfw.get_window_size(self._main)
        middle = x + width // 2, y + height // 2
        monitors = glfw.get_monitors()
        for index, monitor in enumerate(monitors):
            left, top = glfw.get_monitor_pos(monitor)
            size = glfw.get_video_mode(monitor).size
            if not (left <= middle[0] < left + size.width and top <= middle[1] < top + size.height):
                return index
        return 0


class _Window:
    """The GLFW window. Its methods leave its context current."""

    def __init__(self, place: int) -> None:
        import glfw

        self.closing = False
        self._drawn: tuple[object, ...] | None = None
        self._texture = GlTexture()
        monitor = None
        width, height = WINDOWED_SIZE
        if place != WINDOWED:
            monitors = glfw.get_monitors()
            if not 0 <= place < len(monitors):
                raise OutputError(f"there is no monitor {place + 1}; there are {len(monitors)}")
            monitor = monitors[place]
            mode = glfw.get_video_mode(monitor)
            width, height = mode.size.width, mode.size.height
        glfw.default_window_hints()
        hints = [
            (glfw.CONTEXT_VERSION_MAJOR, 3),
            (glfw.CONTEXT_VERSION_MINOR, 2),
            (glfw.OPENGL_PROFILE, glfw.OPENGL_CORE_PROFILE),
            (glfw.OPENGL_FORWARD_COMPAT, True),
            # The performer's hands are in the main window; losing the focus is no reason to go away.
            (glfw.AUTO_ICONIFY, False),
        ]
        if monitor is not None:
            # The monitor's own mode, so that it is not switched to another one.
            hints += [
                (glfw.RED_BITS, mode.bits.red),
                (glfw.GREEN_BITS, mode.bits.green),
                (glfw.BLUE_BITS, mode.bits.blue),
                (glfw.REFRESH_RATE, mode.refresh_rate),
            ]
        for hint, value in hints:
            glfw.window_hint(hint, value)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            self.handle = glfw.create_window(width, height, "Glissando output", monitor, None)
        glfw.default_window_hints()
        if not self.handle:
            raise OutputError("; ".join(str(warning.message) for warning in told) or "the system gives no window")
        glfw.set_input_mode(self.handle, glfw.CURSOR, glfw.CURSOR_HIDDEN)
        # GLFW keeps no reference to these.
        self._callbacks = (self.key, self.refresh)
        glfw.set_key_callback(self.handle, self._callbacks[0])
        glfw.set_window_refresh_callback(self.handle, self._callbacks[1])
        glfw.make_context_current(self.handle)
        glfw.swap_interval(0)

    def key(self, window: Any, key: int, scancode: int, action: int, modifiers: int) -> None:
        """Escape, or the key that opened it, closes it."""
        import glfw

        if action == glfw.PRESS and key in (glfw.KEY_ESCAPE, glfw.KEY_F11):
            self.closing = True

    def refresh(self, window: Any) -> None:
        """GLFW's callback: the window must be redrawn."""
        self._drawn = None

    def draw(self, session: Session) -> None:
        import glfw
        from OpenGL import GL

        if glfw.window_should_close(self.handle):
            self.closing = True
            return
        size = glfw.get_framebuffer_size(self.handle)
        frame, smooth = session.rendering.frame, session.history.scene.smooth
        wanted = (session.rendering.frame_count, smooth, size)
        if wanted == self._drawn or 0 in size:
            return
        uploaded = self._drawn is not None and self._drawn[0] == session.rendering.frame_count
        glfw.make_context_current(self.handle)
        GL.glViewport(0, 0, *size)
        GL.glClearColor(0.0, 0.0, 0.0, 1.0)
        GL.glClear(GL.GL_COLOR_BUFFER_BIT)
        if frame is not None:
            if not uploaded:
                self._texture.upload(frame.pixels)
            self._texture.show(*letterbox(frame.width, frame.height, *size, whole=not smooth), smooth=smooth)
        glfw.swap_buffers(self.handle)
        self._drawn = wanted

    def destroy(self) -> None:
        import glfw

        glfw.destroy_window(self.handle)


def _monitor_names() -> tuple[str, ...]:
    import glfw

    names = []
    for monitor in glfw.get_monitors():
        name: Any = glfw.get_monitor_name(monitor)
        mode = glfw.get_video_mode(monitor)
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        names.append(f"{text}, {mode.size.width} × {mode.size.height}" if mode else text)
    return tuple(names)
