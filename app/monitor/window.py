"""The monitor's window: lays the panels out, and draws as often as there is a reason to.

All of Dear PyGui is called from this thread; the others read files and hand over values. With nobody at the mouse the
window is drawn a few times a second, which is enough to follow a run and leaves the machine to it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence

import dearpygui.dearpygui as dpg

from app.monitor import theme
from app.monitor.hardware import Hardware
from app.monitor.log_panel import LogPanel
from app.monitor.plots import PlotGrid
from app.monitor.psi_plot import PsiPlot
from app.monitor.sample_panel import SamplePanel
from app.monitor.samples import Loader
from app.monitor.sidebar import ControlPanel, MachinePanel, RunList
from app.monitor.state import MonitorState

SIZE = (1280, 800)
LEAST = (900, 560)
MARGIN = 12
SIDE_WIDTH = 256
RIGHT_WIDTH = 308
TOOLBAR = 34
TABS = 34

RATES = ((1.5, 60.0), (20.0, 6.0), (float("inf"), 2.0))
"""Frames a second until so many seconds after the last input. A frame costs little with a graphics card, and up to a
hundredth of a second of all cores without one."""
REFRESH_S = 0.25
LIST_S = 2.0
"""How often the folders are looked at for new sample grids."""


class Monitor:
    """The window on some runs. Make one a process: Dear PyGui keeps global state."""

    def __init__(self, state: MonitorState) -> None:
        self.state = state
        self.hardware = Hardware()
        self.loader = Loader()
        self._touched = time.monotonic()
        self._mouse: list[float] = []
        self._refreshed = self._listed = 0.0
        self._dirty = True
        self._size = (0, 0)

    def open(self) -> None:
        """Make the window and start reading."""
        self.state.start()
        self.hardware.start()
        self.loader.start()
        dpg.create_context()
        dpg.configure_app(manual_callback_management=True)
        names = ", ".join(run.name for run in self.state.runs)
        dpg.create_viewport(
            title=f"{names} - Glissando monitor",
            width=SIZE[0],
            height=SIZE[1],
            min_width=LEAST[0],
            min_height=LEAST[1],
            x_pos=0,
            y_pos=0,
            clear_color=theme.BACKDROP,
        )
        theme.apply()
        fonts = theme.Fonts()
        if fonts.text is not None:
            dpg.bind_font(fonts.text)
        self._build(fonts)
        dpg.setup_dearpygui()
        dpg.show_viewport()
        dpg.set_primary_window(self.window, True)

    def _build(self, fonts: theme.Fonts) -> None:
        state = self.state
        flat = theme.padded(0, 0)
        with dpg.window(no_scrollbar=True, no_scroll_with_mouse=True) as self.window:
            with dpg.group(horizontal=True, horizontal_spacing=MARGIN, pos=(MARGIN, MARGIN)):
                with dpg.child_window(width=SIDE_WIDTH, height=-MARGIN) as self._left:
                    self.runs = RunList(state, fonts, SIDE_WIDTH, self.touch)
                    dpg.add_spacer(height=6)
                    self.controls = ControlPanel(state, fonts, SIDE_WIDTH)
                    dpg.add_spacer(height=6)
                    self.machine = MachinePanel(self.hardware, fonts, SIDE_WIDTH)
                with dpg.child_window(width=400, height=-MARGIN, no_scrollbar=True) as self._middle:
                    with dpg.group(horizontal=True):
                        self.smoothing = dpg.add_slider_float(
                            width=140,
                            default_value=state.smoothing,
                            min_value=0.0,
                            max_value=1.0,
                            clamped=True,
                            format="",
                            callback=self._smooth,
                        )
                        with dpg.tooltip(self.smoothing):
                            dpg.add_text("Smoothing: a picture counts half in the average\nwhen so many came after it")
                        self._half_life = dpg.add_text("", color=theme.DIM)
                        fonts.use(self._half_life, fonts.small)
                        self.whole = dpg.add_button(label="Whole run", callback=self._whole)
                        hint = dpg.add_text("drag pans, wheel zooms, double-click shows all", color=theme.FAINT)
                        fonts.use(hint, fonts.small)
                    with dpg.tab_bar(callback=self.touch) as self.tabs:
                        with dpg.tab(label="Training") as self.training_tab:
                            training = dpg.add_child_window(height=-1)
                        with dpg.tab(label="Metrics") as self.metrics_tab:
                            metrics = dpg.add_child_window(height=-1)
                        with dpg.tab(label="psi"):
                            psi = dpg.add_child_window(height=-1, no_scrollbar=True)
                    self.plots = PlotGrid(state, fonts, training, state.curves)
                    self.metrics = PlotGrid(state, fonts, metrics, lambda run: run.view.metrics, dots=True)
                    self.psi = PsiPlot(state, fonts, psi)
                with dpg.child_window(width=RIGHT_WIDTH, height=-MARGIN, no_scrollbar=True) as self._right:
                    self.samples = SamplePanel(state, self.loader, fonts, RIGHT_WIDTH)
                    dpg.add_spacer(height=4)
                    self.log = LogPanel(state, fonts, RIGHT_WIDTH)
            for item in (self._left, self._middle, self._right, training, metrics, psi):
                dpg.bind_item_theme(item, flat)
        with dpg.handler_registry():
            dpg.add_mouse_wheel_handler(callback=self.touch)
            dpg.add_mouse_click_handler(callback=self._click)
            dpg.add_mouse_double_click_handler(dpg.mvMouseButton_Left, callback=self._fit)
            dpg.add_key_press_handler(callback=self._key)

    # What the person does

    def touch(self) -> None:
        """There is something new to draw."""
        self._dirty = True
        self._touched = time.monotonic()

    def _smooth(self, sender: int, value: float) -> None:
        self.state.smoothing = value
        self.touch()

    def _whole(self) -> None:
        self.state.move(None, time.monotonic())
        self.touch()

    def _click(self) -> None:
        self.runs.click()
        self.samples.click()
        self.touch()

    def _fit(self) -> None:
        if self.plots.hovered or self.metrics.hovered:
            self._whole()

    def _key(self, sender: int, key: int) -> None:
        self.touch()
        if key == dpg.mvKey_Escape:
            for item in (self.controls.question, self.samples.large):
                dpg.configure_item(item, show=False)

    # Drawing

    def run(self) -> None:
        """Draw until the window is closed. Raises `KeyboardInterrupt` after Ctrl-C."""
        interrupts: list[int] = []
        # Raised wherever the signal comes, it can be lost in Dear PyGui's own code; between two frames it is not.
        before = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
        try:
            self._draw_frames(interrupts)
        finally:
            signal.signal(signal.SIGINT, before)
        if interrupts:
            raise KeyboardInterrupt

    def _draw_frames(self, interrupts: Sequence[int]) -> None:
        while dpg.is_dearpygui_running() and not interrupts:
            began = time.monotonic()
            self.frame(began)
            quiet = 0.0 if self.samples.playing else began - self._touched
            rate = next(rate for limit, rate in RATES if quiet < limit)
            time.sleep(max(0.0, 1 / rate - (time.monotonic() - began)))

    def rest(self) -> None:
        """As if nobody had been at the mouse for long."""
        self._touched = -1e9

    def frame(self, now: float) -> None:
        """One frame: what threads have found, what the person did, and the picture."""
        if now - self._listed > LIST_S:
            self._listed = now
            self.state.list_grids()
            self._dirty = True
        if self._dirty or now - self._refreshed > REFRESH_S:
            self._refreshed = now
            changed = self.state.refresh(time.time())
            size = dpg.get_viewport_client_width(), dpg.get_viewport_client_height()
            self._draw(plots=changed or self._dirty or size != self._size, size=size)
            self._dirty = False
        self.samples.tick(now)
        dpg.render_dearpygui_frame()
        jobs = dpg.get_callback_queue()
        if jobs:
            dpg.run_callbacks(jobs)
        mouse = dpg.get_mouse_pos(local=False)
        if mouse != self._mouse or any(dpg.is_mouse_button_down(button) for button in range(3)):
            self._mouse = mouse
            self._touched = now
        shown = self._grid()
        if shown is not None:
            if shown.follow_mouse(now):
                self._dirty = True
            shown.point()

    def _grid(self) -> PlotGrid | None:
        tab = dpg.get_value(self.tabs)
        name = dpg.get_item_alias(tab) if isinstance(tab, str) else tab
        return {self.training_tab: self.plots, self.metrics_tab: self.metrics}.get(name or tab)

    def _draw(self, *, plots: bool, size: tuple[int, int]) -> None:
        if size != self._size:
            self._size = size
            self._middle_size = (size[0] - SIDE_WIDTH - RIGHT_WIDTH - 4 * MARGIN, size[1] - 2 * MARGIN)
            dpg.configure_item(self._middle, width=self._middle_size[0])
        room = (self._middle_size[0], self._middle_size[1] - TOOLBAR - TABS)
        self.runs.draw()
        self.controls.draw()
        self.machine.draw()
        self.samples.draw()
        self.log.draw()
        top = dpg.get_item_pos(self.log.area)[1]
        if top:
            dpg.configure_item(self.log.area, height=max(60, size[1] - 2 * MARGIN - top))
        dpg.set_value(self._half_life, self.state.smoothing_in_words())
        dpg.configure_item(self.whole, enabled=self.state.range is not None)
        if plots:
            grid = self._grid()
            if grid is self.plots:
                self.plots.draw(self.state.names(), room)
            elif grid is self.metrics:
                self.metrics.draw(self.state.metric_names(), room)
            else:
                self.psi.draw(room[1] - 8)

    def close(self) -> None:
        """End the threads and the window."""
        self.loader.close()
        self.hardware.close()
        self.state.close()
        dpg.destroy_context()


def run(state: MonitorState) -> int:
    """Show the runs until the window is closed."""
    monitor = Monitor(state)
    try:
        monitor.open()
        monitor.run()
    finally:
        monitor.close()
    return 0
