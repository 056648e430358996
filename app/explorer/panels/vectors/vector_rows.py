"""Rows shared by the panels of directions and saved latents: range of layers, icons, menu."""

from __future__ import annotations

from imgui_bundle import ImVec2, ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.direction_edits import without_vector
from app.document.history import History
from app.explorer.actions import by_id
from app.explorer.gui import theme
from app.explorer.gui.widgets import dim_text, fitted, reset_width, square_button, tooltip
from app.explorer.session import Session
from core.request import LAYER_LIMIT
from core.vectors import NAME_LENGTH, Vector

LAYERS_HELP = "Which of the model's layers it acts on: the first ones make the composition, the last ones the surface."


EARLIER = "Made for an earlier snapshot of this run: nearly right for this one."


def vector_row(session: Session, vector: Vector, *, in_use: bool) -> None:
    """A saved vector's name in a list, marked where it was made for an earlier snapshot. The menu's dots come next."""
    store = session.vectors.store
    width = imgui.get_content_region_avail().x - reset_width() - 4
    earlier = store.is_earlier(vector)
    if earlier:
        width -= imgui.calc_text_size(icons.ICON_FA_CLOCK_ROTATE_LEFT).x + 8
    imgui.align_text_to_frame_padding()
    dim_text(fitted(vector.name, width), theme.colour.text if in_use else theme.colour.dim)
    tooltip(f"{vector.name}\n{about(session, vector)}")
    if earlier:
        imgui.same_line(0, 8)
        dim_text(icons.ICON_FA_CLOCK_ROTATE_LEFT, theme.colour.faint)
        tooltip(EARLIER)
    to_the_right()


def about(session: Session, vector: Vector) -> str:
    """A tooltip: how a vector was made, and for which model."""
    return f"{vector.note}\n{EARLIER}" if session.vectors.store.is_earlier(vector) else vector.note


def icon_button(icon: str, name: str, help_text: str, *, enabled: bool = True) -> bool:
    """A square button without a frame; `name` is its id."""
    imgui.begin_disabled(not enabled)
    imgui.push_style_color(imgui.Col_.button, ImVec4(0, 0, 0, 0))
    imgui.push_style_color(imgui.Col_.text, theme.colour.dim if enabled else theme.colour.faint)
    pressed = square_button(f"{icon}###{name}")
    imgui.pop_style_color(2)
    imgui.end_disabled()
    tooltip(help_text)
    return pressed


def to_the_right() -> None:
    """Go on in this row, where one square button fits before the panel's edge."""
    imgui.same_line(0, 4)
    imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + imgui.get_content_region_avail().x - reset_width())


def layer_range(name: str, first: int, stop: int, num_ws: int, width: float) -> tuple[bool, int, int]:
    """Two numbers to drag, the first layer and the last: (changed, first, stop)."""
    last = min(stop, num_ws) - 1
    imgui.set_next_item_width(width)
    changed, low, high = imgui.drag_int_range2(
        f"##{name}", min(first, last), last, 0.05, 0, num_ws - 1, "layer %d", "to %d", imgui.SliderFlags_.always_clamp
    )
    if not changed:
        return False, first, stop
    low = min(max(low, 0), num_ws - 1)
    high = min(max(high, low), num_ws - 1)
    # The last layer stays the last in a model with more of them.
    return True, low, LAYER_LIMIT if high == num_ws - 1 else high + 1


class VectorMenu:
    """The menu behind the dots of a saved vector: rename, export, delete."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._name = ""

    def draw(self, history: History, vector: Vector) -> None:
        """The dots, and the menu while it is open."""
        popup = f"menu {vector.id}"
        if icon_button(icons.ICON_FA_ELLIPSIS, f"more {vector.digest}", "Rename, export, delete"):
            self._name = vector.name
            imgui.open_popup(popup)
        imgui.set_next_window_size(ImVec2(imgui.get_font_size() * 16, 0))
        if not imgui.begin_popup(popup):
            return
        store = self._session.vectors.store
        own = store.is_own(vector)
        if own:
            imgui.set_next_item_width(-1)
            flags = imgui.InputTextFlags_.enter_returns_true
            entered, self._name = imgui.input_text_with_hint("##rename", "name", self._name, flags)
            tooltip(f"Another name, up to {NAME_LENGTH} characters; Enter renames.")
            if (imgui.menu_item_simple("Rename") or entered) and self._name.strip():
                store.rename(vector, self._name)
                imgui.close_current_popup()
        if imgui.menu_item_simple("Export…"):
            by_id("export_vectors").run(self._session)
            self._session.vectors.files.to_export = (vector,)
        if imgui.menu_item_simple("Delete", enabled=own) and store.delete(vector):
            history.step(f"delete {vector.name}", lambda scene: without_vector(scene, vector))
        if not own:
            tooltip("It came with the model.")
        imgui.end_popup()
