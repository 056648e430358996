"""Directions: sliders for those in the picture, a list of those that are saved, and the search for more."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import icons_fontawesome_6 as icons
from imgui_bundle import imgui

from app.document.controls import push_control
from app.document.direction_edits import with_push, with_push_layers, without_push
from app.document.history import History
from app.explorer.actions import by_id
from app.explorer.gui import theme
from app.explorer.gui.widgets import (
    dim_text,
    edit_control,
    end_of_edit,
    fitted,
    reset_width,
    row_label,
    slider,
    tooltip,
    wide_button,
    wrapped_text,
)
from app.explorer.panels.vectors.vector_rows import LAYERS_HELP, VectorMenu, about, icon_button, layer_range, vector_row
from app.explorer.session import Session
from app.explorer.vectors.direction_search import Method, SearchOptions
from core.request import Push
from core.vectors import Vector

# A slider goes this many times a direction's scale either way.
REACH = 3.0

METHODS: dict[Method, str] = {
    "text": "From one text to another",
    "ganspace": "What varies most (GANSpace)",
    "styles": "What varies most in layers (GANSpace)",
    "sefa": "What layers respond to (SeFa)",
}
METHOD_HELP = (
    "SeFa reads directions off the weights of the layers; GANSpace looks at thousands of pictures' latents and finds "
    "along what they differ; a text direction is what one text adds that another does not."
)


class DirectionsPanel:
    """Adds named directions to the picture's styles."""

    title = "Directions"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._menu = VectorMenu(session)
        self._search = SearchOptions(method="sefa", text="snowy", minus="green", template="{}")
        self._chose = False

    def draw(self, history: History) -> None:
        session = self._session
        if not session.vectors.store.is_open:
            dim_text("Directions come with a model; none is open yet.")
            return
        for index, push in enumerate(history.scene.pushes):
            imgui.push_id(f"push {index}")
            removed = self._push(history, index, push)
            imgui.pop_id()
            if removed:
                break  # the places of those behind it have changed
        if history.scene.pushes:
            imgui.separator()
        if session.vectors.search.running:
            self._progress()
        else:
            # Out of the way once there are some: the list is what one plays on.
            imgui.set_next_item_open(not session.vectors.store.directions, imgui.Cond_.once)
            if imgui.tree_node_ex("Find and exchange###find section", imgui.TreeNodeFlags_.no_tree_push_on_open):
                self._find(history)
                imgui.separator()
        self._list(history)

    def _push(self, history: History, index: int, push: Push) -> bool:
        """The slider and the layers of one direction in the picture; whether it was removed."""
        vector = self._session.vectors.store.find(push.direction)
        name = vector.name if vector is not None else push.direction.rpartition("@")[0]
        what = (
            about(self._session, vector)
            if vector is not None
            else "This direction is not saved for this model and does nothing."
        )
        width = imgui.get_font_size() * 5.0
        row_label(fitted(name, width), f"{name}\n{what}")
        reach = REACH * (vector.scale if vector is not None else 1.0)
        imgui.begin_disabled(vector is None)
        imgui.set_next_item_width(-reset_width() - 4)
        control = push_control(index, push)
        changed, amount = slider(history, "##amount", f"push {name}", control.read, -reach, reach)
        if changed:
            edit_control(history, control, f"push {name}", amount)
        end_of_edit(history)
        tooltip(f"How far along {name}. Double-click types a value.")
        imgui.same_line(0, 4)
        if icon_button(icons.ICON_FA_ARROW_ROTATE_LEFT, "reset", f"Back to 0: {name}", enabled=push.amount != 0.0):
            history.step(f"reset {name}", lambda scene: control.set(scene, control.default))
        row_label("", "")
        changed, first, stop = layer_range(
            "layers", push.first, push.stop, self._session.models.info.num_ws, -reset_width() - 4
        )
        if changed:
            history.apply(f"layers of {name}", lambda scene: with_push_layers(scene, index, first, stop))
        end_of_edit(history)
        tooltip(LAYERS_HELP)
        imgui.end_disabled()
        imgui.same_line(0, 4)
        if icon_button(icons.ICON_FA_XMARK, "remove", f"Take {name} off the picture"):
            history.step(f"remove {name}", lambda scene: without_push(scene, index))
            return True
        return False

    def _list(self, history: History) -> None:
        """The saved directions; a click puts one on the picture."""
        directions = self._session.vectors.store.directions
        if not directions:
            wrapped_text(
                "No directions are saved for this model yet. Find some above, or drop a .npz file here.",
                theme.colour.dim,
            )
            return
        in_use = {push.direction.rpartition("@")[2] for push in history.scene.pushes}
        for vector in directions:
            self._row(history, vector, in_use=vector.digest in in_use)

    def _row(self, history: History, vector: Vector, *, in_use: bool) -> None:
        if icon_button(icons.ICON_FA_PLUS, f"add {vector.digest}", f"A slider for {vector.name}"):
            history.step(f"add {vector.name}", lambda scene: with_push(scene, vector))
        imgui.same_line(0, 4)
        vector_row(self._session, vector, in_use=in_use)
        self._menu.draw(history, vector)

    def _progress(self) -> None:
        """How far the search has come."""
        stage = self._session.vectors.search.stage
        done = stage[1] / stage[2] if stage is not None and stage[2] else 0.0
        text = stage[0] if stage is not None else "starting"
        imgui.progress_bar(done, (-reset_width() - 4, 0), f"Finding directions: {text}…")
        imgui.same_line(0, 4)
        if icon_button(icons.ICON_FA_XMARK, "cancel", "Stop looking"):
            self._session.vectors.search.cancel()

    def _find(self, history: History) -> None:
        """The search for more."""
        session, search = self._session, self._search
        takes_text = session.models.conditioning == "text"
        if not self._chose:
            search = replace(search, method="text" if takes_text else "sefa")
        elif search.method == "text" and not takes_text:
            search = replace(search, method="sefa")
        row_label("find", METHOD_HELP)
        imgui.set_next_item_width(-1)
        if imgui.begin_combo("##method", METHODS[search.method]):
            for method, label in METHODS.items():
                if (method != "text" or takes_text) and imgui.selectable(label, method == search.method)[0]:
                    search, self._chose = replace(search, method=method), True
            imgui.end_combo()
        tooltip(METHOD_HELP)
        if search.method == "text":
            search = _text_fields(search)
        row_label("layers", LAYERS_HELP)
        changed, first, stop = layer_range("search layers", search.first, search.stop, session.models.info.num_ws, -1)
        if changed:
            search = replace(search, first=first, stop=stop)
        tooltip(LAYERS_HELP)
        if search.method != "text":
            row_label("how many", "How many directions to find, the strongest first.")
            imgui.set_next_item_width(-1)
            _, count = imgui.slider_int("##count", search.count, 1, 50, "%d", imgui.SliderFlags_.always_clamp)
            search = replace(search, count=min(max(count, 1), 50))
        ready = search.method != "text" or (search.text != search.minus and "{}" in search.template)
        imgui.begin_disabled(not ready)
        if wide_button(f"{icons.ICON_FA_MAGNIFYING_GLASS}  Find directions###find", accent=True):
            session.vectors.find(replace(search, prompt=history.scene.prompt if takes_text else ""))
        imgui.end_disabled()
        tooltip(
            "Looks in the background and saves what it finds with this model."
            if ready
            else 'Give two different texts; what they stand in needs "{}" in it.'
        )
        self._search = search
        half = (imgui.get_content_region_avail().x - imgui.get_style().item_spacing.x) / 2
        for name, label in (("import_vectors", "Import…"), ("export_vectors", "Export…")):
            action = by_id(name)
            imgui.begin_disabled(not action.enabled(session))
            if wide_button(f"{label}###{name}", half):
                action.run(session)
            imgui.end_disabled()
            tooltip(action.tooltip)
            if name == "import_vectors":
                imgui.same_line()


def _text_fields(search: SearchOptions) -> SearchOptions:
    """The fields of a text direction: two texts and a template."""
    row_label("towards", 'What the direction adds, such as "snowy".')
    imgui.set_next_item_width(-1)
    _, text = imgui.input_text_with_hint("##text", "snowy", search.text)
    row_label("away from", 'What it takes away, such as "green"; may be empty.')
    imgui.set_next_item_width(-1)
    _, minus = imgui.input_text_with_hint("##minus", "green", search.minus)
    row_label("within", 'What the texts stand in, such as "{} hills": "{}" is where they go.')
    imgui.set_next_item_width(-1)
    _, template = imgui.input_text_with_hint("##template", "{} hills", search.template)
    return replace(search, text=text, minus=minus, template=template)
