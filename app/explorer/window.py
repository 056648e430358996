"""The window: session, panels, viewport and menus in HelloImGui's loop."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.platform.startswith("linux"):
    # The window is GLFW's on X11; PyOpenGL would otherwise guess EGL or Wayland and find no context.
    os.environ.setdefault("PYOPENGL_PLATFORM", "x11")

from imgui_bundle import hello_imgui, imgui, immapp

from app.errors import UserError
from app.explorer.actions import run_live
from app.explorer.gui import guard, theme
from app.explorer.gui.dialogs import Dialogs, show_in_folder
from app.explorer.gui.guard import Guard, summary
from app.explorer.gui.menus import draw_menus, run_shortcuts
from app.explorer.gui.output_window import OutputWindow
from app.explorer.gui.palette import CommandPalette
from app.explorer.gui.shortcut_sheet import ShortcutSheet
from app.explorer.gui.status import draw_status
from app.explorer.gui.texture import GlTexture, Texture
from app.explorer.gui.viewport import Viewport
from app.explorer.gui.widgets import escape_closes
from app.explorer.panels import Panel
from app.explorer.panels.arrangement import Arrangement
from app.explorer.panels.table import PANELS, DockArea, PanelContext
from app.explorer.rendering.model_loader import EngineChoice
from app.explorer.services import Services
from app.explorer.session import Session
from app.explorer.storage.layouts import Layouts
from app.explorer.storage.settings import SettingsStore
from app.explorer.ui_state import ShowOutput
from core.checkpoints import bundled_checkpoint, read_header

if TYPE_CHECKING:
    from app.document.scene import Scene
    from app.explorer.rendering.render_thread import Renderer, StageCallback
    from core.request import Frame

log = logging.getLogger(__name__)

SIZE = (1280, 800)
DOZING_FPS = 5.0
# Of a window that may be opened again after it failed.
LEAST_FRAMES = 100
BEST = EngineChoice()

# The places' names in layout files.
SPACES: dict[DockArea, str] = {
    "picture": "MainDockSpace",
    "prompt": "Controls",
    "controls": "Rest",
    "play": "Rest2",
    "save": "Rest3",
    "side": "Side",
    "below": "Below",
}


def run(checkpoint: Path | None = None) -> int:
    """Open the explorer on `checkpoint`, or on the last one used, and return the exit code when its window is closed.

    Raises `UserError` when no window can be opened.
    """
    store = SettingsStore()
    handler = log_to(store)
    try:
        session = Session(real_services(), store, checkpoint)
        try:
            show(session)
        finally:
            session.close()
    finally:
        if handler is not None:
            logging.getLogger("app.explorer").removeHandler(handler)
            handler.close()
    return 0


def show(session: Session) -> None:
    """Show the window until it is closed.

    One that failed where nothing in Python could catch it is opened again on the same session: its scene is as it was.
    Raises `UserError` when it fails again at once.
    """
    while True:
        explorer = Explorer(session)
        try:
            explorer.run()
            return
        except UserError:
            raise
        except Exception as error:
            log.exception("the window failed")
            session.live.wake = lambda: None
            session.ui.output = None
            if explorer.frames < LEAST_FRAMES:
                raise UserError(
                    f"The window failed again and again: {summary(error)}. The scene was kept; the log has details."
                ) from error
            session.messages.error(
                f"Internal error in the window: {summary(error)}. It was opened again; the log has details."
            )


def real_services() -> Services:
    """The engine, the video writer and the PNG writer of this program; each is imported where it is first used."""
    return Services(
        open_engine=_open_engine,
        open_writer=_open_writer,
        write_image=_write_image,
        bundled_checkpoint=bundled_checkpoint,
        read_examples=_read_examples,
        list_devices=_list_devices,
    )


class Explorer:
    """The window's parts. `params` is what HelloImGui runs; tests add their own callbacks to it."""

    def __init__(
        self,
        session: Session,
        texture: Texture | None = None,
        layout: Path | None = None,
        *,
        native_dialogs: bool | None = None,
        new_texture: Callable[[], Texture] = GlTexture,
    ) -> None:
        self.session = session
        self.viewport = Viewport(session, texture or GlTexture(), show_in_folder, new_texture)
        self.dialogs = Dialogs(session, native=native_dialogs)
        parts = PanelContext(session=session, viewport=self.viewport, new_texture=new_texture)
        self.panels: tuple[Panel, ...] = tuple(entry.make(parts) for entry in PANELS)
        self.palette = CommandPalette(session)
        self.shortcut_sheet = ShortcutSheet(session)
        self.may_quit = True
        """Whether the window closes when the person asks for it; the soak goes on."""
        self.may_doze = True
        """Whether to draw fewer frames while nothing happens; a test engine's input does not count as something."""
        self._guard = Guard(session.messages.error, self._close_panel)
        self.output: OutputWindow | None = None
        """The output window; None where there is no screen."""
        self.frames = 0
        """How many were drawn."""
        self._vsync = session.preferences.settings.vsync
        self._theme = session.preferences.settings.theme
        self._drop_callback: Any = None
        layout = layout or SettingsStore().layout_path
        self.params = self._runner_params(layout)
        layouts = Layouts(layout.parent / "layouts")
        self.arrangement = Arrangement(session, self.params.docking_params, layouts)

    def run(self) -> None:
        """Show the window until it is closed."""
        try:
            immapp.run(self.params, immapp.AddOnsParams(with_implot=True))
        except RuntimeError as error:
            if self.frames:
                raise
            raise UserError(
                f"No window can be opened: {error}. On a machine without a display, use `glissando generate`."
            ) from error

    def _runner_params(self, layout: Path) -> hello_imgui.RunnerParams:
        params = hello_imgui.RunnerParams()
        window = params.app_window_params
        window.window_title = "Glissando"
        window.window_geometry.size = SIZE
        window.restore_previous_geometry = True
        params.ini_folder_type = hello_imgui.IniFolderType.absolute_path
        params.ini_filename = str(layout)
        params.ini_filename_use_app_window_title = False
        inner = params.imgui_window_params
        inner.default_imgui_window_type = hello_imgui.DefaultImGuiWindowType.provide_full_screen_dock_space
        inner.show_menu_bar = True
        inner.show_menu_app = False
        inner.show_menu_view = False
        inner.show_status_bar = True
        inner.show_status_fps = False
        inner.remember_theme = False
        inner.remember_status_bar_settings = False
        params.docking_params = self._docking()
        # ImGui smooths its own edges; multisampling would cost a software renderer most of its time.
        params.renderer_backend_options.open_gl_options.anti_aliasing_samples = 0
        params.fps_idling.vsync_to_monitor = self.session.preferences.settings.vsync
        params.fps_idling.fps_max = self.session.preferences.settings.frame_limit
        params.fps_idling.fps_idle = DOZING_FPS
        callbacks = params.callbacks
        callbacks.default_icon_font = hello_imgui.DefaultIconFont.font_awesome6
        callbacks.load_additional_fonts = theme.load_fonts
        callbacks.setup_imgui_config = _configure
        callbacks.setup_imgui_style = self._style
        callbacks.post_init = self._after_init
        callbacks.pre_new_frame = self._before_frame()
        callbacks.show_menus = self._guard.part("menus", lambda: draw_menus(self.session))
        callbacks.show_gui = self._frame_parts()
        callbacks.show_status = self._guard.part("status", lambda: draw_status(self.session))
        callbacks.before_imgui_render = self._guard.callback("session", self._after_drawing)
        callbacks.after_swap = self._guard.callback("output window", self._after_swap)
        callbacks.before_exit = self._guard.callback("closing", self._before_exit)
        return params

    def _style(self) -> None:
        theme.apply_sizes()
        self._apply_theme()

    def _apply_theme(self) -> None:
        theme.apply(self._theme)
        self.params.imgui_window_params.background_color = theme.colour.backdrop

    def _docking(self) -> hello_imgui.DockingParams:
        split = hello_imgui.DockingSplit
        down = imgui.Dir.down
        docking = hello_imgui.DockingParams()
        # The main dock space is the picture's; the left column is cut from it, then cut into rows from the top.
        docking.docking_splits = [
            split(SPACES["picture"], SPACES["prompt"], imgui.Dir.left, 0.315),
            split(SPACES["prompt"], SPACES["controls"], down, 0.59),
            split(SPACES["controls"], SPACES["play"], down, 0.59),
            split(SPACES["play"], SPACES["save"], down, 0.195),
            # Without a panel to show, these two take no space.
            split(SPACES["picture"], SPACES["below"], down, 0.28),
            split(SPACES["picture"], SPACES["side"], imgui.Dir.right, 0.36),
        ]
        windows = []
        for entry, panel in zip(PANELS, self.panels, strict=True):
            window = hello_imgui.DockableWindow(entry.title, SPACES[entry.place])
            window.gui_function = self._guard.panel(entry.title, partial(self._draw, panel))
            window.can_be_closed = entry.closable
            window.is_visible = entry.shown
            if not entry.scrolls:
                window.imgui_window_flags = imgui.WindowFlags_.no_scrollbar | imgui.WindowFlags_.no_scroll_with_mouse
            windows.append(window)
        docking.dockable_windows = windows
        docking.main_dock_space_node_flags = (
            imgui.DockNodeFlags_.auto_hide_tab_bar | imgui.DockNodeFlags_.passthru_central_node
        )
        return docking

    def _draw(self, panel: Panel) -> None:
        panel.draw(self.session.history)

    def _close_panel(self, title: str) -> bool:
        window = self.params.docking_params.dockable_window_of_name(title)
        if window is None or not window.can_be_closed:
            return False
        window.is_visible = False
        return True

    def _use_settings(self) -> None:
        settings = self.session.preferences.settings
        if settings.theme != self._theme:
            self._theme = settings.theme
            self._apply_theme()
        if settings.vsync != self._vsync:
            self._vsync = settings.vsync
            self._set_vsync(settings.vsync)
        idling = self.params.fps_idling
        idling.fps_max = settings.frame_limit if idling.fps_max else 0.0  # 0 is a test's: nobody watches
        idling.enable_idling = self.may_doze and not self.session.lively

    def _before_frame(self) -> Callable[[], None]:
        """What is done between two frames; each goes on when another fails."""
        callback = self._guard.callback
        parts = (
            guard.configure,  # every time: HelloImGui and the test engine set it, too
            callback("session", self.session.collect),
            callback("panels", self._carry_out_requests),
            callback("settings", self._use_settings),
        )

        def run() -> None:
            for part in parts:
                part()

        return run

    def _carry_out_requests(self) -> None:
        requests = self.session.ui.take_requests()
        self.arrangement.before_frame([request for request in requests if not isinstance(request, ShowOutput)])
        if self.output is not None:
            self.output.before_frame([request for request in requests if isinstance(request, ShowOutput)])

    def _frame_parts(self) -> Callable[[], None]:
        """What is done in every frame besides menus, status and panels; each goes on when another fails."""
        session, part, ui = self.session, self._guard.part, self.session.ui
        parts = (
            part("shortcuts", lambda: run_shortcuts(session)),
            part("live control", lambda: run_live(session)),
            part("window", self._close_or_quit),
            part("dialogs", self.dialogs.draw, self.dialogs.cancel),
            part("arrangement", lambda: self.arrangement.in_frame(), partial(setattr, ui, "naming_layout", False)),
            part("palette", self.palette.draw, partial(setattr, ui, "palette", False)),
            part("shortcut sheet", self.shortcut_sheet.draw, partial(setattr, ui, "shortcuts", False)),
        )

        def draw() -> None:
            imgui.get_style().font_scale_main = session.preferences.settings.text_scale
            for draw_part in parts:
                draw_part()

        return draw

    def _close_or_quit(self) -> None:
        ui = self.session.ui
        if not (ui.palette or ui.shortcuts):  # which close themselves
            escape_closes()
        if self.session.ui.quit_requested and self.may_quit:
            self.params.app_shall_exit = True

    def _after_drawing(self) -> None:
        self.frames += 1
        self._guard.after_frame()
        # Not in the first frame: the loader's imports would hold it up.
        if self.frames > 1:
            self.session.dispatch()

    def _after_swap(self) -> None:
        if self.output is not None:
            self.output.after_frame()

    def _before_exit(self) -> None:
        self.session.live.wake = lambda: None
        if self.output is not None:
            self.output.close()

    def _after_init(self) -> None:
        """Once the window exists: the output window, dropped files, and waking from idle."""
        if not self._has_screen():
            return
        import glfw
        from imgui_bundle.glfw_utils import glfw_window_hello_imgui

        # A message that comes in ends the doze at once; from any thread, as GLFW allows.
        self.session.live.wake = glfw.post_empty_event
        self.output = OutputWindow(self.session, glfw_window_hello_imgui())
        self._drop_callback = lambda window, paths: self._guard.callback("dropped files", partial(self.drop, paths))()
        glfw.set_drop_callback(glfw_window_hello_imgui(), self._drop_callback)

    def _set_vsync(self, vsync: bool) -> None:
        self.params.fps_idling.vsync_to_monitor = vsync
        if self._has_screen():
            import glfw

            glfw.swap_interval(1 if vsync else 0)

    def _has_screen(self) -> bool:
        """Whether this is a real window; tests have one without a display."""
        return bool(self.params.platform_backend_type != hello_imgui.PlatformBackendType.null)

    def drop(self, paths: list[str]) -> None:
        """Files were dropped on the window."""
        if not paths:
            return
        if len(paths) > 1:
            self.session.messages.error(f"Drop one file at a time; got {len(paths)} files.")
            return
        path = Path(paths[0])
        if path.suffix.lower() == ".npz":
            self.session.vectors.files.import_from(path)
        elif path.is_dir():
            self.session.run_follower.open(path)
        else:
            self.session.file_opener.open(path)


