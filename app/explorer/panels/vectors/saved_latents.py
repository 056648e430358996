"""Saved latents: save the picture's styles, return to them, or mix some of their layers."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import icons_fontawesome_6 as icons
from imgui_bundle import imgui

from app.document.history import History
from app.document.style_mixes import at_latent, changed, with_latent, without
from app.explorer.actions import by_id
from app.explorer.gui import theme
from app.explorer.gui.widgets import (
    dim_text,
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
from core.request import LAYER_LIMIT, Mix
from core.vectors import NAME_LENGTH, Vector


class SavedLatentsPanel:
    """The list of saved latents."""

    title = "Saved latents"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._menu = VectorMenu(session)
        self._name = ""
        self._first, self._stop = 0, LAYER_LIMIT

    def draw(self, history: History) -> None:
        session = self._session
        if not session.vectors.store.is_open:
            dim_text("Latents come with a model; none is open yet.")
            return
        self._save()
        for index, mix in enumerate(history.scene.mixes):
            if mix.latent:
                imgui.push_id(f"mix {index}")
                removed = self._mix(history, index, mix)
                imgui.pop_id()
                if removed:
                    break
        latents = session.vectors.store.latents
        if not latents:
            wrapped_text(
                "Nothing is saved yet. A latent is a place you can come back to, whatever the prompt says then.",
                theme.colour.dim,
            )
            return
        imgui.separator()
        row_label("take", LAYERS_HELP)
        changed, first, stop = layer_range("layers", self._first, self._stop, session.models.info.num_ws, -1)
        if changed:
            self._first, self._stop = first, stop
        tooltip("Which layers the layers button takes from a latent. " + LAYERS_HELP)
        for vector in latents:
            self._row(history, vector)

    def _save(self) -> None:
        action = by_id("save_latent")
        width = imgui.get_font_size() * 6.5
        imgui.set_next_item_width(-width - imgui.get_style().item_spacing.x)
        _, self._name = imgui.input_text_with_hint("##name", "name (or the prompt's)", self._name[:NAME_LENGTH])
        imgui.same_line()
        imgui.begin_disabled(not action.enabled(self._session))
        if wide_button(f"{icons.ICON_FA_BOOKMARK}  Save###save latent", width, accent=True):
            self._session.vectors.save_latent(self._name)
            self._name = ""
        imgui.end_disabled()
        tooltip(f"{action.tooltip} ({action.shortcut})")

    def _mix(self, history: History, index: int, mix: Mix) -> bool:
        """How much of a latent is in the picture, and in which layers; whether it was removed."""
        vector = self._session.vectors.store.find(mix.latent)
        name = vector.name if vector is not None else mix.latent.rpartition("@")[0]
        what = f"{name}\n{about(self._session, vector)}" if vector is not None else name
        row_label(fitted(name, imgui.get_font_size() * 5.0), what)
        imgui.begin_disabled(vector is None)
        imgui.set_next_item_width(-reset_width() - 4)
        clamp = imgui.SliderFlags_.always_clamp
        edited, amount = slider(
            history, "##amount", f"mix {name}", lambda scene: scene.mixes[index].amount, 0.0, 1.0, flags=clamp
        )
        if edited and amount == amount:
            moved = replace(mix, amount=min(max(amount, 0.0), 1.0))
            history.apply(f"mix {name}", lambda scene: changed(scene, index, lambda _: moved))
        end_of_edit(history)
        tooltip(f"How much of {name} its layers take.")
        imgui.end_disabled()
        imgui.same_line(0, 4)
        if icon_button(icons.ICON_FA_XMARK, "remove", f"Take {name} off the picture"):
            history.step(f"remove {name}", lambda scene: without(scene, index))
            return True
        return False

    def _row(self, history: History, vector: Vector) -> None:
        if icon_button(icons.ICON_FA_LOCATION_ARROW, f"go {vector.digest}", f"Go to {vector.name}: all layers from it"):
            history.step(f"go to {vector.name}", lambda scene: at_latent(scene, vector))
        imgui.same_line(0, 0)
        if icon_button(
            icons.ICON_FA_LAYER_GROUP, f"take {vector.digest}", f"Take the layers named above from {vector.name}"
        ):
            history.step(f"layers of {vector.name}", lambda scene: with_latent(scene, vector, self._first, self._stop))
        imgui.same_line(0, 4)
        used = any(mix.latent.rpartition("@")[2] == vector.digest for mix in history.scene.mixes if mix.latent)
        vector_row(self._session, vector, in_use=used)
        self._menu.draw(history, vector)
