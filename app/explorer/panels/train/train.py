"""Train: starts a run of the trainer in the background, follows its log, and stops it."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import icons_fontawesome_6 as icons
from imgui_bundle import imgui

from app.document.fields import with_field
from app.document.history import History
from app.explorer.gui.widgets import row_label, square_button, tooltip, wide_button
from app.explorer.panels.train.path_field import path_field
from app.explorer.panels.train.progress import draw_progress, problem_text
from app.explorer.panels.train.sources import draw_sources
from app.explorer.session import Session
from app.explorer.train.controller import PathField
from app.explorer.train.plan import RECIPES, typed
from app.explorer.ui_state import DialogRequest

CLIP_HELP = "A run of `glissando train clip`, or open_clip:MODEL/TAG. Left empty, what the recipe says."
FROM_HELP = "A run, or a checkpoint, whose model is trained further. Left empty, a new model."
RUN_HELP = (
    "The run's folder, a new one; or one that holds a run, to go on with it as it was started. Left empty, a new one "
    "under the output folder"
)
SETTINGS_HELP = (
    "Changes to the recipe, or to the run from here on: name=value, with spaces between them, such as kimg (how long, "
    "in thousands of pictures), batch, seed, learning_rate_g and learning_rate_d. A run's config.toml has all names. "
    "mirror=true, crop and resize say how the pictures of a new run are read."
)
START_HELP = (
    "Trains in the background, and ends, saved, when this window is closed. For runs that go on longer, use "
    "`glissando train gan`: they can be followed all the same."
)
STOP_HELP = "Saves the run first; it can be resumed. Closing the window does the same."
STOP_OTHER_HELP = (
    "Saves the run first; it can be resumed. It is trained by {who} and goes on when this window is closed."
)


class TrainPanel:
    """Start, follow and stop a training run."""

    title = "Train"

    def __init__(self, session: Session) -> None:
        self._session = session

    def draw(self, history: History) -> None:
        training = self._session.training
        self._plan()
        self._buttons()
        if training.problem is not None:
            problem_text(training.problem)
        watch = training.watch
        if watch is not None and (training.busy or watch.progress.images is not None):
            imgui.separator()
            draw_progress(training, watch)

    def _plan(self) -> None:
        training = self._session.training
        imgui.begin_disabled(training.resumes or training.busy)
        self._recipe()
        draw_sources(self._session)
        self._place("clip", "CLIP", CLIP_HELP, "train_clip", "the recipe's")
        self._place("start", "start from", FROM_HELP, "train_start", "nothing")
        imgui.end_disabled()
        # Beside a run that another process trains, one may well start another.
        imgui.begin_disabled(training.process.running)
        self._place("out", "run", f"{RUN_HELP}: {training.usual_run}.", "train_out", f"runs/{training.plan.recipe}")
        imgui.end_disabled()
        imgui.begin_disabled(training.busy)
        row_label("settings", SETTINGS_HELP)
        imgui.set_next_item_width(-1)
        changed, text = imgui.input_text_with_hint("##settings", "kimg=50 batch=16", training.plan.settings)
        if changed:
            training.plan = replace(training.plan, settings=typed(text))
        tooltip(f"{training.plan.settings}\n{SETTINGS_HELP}" if training.plan.settings else SETTINGS_HELP)
        imgui.end_disabled()

    def _recipe(self) -> None:
        training = self._session.training
        help_text = f"How to train. {training.plan.recipe}: {RECIPES[training.plan.recipe]}"
        row_label("recipe", help_text)
        imgui.set_next_item_width(-1)
        if imgui.begin_combo("###recipe", training.plan.recipe):
            for name, about in RECIPES.items():
                if imgui.selectable(f"{name}###{name}", name == training.plan.recipe)[0]:
                    training.plan = replace(training.plan, recipe=name)
                tooltip(about)
            imgui.end_combo()
        tooltip(help_text)

    def _place(self, place: PathField, label: str, help_text: str, request: DialogRequest, hint: str) -> None:
        """A field of the plan that is a file or a folder."""
        training = self._session.training
        row_label(label, help_text)
        imgui.set_next_item_width(-imgui.get_frame_height() - 4)
        now = getattr(training.plan, place)
        changed, text = path_field(f"##{place}", hint, now)
        if changed:
            training.plan = with_field(training.plan, place, typed(text))
        tooltip(f"{now}\n{help_text}" if now else help_text)
        imgui.same_line(0, 4)
        if square_button(f"{icons.ICON_FA_FOLDER_OPEN}###choose {place}"):
            self._session.ui.dialog_request = request
        tooltip("Choose a folder; a file's path can be typed.")

    def _buttons(self) -> None:
        training = self._session.training
        half = (imgui.get_content_region_avail().x - imgui.get_style().item_spacing.x) / 2
        if training.busy:
            imgui.begin_disabled(training.stopping)
            label = "Saving…" if training.stopping else "Stop"
            if wide_button(f"{icons.ICON_FA_STOP}  {label}###stop", half):
                training.stop()
            imgui.end_disabled()
            other = training.other
            tooltip(STOP_HELP if other is None else STOP_OTHER_HELP.format(who=other.who))
        else:
            ready = training.resumes or training.plan.ready
            label = "Resume" if training.resumes else "Start"
            imgui.begin_disabled(not ready)
            if wide_button(f"{icons.ICON_FA_PLAY}  {label}###start training", half, accent=True):
                training.start()
            imgui.end_disabled()
            tooltip(START_HELP if ready else "Name the pictures to train on first.")
        imgui.same_line()
        imgui.begin_disabled(not (training.busy or training.resumes))
        if wide_button(f"{icons.ICON_FA_EYE}  Explore it###explore run", half):
            training.explore()
        imgui.end_disabled()
        tooltip("Show this run's newest snapshot in this window, and each one that comes.")