def _configure() -> None:
    io = imgui.get_io()
    # Without keyboard navigation of widgets: Space plays, also after a button was clicked.
    io.config_flags = imgui.ConfigFlags_.docking_enable
    io.config_windows_move_from_title_bar_only = True
    io.config_drag_click_to_input_text = True


def log_to(store: SettingsStore) -> logging.Handler | None:
    """Log to a file beside the settings; None where that cannot be written."""
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(store.log_path, maxBytes=2**20, backupCount=1, encoding="utf-8", delay=True)
    except OSError:
        return None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("app.explorer")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return handler


def _open_engine(path: Path, report: StageCallback, choice: EngineChoice = BEST) -> Renderer:
    _keep_triton_out()
    from app.vectors import register_saved_vectors
    from core.engine import Engine  # imports torch: on the render thread, after the window is there

    engine = Engine.open(path, device=choice.device, precision=choice.precision, progress=report)
    register_saved_vectors(engine, path)
    return engine


def _list_devices() -> tuple[str, ...]:
    import torch  # it is there already: a model has loaded

    return "auto", "cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))


def _keep_triton_out() -> None:
    """Let torch believe that triton is not installed.

    The window's OpenGL driver may have brought its own LLVM (Mesa's software renderer and its AMD driver do). Triton's
    library holds another LLVM with the same symbols, finds the driver's instead of its own, and crashes the process as
    it is loaded. torch loads triton for torch.compile only, which the window does not use.
    """
    if sys.platform.startswith("linux") and "triton" not in sys.modules:
        sys.modules["triton"] = None  # type: ignore[assignment]  # an import of it now raises ImportError


def _open_writer(path: Path, fps: int, size: tuple[int, int], comment: str) -> Any:
    from app.video import VideoWriter

    return VideoWriter(path, fps, size, comment=comment)


def _write_image(path: Path, frame: Frame, info: Any, scene: Scene, time: float | None) -> None:
    from app.images import save_png

    save_png(path, frame, info, scene.to_json(), time)


def _read_examples(path: Path) -> tuple[str, ...]:
    try:
        examples = read_header(path).notes.get("examples", [])
    except (ValueError, OSError):
        return ()
    return tuple(example for example in examples if isinstance(example, str))[:6] if isinstance(examples, list) else ()
