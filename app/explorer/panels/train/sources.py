"""The pictures to train on: one place, or several with a weight each. Part of the Train panel."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import icons_fontawesome_6 as icons
from imgui_bundle import imgui

from app.explorer.gui.widgets import LABEL_EM, dim_text, row_label, square_button, tooltip
from app.explorer.panels.train.path_field import path_field
from app.explorer.panels.vectors.vector_rows import icon_button, to_the_right
from app.explorer.session import Session
from app.explorer.train.plan import MOST_SOURCES, WEIGHTS, DataSource, typed

HELP = "Captioned pictures: a folder, a .zip, shards, or a file of captions."
ADD_HELP = "Mix in pictures from another place."
WEIGHT_HELP = (
    "The weight: at 2 each of these pictures is drawn twice as often as one of weight 1. Double-click types a value."
)
GAP = 4.0


def draw_sources(session: Session) -> None:
    """A row for each source of pictures; a single one has no weight."""
    training = session.training
    row_label("data", HELP)
    several = len(training.plan.sources) > 1
    if several:
        dim_text("drawn by weight")
        to_the_right()
        _add(session)
    for index, source in enumerate(training.plan.sources):
        if several:
            source = _weight(source, index)
        buttons = 2 * (imgui.get_frame_height() + GAP)
        imgui.set_next_item_width(-buttons)
        changed, text = path_field(f"##data {index}", "a folder", source.place)
        if changed:
            source = replace(source, place=typed(text))
        tooltip(f"{source.place}\n{HELP}" if source.place else HELP)
        if source != training.plan.sources[index]:
            training.set_source(index, source)
        imgui.same_line(0, GAP)
        if square_button(f"{icons.ICON_FA_FOLDER_OPEN}###choose data {index}"):
            training.choosing = index
            session.ui.dialog_request = "train_data"
        tooltip("Choose a folder; a file's path can be typed.")
        imgui.same_line(0, GAP)
        if not several:
            _add(session)
        elif icon_button(icons.ICON_FA_XMARK, f"remove data {index}", "Leave these pictures out"):
            training.set_source(index, None)
            break  # the places of those behind it have changed


def _add(session: Session) -> None:
    training = session.training
    full = len(training.plan.sources) >= MOST_SOURCES
    if icon_button(icons.ICON_FA_PLUS, "add data", ADD_HELP, enabled=not full):
        training.set_source(len(training.plan.sources), DataSource())


def _weight(source: DataSource, index: int) -> DataSource:
    """The number in the labels' column."""
    column = imgui.get_style().window_padding.x + imgui.get_font_size() * LABEL_EM
    imgui.set_next_item_width(column - imgui.get_cursor_pos_x() - imgui.get_style().item_spacing.x)
    low, high = WEIGHTS
    flags = imgui.SliderFlags_.logarithmic | imgui.SliderFlags_.always_clamp
    changed, weight = imgui.drag_float(f"##weight {index}", source.weight, 0.02, low, high, "x %.4g", flags)
    tooltip(WEIGHT_HELP)
    imgui.same_line(column)
    if changed and weight == weight:
        source = replace(source, weight=round(min(max(weight, low), high), 4))
    return source
