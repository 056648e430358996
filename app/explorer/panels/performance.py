"""Performance: plots of the last seconds; device, precision and frame limit."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from imgui_bundle import ImVec2, imgui, implot

from app.document.history import History
from app.explorer.gui import theme
from app.explorer.gui.plots import plot
from app.explorer.gui.widgets import dim_text, row_label, tooltip
from app.explorer.rendering.latency import KEPT_S, Samples, median
from app.explorer.session import Session
from app.explorer.storage.settings import FRAME_LIMITS, PRECISIONS, Settings

PLOT_EM = 5.5
_DEFAULT = Settings()

DEVICE_HELP = "What the model runs on; auto takes a CUDA card if there is one."
PRECISION_HELP = (
    "The numbers the model calculates with. Half precision (bfloat16, float16) is faster where the device has it, and "
    "coarser; auto takes what is best here. float32 by name is the plain model to the bit, slower than auto's."
)
THREADS_HELP = (
    "How many threads of the processor share the work on a picture: one for a small model, which leaves the other "
    "cores to whatever else wants them. The environment variable OMP_NUM_THREADS sets another number."
)
LIMIT_HELP = "The most frames a second that the window draws. The model has a pace of its own."
VSYNC_HELP = "Wait for the monitor before showing a frame: no tearing, and at most the monitor's rate."


Choice = TypeVar("Choice", bound=str)


class PerformancePanel:
    """Plots, device, precision, frame limit, vsync."""

    title = "Performance"

    def __init__(self, session: Session) -> None:
        self._session = session

    def draw(self, history: History) -> None:
        meter = self._session.rendering.latency
        now = meter.rate[-1][0] if meter.rate else 0.0
        newest = max((samples[-1][0] for samples in (meter.render_ms, meter.latency_ms) if samples), default=now)
        now = max(now, newest)
        _plot("a frame takes", meter.render_ms, now, "ms", "What the model took for each picture.", 10.0)
        _plot("new pictures", meter.rate, now, "a second", "New pictures in the second before.", 10.0)
        _plot(
            "input to picture",
            meter.latency_ms,
            now,
            "ms",
            "From a change, such as a slider's, to the drawing of the picture that answers it.",
            10.0,
        )
        imgui.separator()
        self._model()
        self._window()

    def _model(self) -> None:
        session = self._session
        info = session.models.info
        settings = session.preferences.settings
        devices = session.models.devices
        if settings.device not in devices:
            devices = (*devices, settings.device)
        device = _choice("device", settings.device, devices, DEVICE_HELP, "" if info is None else info.device)
        if device is not None:
            session.models.run_on(device=device)
        shown = "" if info is None else info.precision
        precision = _choice("precision", settings.precision, PRECISIONS, PRECISION_HELP, shown)
        if precision is not None:
            session.models.run_on(precision=precision)
        row_label("batch", "How many pictures the model draws at once; one, so that each comes as soon as it can.")
        dim_text("1")
        if info is not None and info.arithmetic.threads:
            row_label("threads", THREADS_HELP)
            dim_text(str(info.arithmetic.threads))

    def _window(self) -> None:
        session = self._session
        settings = session.preferences.settings
        row_label("frames/s", LIMIT_HELP)
        imgui.set_next_item_width(-1)
        changed, limit = imgui.slider_int(
            "##frame_limit", settings.frame_limit, *FRAME_LIMITS, "at most %d", imgui.SliderFlags_.always_clamp
        )
        if changed:
            session.preferences.set_frame_limit(limit)
        tooltip(LIMIT_HELP)
        row_label("vsync", VSYNC_HELP)
        changed, vsync = imgui.checkbox("##vsync", settings.vsync)
        if changed:
            session.preferences.set_vsync(vsync)
        tooltip(VSYNC_HELP)


def _choice(label: str, chosen: Choice, choices: tuple[Choice, ...], help_text: str, actual: str) -> Choice | None:
    """A row with a list; returns a new choice, if any. `actual` is the value behind "auto"."""
    row_label(label, help_text)
    imgui.set_next_item_width(-1)
    picked: Choice | None = None
    shown = f"auto ({actual})" if chosen == "auto" and actual else chosen
    if imgui.begin_combo(f"##{label}", shown):
        for choice in choices:
            if imgui.selectable(choice, choice == chosen)[0] and choice != chosen:
                picked = choice
        imgui.end_combo()
    tooltip(help_text)
    return picked


def _plot(title: str, samples: Samples, now: float, unit: str, help_text: str, least: float) -> None:
    """The last seconds of some values, under a line that says the newest and the middle one."""
    dim_text(title)
    tooltip(help_text)
    middle = median(samples)
    if middle is not None:
        text = f"{samples[-1][1]:.0f} {unit}" + (f"   median {middle:.0f}" if unit == "ms" else "")
        imgui.same_line()
        right = imgui.get_cursor_pos_x() + imgui.get_content_region_avail().x
        imgui.set_cursor_pos_x(max(right - imgui.calc_text_size(text).x, imgui.get_cursor_pos_x()))
        imgui.text_unformatted(text)
    at, values = np.array(samples, dtype=np.float64).reshape(-1, 2).T.copy()
    top = max(float(values.max(initial=0.0)) * 1.15, least)
    spec = implot.Spec()
    spec.line_color = theme.colour.accent
    spec.line_weight = 1.5
    with plot(f"##{title}", ImVec2(-1, imgui.get_font_size() * PLOT_EM)) as begun:
        if begun:
            axis = implot.AxisFlags_
            implot.setup_axes("", "", axis.no_label | axis.no_tick_labels | axis.no_tick_marks, axis.no_label)
            implot.setup_axes_limits(-KEPT_S, 0.0, 0.0, top, implot.Cond_.always)
            if len(values) > 1:
                implot.plot_line("##line", at - now, values, spec)
    tooltip(help_text)
