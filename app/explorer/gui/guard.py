"""The boundary between what Python draws and ImGui's loop in C++, where an exception would end the program."""

from __future__ import annotations

import logging
from collections.abc import Callable

from imgui_bundle import ImVec2, imgui

from app.explorer.gui import theme
from app.explorer.gui.widgets import wrapped_text

log = logging.getLogger(__name__)


class MisuseError(RuntimeError):
    """A part left ImGui's stacks other than it found them."""


def configure() -> None:
    """Let ImGui mend its misuse and write to its log, where the guard looks after each part.

    As exceptions these errors would leave ImGui's own functions in their middle.
    """
    io = imgui.get_io()
    io.config_error_recovery_enable_assert = False
    io.config_error_recovery_enable_debug_log = True
    io.config_error_recovery_enable_tooltip = False


class Guard:
    """Runs the parts of the window; what one raises, or leaves open in ImGui, is one message and ends there.

    `close` hides a panel by its title, and gives whether it could.
    """

    def __init__(self, tell_error: Callable[[str], None], close: Callable[[str], bool]) -> None:
        self._tell_error, self._close = tell_error, close
        self._said: set[tuple[str, str]] = set()
        self._broken: dict[str, str] = {}
        self._errors = _Errors()

    def panel(self, title: str, draw: Callable[[], None]) -> Callable[[], None]:
        """A panel, which closes when it fails; one that cannot be closed shows why instead, and a button."""

        def draw_panel() -> None:
            if title not in self._broken:
                draw()
                return
            wrapped_text(self._broken[title], theme.colour.red)
            if imgui.button("Try again"):
                del self._broken[title]

        def failed(error: Exception) -> None:
            log.error("drawing %s failed", title, exc_info=error)
            text = f"Internal error in {title}: {summary(error)}. The log has details."
            if self._close(title):
                text += f" The panel was closed; View > {title} opens it again."
            else:
                self._broken[title] = text
            self._tell_error(text)

        return self._whole(draw_panel, failed)

    def part(self, name: str, draw: Callable[[], None], close: Callable[[], None] = lambda: None) -> Callable[[], None]:
        """A part that is always there, such as the menus: it goes on, and the same fault is said once.

        `close` takes back what it has open; popups are closed in any case.
        """

        def failed(error: Exception) -> None:
            close()
            if imgui.get_current_context().open_popup_stack.size():
                imgui.internal.close_popup_to_level(0, False)
            self._say(name, error)

        return self._whole(draw, failed)

    def callback(self, name: str, run: Callable[[], None]) -> Callable[[], None]:
        """What runs between frames, where nothing is drawn."""

        def run_guarded() -> None:
            try:
                run()
            except Exception as error:  # noqa: BLE001 (whatever it is, the window and its picture go on)
                self._say(name, error)

        return run_guarded

    def after_frame(self) -> None:
        """Say what ImGui found and mended itself, outside of every part."""
        for text in self._errors.new():
            self._say("the window", MisuseError(text))

    def _whole(self, draw: Callable[[], None], failed: Callable[[Exception], None]) -> Callable[[], None]:
        """`draw`, after which ImGui's stacks are as before it, whatever it does."""

        def draw_whole() -> None:
            self._errors.new()
            before = _Stacks()
            try:
                draw()
                _grow_to_cursor()
                before.check()
                for text in self._errors.new():
                    raise MisuseError(text)
            except Exception as error:  # noqa: BLE001 (as above)
                try:
                    before.restore()
                except RuntimeError:  # an assertion of ImGui's that is no error of use
                    log.exception("ImGui's state could not be restored")
                self._errors.new()  # what was left open is the same fault
                failed(error)

        return draw_whole

    def _say(self, name: str, error: Exception) -> None:
        text = f"Internal error in {name}: {summary(error)}. The log has details."
        if (name, text) not in self._said:
            self._said.add((name, text))
            log.error("%s failed", name, exc_info=error)
            self._tell_error(text)


def summary(error: Exception) -> str:
    """An exception in one line; ImGui's assertions come with the place in its source, on lines of their own."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


class _Errors:
    """What ImGui wrote to its log about its use since the last look."""

    def __init__(self) -> None:
        self._read = 0

    def new(self) -> list[str]:
        """The errors since the last call, each once."""
        buffer = imgui.get_current_context().debug_log_buf
        size = buffer.size()
        if size == self._read:
            return []
        lines = buffer.c_str().encode()[self._read if size > self._read else 0 :].decode(errors="replace").splitlines()
        self._read = size
        if size > 2**16:
            buffer.clear()
            self._read = 0
        texts = (line.partition("[imgui-error] ")[2] for line in lines)
        return list(dict.fromkeys(text for text in texts if text and not text.startswith("(current settings")))


class _Stacks:
    """The sizes of ImGui's stacks, to compare and restore."""

    def __init__(self) -> None:
        self._state, self._sizes = _sizes()
        self._windows = [entry.window.name for entry in imgui.get_current_context().current_window_stack]
        self._window = imgui.internal.get_current_window()
        self._filling_menu_bar = self._window.dc.menu_bar_appending
        self._clips = _clip_depth()

    def check(self) -> None:
        """Raise `MisuseError` where a stack is not as it was."""
        if _window_depth() < self._state.size_of_window_stack:
            raise MisuseError("end() was called for a window that it did not begin")
        _, now = _sizes()
        for name, size in now.items():
            if size != self._sizes[name]:
                words = name.removeprefix("size_of_").replace("_", " ")
                raise MisuseError(f"ImGui's {words}: expected {self._sizes[name]} entries as before, got {size}")
        if _clip_depth() != self._clips:
            raise MisuseError(f"clip rectangles: expected {self._clips} as before, got {_clip_depth()}")

    def restore(self) -> None:
        """Close what was left open, and begin again the windows that were ended."""
        for name in self._windows[_window_depth() :]:
            imgui.begin(name)
        # A menu bar that is being filled is not on a stack: ImGui would end it together with what was left open.
        if self._filling_menu_bar:
            self._window.dc.menu_bar_appending = False
        try:
            imgui.internal.error_recovery_try_to_recover_state(self._state)
        finally:
            if self._filling_menu_bar:
                self._window.dc.menu_bar_appending = True
        self._window.dc.tree_depth = self._sizes["size_of_tree_stack"]  # too many pops make it negative for good
        draw_list = imgui.get_window_draw_list()
        for _ in range(_clip_depth() - self._clips):
            draw_list.pop_clip_rect()
        for _ in range(self._clips - _clip_depth()):
            draw_list.push_clip_rect_full_screen()


_SIZES = tuple(name for name in dir(imgui.internal.ErrorRecoveryState) if name.startswith("size_of_"))


def _sizes() -> tuple[imgui.internal.ErrorRecoveryState, dict[str, int]]:
    state = imgui.internal.ErrorRecoveryState()
    imgui.internal.error_recovery_store_state(state)
    return state, {name: getattr(state, name) for name in _SIZES}


def _window_depth() -> int:
    return int(imgui.get_current_context().current_window_stack.size())


def _clip_depth() -> int:
    return int(imgui.get_window_draw_list()._clip_rect_stack.size())


def _grow_to_cursor() -> None:
    """A window may end with the cursor set beyond its last item; ImGui wants an item there."""
    window = imgui.internal.get_current_window()
    if window.dc.is_set_pos and not window.skip_items:
        imgui.dummy(ImVec2(0, 0))
