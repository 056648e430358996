"""How far a training run has come: images, losses, figures, and how it ended. Part of the Train panel."""

from __future__ import annotations

import numpy as np
from imgui_bundle import ImVec2, ImVec4, imgui, implot
from imgui_bundle import icons_fontawesome_6 as icons

from app.explorer.gui import theme
from app.explorer.gui.plots import plot
from app.explorer.gui.widgets import dim_text, fitted, tooltip, wrapped_text
from app.explorer.train.controller import TrainingController
from app.explorer.train.run_watch import Progress, RunWatch
from app.runs import amount

PLOT_EM = 6.5
LOSSES = ("loss_d", "loss_g")


def draw_progress(training: TrainingController, watch: RunWatch) -> None:
    """Draw progress, figures and curves of a run."""
    progress = watch.progress
    width = imgui.get_content_region_avail().x
    imgui.text_unformatted(fitted(_state(training, watch), width))
    tooltip(str(watch.run))
    other = training.other
    if other is not None:
        dim_text(fitted(f"trained by {other.who}", width))
        tooltip("Not by this window: it goes on when this window is closed.")
    ending = training.ending
    if ending not in (None, "finished", "stopped", training.problem):
        problem_text(f"It ended: {ending}")
    _plot(progress)
    rest = {name: value for name, value in progress.newest.items() if name not in LOSSES}
    _figures("Newest", rest)
    if progress.evaluated is not None:
        images, figures = progress.evaluated
        _figures(f"Evaluated after {amount(images)} images", figures)


def problem_text(text: str) -> None:
    """What went wrong, broken at the panel's edge."""
    wrapped_text(f"{icons.ICON_FA_TRIANGLE_EXCLAMATION}  {text}", theme.colour.red)


def _state(training: TrainingController, watch: RunWatch) -> str:
    """One line: run, progress, and problem."""
    progress, name = watch.progress, watch.run.name
    if progress.images is None:
        return f"{name}: " + ("starting…" if training.busy else "has not begun")
    state = f"{name}: {amount(progress.images)} images"
    if not training.busy:
        return f"{state}  ·  {training.ending}" if training.ending in ("finished", "stopped") else state
    if progress.stopped is not None:  # the last word of the trainer before this one
        return f"{state}  ·  starting…"
    return state if progress.images_per_s is None else f"{state}  ·  {progress.images_per_s:.3g} images/s"


def _figures(title: str, figures: dict[str, float]) -> None:
    """Names and numbers in a collapsed section."""
    if not figures or not imgui.tree_node_ex(
        f"{title}###{title.split()[0]}", imgui.TreeNodeFlags_.no_tree_push_on_open
    ):
        return
    for name, value in figures.items():
        dim_text(name)
        imgui.same_line(imgui.get_font_size() * 11)
        imgui.text_unformatted(f"{value:.4g}")


def _plot(progress: Progress) -> None:
    """The losses over the images, under a line with the newest of each in its curve's colour."""
    colours: dict[str, ImVec4] = {"loss_d": theme.colour.accent, "loss_g": theme.colour.amber}
    drawn = [name for name in LOSSES if name in progress.newest]
    if not drawn:
        return
    for index, name in enumerate(drawn):
        if index:
            imgui.same_line(0, imgui.get_font_size())
        dim_text(f"{name} {progress.newest[name]:.3g}", colours[name])
        tooltip("The discriminator's loss." if name == "loss_d" else "The generator's adversarial loss.")
    curves = {name: np.array(points, dtype=np.float64).T.copy() for name, points in progress.curves.items()}
    every = np.concatenate([curve[1] for curve in curves.values()]) if curves else np.zeros(1)
    first = min((curve[0, 0] for curve in curves.values()), default=0.0)
    last = max((curve[0, -1] for curve in curves.values()), default=1.0)
    low, high = float(every.min()), float(every.max())
    room = max((high - low) * 0.08, 0.05)
    with plot("##losses", ImVec2(-1, imgui.get_font_size() * PLOT_EM)) as begun:
        if begun:
            axis = implot.AxisFlags_
            implot.setup_axes("", "", axis.no_label | axis.no_tick_labels | axis.no_tick_marks, axis.no_label)
            implot.setup_axes_limits(first, max(last, first + 1.0), low - room, high + room, implot.Cond_.always)
            for name, curve in curves.items():
                spec = implot.Spec()
                spec.line_color = colours[name]
                spec.line_weight = 1.5
                implot.plot_line(f"##{name}", curve[0].copy(), curve[1].copy(), spec)
