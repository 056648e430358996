"""Train: starts a run of the trainer in the background, follows its log, and stops it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from imgui_bundle import ImVec2, ImVec4, imgui, implot
from imgui_bundle import icons_fontawesome_6 as icons

from app.explorer import theme
from app.explorer.history import History
from app.explorer.session import DialogWish, Session
from app.explorer.trainer import RECIPES, Progress
from app.explorer.training_desk import Place
from app.explorer.widgets import dim_text, fitted, row_label, square_button, tooltip, wide_button, wrapped_text
from app.runs import amount

PLOT_EM = 6.5
LOSSES = ("loss_d", "loss_g")
RUN_HELP = (
    "The run's folder, a new one; or one that holds a run, to go on with it as it was started. Left empty, a new one "
    "under the output folder."
)
STOP_HELP = "Saves the run first; it can be resumed. Closing the window does the same."
FIELDS: tuple[tuple[Place, str, str, DialogWish], ...] = (
    ("data", "data", "Captioned pictures: a folder, a .zip, or a file of captions.", "train_data"),
    (
        "clip",
        "CLIP",
        "A run of `glissando train clip`, or open_clip:MODEL/TAG. Left empty, what the recipe says.",
        "train_clip",
    ),
    (
        "start",
        "start from",
        "A run, or a checkpoint, whose model is trained further. Left empty, a new model.",
        "train_start",
    ),
)
HINTS: dict[Place, str] = {"data": "a folder", "clip": "the recipe's", "start": "nothing"}


class TrainPanel:
    """Start, follow and stop a training run."""

    title = "Train"

    def __init__(self, session: Session) -> None:
        self._session = session

    def draw(self, history: History) -> None:
        desk = self._session.training
        imgui.begin_disabled(desk.trainer.running)
        self._plan()
        imgui.end_disabled()
        self._buttons()
        if desk.problem is not None:
            wrapped_text(f"{icons.ICON_FA_TRIANGLE_EXCLAMATION}  {desk.problem}", theme.colour.red)
        if desk.trainer.run is not None:
            imgui.separator()
            self._progress(desk.trainer.progress)

    def _plan(self) -> None:
        desk = self._session.training
        resumes = desk.resumes
        imgui.begin_disabled(resumes)
        help_text = f"How to train. {desk.plan.recipe}: {RECIPES[desk.plan.recipe]}"
        row_label("recipe", help_text)
        imgui.set_next_item_width(-1)
        if imgui.begin_combo("###recipe", desk.plan.recipe):
            for name, about in RECIPES.items():
                if imgui.selectable(f"{name}###{name}", name == desk.plan.recipe)[0]:
                    desk.plan = replace(desk.plan, recipe=name)
                tooltip(about)
            imgui.end_combo()
        tooltip(help_text)
        for place, label, about, wish in FIELDS:
            self._field(place, label, about, wish, HINTS[place])
        imgui.end_disabled()
        self._field("out", "run", RUN_HELP, "train_out", str(desk.usual_run))

    def _field(self, place: Place, label: str, help_text: str, wish: DialogWish, hint: str) -> None:
        desk = self._session.training
        row_label(label, help_text)
        imgui.set_next_item_width(-imgui.get_frame_height() - 4)
        changed, text = imgui.input_text_with_hint(f"##{place}", hint, getattr(desk.plan, place))
        if changed:
            desk.plan = replace(desk.plan, **{place: text})
        tooltip(help_text)
        imgui.same_line(0, 4)
        if square_button(f"{icons.ICON_FA_FOLDER_OPEN}###choose {place}"):
            self._session.dialog_wish = wish
        tooltip("Choose a folder; a file's path can be typed.")

    def _buttons(self) -> None:
        desk = self._session.training
        half = (imgui.get_content_region_avail().x - imgui.get_style().item_spacing.x) / 2
        if desk.trainer.running:
            imgui.begin_disabled(desk.trainer.stopping)
            label = "Saving…" if desk.trainer.stopping else "Stop"
            if wide_button(f"{icons.ICON_FA_STOP}  {label}###stop", half):
                desk.trainer.stop()
            imgui.end_disabled()
            tooltip(STOP_HELP)
        else:
            ready = desk.resumes or bool(desk.plan.data.strip())
            label = "Resume" if desk.resumes else "Start"
            imgui.begin_disabled(not ready)
            if wide_button(f"{icons.ICON_FA_PLAY}  {label}###start training", half, accent=True):
                desk.start()
            imgui.end_disabled()
            tooltip(
                "Trains in the background, and ends, saved, when this window is closed. For runs that go on longer, "
                "use `glissando train gan`: they can be followed all the same."
                if ready
                else "Name the pictures to train on first."
            )
        imgui.same_line()
        imgui.begin_disabled(not (desk.trainer.running or desk.resumes))
        if wide_button(f"{icons.ICON_FA_EYE}  Explore it###explore run", half):
            desk.explore()
        imgui.end_disabled()
        tooltip("Show this run's newest snapshot in this window, and each one that comes.")

    def _progress(self, progress: Progress) -> None:
        trainer = self._session.training.trainer
        assert trainer.run is not None
        width = imgui.get_content_region_avail().x
        if progress.images is None:
            state = f"{trainer.run.name}: " + ("starting…" if trainer.running else "has not begun")
        else:
            state = f"{trainer.run.name}: {amount(progress.images)} images"
            if trainer.running and progress.images_per_s is not None:
                state += f"  ·  {progress.images_per_s:.3g} images/s"
        imgui.text_unformatted(fitted(state, width))
        tooltip(str(trainer.run))
        _plot(progress)
        rest = {name: value for name, value in progress.newest.items() if name not in LOSSES}
        _figures("Newest", rest)
        if progress.evaluated is not None:
            images, figures = progress.evaluated
            _figures(f"Evaluated after {amount(images)} images", figures)


def _figures(title: str, figures: dict[str, float]) -> None:
    """Names and numbers, folded away until somebody wants them."""
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
    # Nothing between begin and end may raise: ImPlot could not be told that the plot is over.
    curves = {name: np.array(points, dtype=np.float64).T.copy() for name, points in progress.curves.items()}
    every = np.concatenate([curve[1] for curve in curves.values()]) if curves else np.zeros(1)
    first = min((curve[0, 0] for curve in curves.values()), default=0.0)
    last = max((curve[0, -1] for curve in curves.values()), default=1.0)
    low, high = float(every.min()), float(every.max())
    room = max((high - low) * 0.08, 0.05)
    flags = implot.Flags_.canvas_only | implot.Flags_.no_inputs | implot.Flags_.no_frame
    implot.push_style_color(implot.Col_.plot_bg, theme.colour.frame)
    implot.push_style_color(implot.Col_.plot_border, ImVec4(0, 0, 0, 0))
    implot.push_style_color(implot.Col_.axis_text, theme.colour.faint)
    implot.push_style_color(implot.Col_.axis_grid, theme.colour.line)
    implot.push_style_var(implot.StyleVar_.plot_padding, ImVec2(2, 2))
    implot.push_style_var(implot.StyleVar_.label_padding, ImVec2(2, 1))
    if implot.begin_plot("##losses", ImVec2(-1, imgui.get_font_size() * PLOT_EM), flags):
        axis = implot.AxisFlags_
        implot.setup_axes("", "", axis.no_label | axis.no_tick_labels | axis.no_tick_marks, axis.no_label)
        implot.setup_axes_limits(first, max(last, first + 1.0), low - room, high + room, implot.Cond_.always)
        for name, curve in curves.items():
            spec = implot.Spec()
            spec.line_color = colours[name]
            spec.line_weight = 1.5
            implot.plot_line(f"##{name}", curve[0].copy(), curve[1].copy(), spec)
        implot.end_plot()
    implot.pop_style_var(2)
    implot.pop_style_color(4)
