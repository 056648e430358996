"""Choosing a class by number or name: a searchable list, and steps to its neighbours."""

from __future__ import annotations

from collections.abc import Callable

from imgui_bundle import ImVec2, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.classes import class_title, matching_classes
from app.document.fields import with_field
from app.document.history import History
from app.document.scene import Scene
from app.explorer.gui import theme
from app.explorer.gui.widgets import dim_text, fitted, square_button, tooltip
from app.explorer.session import Session

LIST_LINES = 12


class ClassField:
    """A class of the scene; `name` is the widget's id."""

    def __init__(
        self, session: Session, name: str, read: Callable[[Scene], int], write: Callable[[Scene, int], Scene]
    ) -> None:
        self._session = session
        self._field = name
        self._read = read
        self._write = write
        self._search = ""

    @classmethod
    def of(cls, session: Session, field: str) -> ClassField:
        """For a field of the scene by its name, such as "label"."""
        return cls(
            session,
            field,
            lambda scene: int(getattr(scene, field)),
            lambda scene, label: with_field(scene, field, label),
        )

    def draw(self, history: History) -> None:
        names, count = self._session.models.info.class_names, self._session.models.info.classes
        label = self._read(history.scene)
        side, gap = imgui.get_frame_height(), 4.0
        width = imgui.get_content_region_avail().x - 2 * (side + gap)
        title = class_title(label, names) if names else f"class {label}"
        title = fitted(title, width - imgui.get_style().frame_padding.x * 2)
        if imgui.button(f"{title}###{self._field}", ImVec2(width, 0)):
            self._search = ""
            imgui.open_popup(f"choose {self._field}")
        tooltip("Choose a class by number or name.")
        for step, icon, what in (
            (-1, icons.ICON_FA_CHEVRON_LEFT, "Previous"),
            (1, icons.ICON_FA_CHEVRON_RIGHT, "Next"),
        ):
            imgui.same_line(0, gap)
            if square_button(f"{icon}###{what} {self._field}"):
                self._choose(history, (label + step) % count)
            tooltip(f"{what} class")
        imgui.set_next_window_size(ImVec2(max(width, imgui.get_font_size() * 18), 0))
        if imgui.begin_popup(f"choose {self._field}"):
            self._list(history, label)
            imgui.end_popup()

    def _list(self, history: History, label: int) -> None:
        """The field to search with, and what fits; Enter takes the first."""
        names, count = self._session.models.info.class_names, self._session.models.info.classes
        appearing = imgui.is_window_appearing()
        if appearing:
            imgui.set_keyboard_focus_here()
        imgui.set_next_item_width(-1)
        hint = "number or name" if names else f"number, 0 to {count - 1}"
        flags = imgui.InputTextFlags_.enter_returns_true
        entered, self._search = imgui.input_text_with_hint(f"##search {self._field}", hint, self._search, flags)
        found = matching_classes(self._search, names, count)
        if entered and found:
            self._choose(history, found[0])
            imgui.close_current_popup()
        if not found:
            dim_text("No class fits.", theme.colour.amber)
        height = imgui.get_text_line_height_with_spacing() * LIST_LINES
        imgui.begin_child(f"##classes {self._field}", ImVec2(0, height))
        if appearing and label in found:
            line = imgui.get_text_line_height_with_spacing()
            imgui.set_scroll_y(max(0.0, found.index(label) * line - height / 2))
        clipper = imgui.ListClipper()
        clipper.begin(len(found))
        while clipper.step():
            for place in range(clipper.display_start, clipper.display_end):
                choice = found[place]
                if imgui.selectable(f"{class_title(choice, names)}###class {choice}", choice == label)[0]:
                    self._choose(history, choice)
                    imgui.close_current_popup()
        clipper.end()
        imgui.end_child()

    def _choose(self, history: History, label: int) -> None:
        history.step("class", lambda scene: self._write(scene, label))
