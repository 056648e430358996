"""Style mixing: some layers draw with the styles of another seed, prompt, class or saved latent."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from imgui_bundle import ImVec2, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.classes import class_title
from app.document import style_mixes as mixing
from app.document.history import History
from app.document.style_mixes import Kind, kind_of
from app.explorer.gui import theme
from app.explorer.gui.widgets import dim_text, end_of_edit, fitted, square_button, tooltip, wrapped_text
from app.explorer.panels.latents.layer_range import clamped, layer_range, presets, to_last
from app.explorer.session import Session
from core.request import SEED_LIMIT, SEEDS_PER_ROW, Mix
from core.vectors import name_of

GAP = 4.0
TYPING_PAUSE_S = 1.0
KIND_LABELS: dict[Kind, str] = {"seed": "seed", "prompt": "prompt", "class": "class", "latent": "latent"}
HELP = (
    "Coarse layers decide what is where, fine ones colours and texture. Each mix gives some layers the styles of "
    "something else; they act in the order of this list."
)
RANGE_HELP = "Which layers, coarse on the left. Drag an end, or the whole range; click beside it to stretch it."
AMOUNT_HELP = "How far towards the other styles: 0 switches this mix off, 1 goes all the way."


class MixingPanel:
    """The list of mixes."""

    title = "Style mixing"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._amounts: dict[int, float] = {}
        """By place, the amount to go back to when a mix is switched on again."""

    def draw(self, history: History) -> None:
        info = self._session.models.info
        if info is None:
            dim_text("There is no model yet.")
            return
        if info.num_ws < 2:
            wrapped_text("This model draws all layers with one style: there is nothing to mix.", theme.colour.dim)
            return
        mixes = history.scene.mixes
        if not mixes:
            wrapped_text(HELP, theme.colour.dim)
        for index, mix in enumerate(mixes):
            imgui.push_id(index)
            self._entry(history, index, mix, info.num_ws)
            imgui.pop_id()
            imgui.spacing()
            imgui.separator()
            imgui.spacing()
        imgui.begin_disabled(len(mixes) >= mixing.MOST)
        if imgui.button(f"{icons.ICON_FA_PLUS}  Add a mix###add mix"):
            history.step("add mix", lambda scene: mixing.added(scene, info.num_ws))
        imgui.end_disabled()
        tooltip(HELP)

    def _entry(self, history: History, index: int, mix: Mix, count: int) -> None:
        self._source(history, index, mix)
        first, stop = clamped(mix.first, mix.stop, count)
        changed, first, stop = layer_range("##range", first, stop, count)
        if changed:
            self._edit(history, index, "mixed layers", lambda mix: _in_layers(mix, first, stop, count))
        if imgui.is_item_deactivated():
            history.end_gesture()
        tooltip(RANGE_HELP)
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(7, imgui.get_style().frame_padding.y))
        for place, (name, (low, high)) in enumerate(presets(count).items()):
            if place:
                imgui.same_line(0, GAP)
            if imgui.button(f"{name}###{name}"):
                self._edit(
                    history,
                    index,
                    "mixed layers",
                    lambda mix, low=low, high=high: _in_layers(mix, low, high, count),  # type: ignore[misc]
                )
                history.end_gesture()
            tooltip(f"Layers {low} to {high - 1} of {count}.")
        imgui.pop_style_var()
        imgui.same_line(0, 2 * GAP)
        imgui.set_next_item_width(-1)
        moved, amount = imgui.slider_float(
            "##amount",
            mix.amount,
            0.0,
            1.0,
            "off" if mix.amount == 0 else "amount %.2f",
            imgui.SliderFlags_.always_clamp,
        )
        if moved and amount == amount:
            self._edit(history, index, "mix amount", lambda mix: replace(mix, amount=min(max(amount, 0.0), 1.0)))
        end_of_edit(history)
        tooltip(AMOUNT_HELP)

    def _source(self, history: History, index: int, mix: Mix) -> None:
        """The row of one mix: on or off, source of its styles, buttons."""
        kind = kind_of(mix)
        square = imgui.get_frame_height()
        on = mix.amount > 0.0
        toggled, on = imgui.checkbox("###on", on)
        if toggled:
            if not on:
                self._amounts[index] = mix.amount
            amount = self._amounts.get(index, 1.0) if on else 0.0
            self._edit(history, index, "mix on" if on else "mix off", lambda mix: replace(mix, amount=amount))
            history.end_gesture()
        tooltip("Switch this mix on or off.")
        imgui.same_line(0, GAP)
        imgui.set_next_item_width(-3 * (square + GAP))
        if imgui.begin_combo("##kind", KIND_LABELS[kind]):
            for choice in self._kinds():
                if imgui.selectable(f"{KIND_LABELS[choice]}###kind {choice}", choice == kind)[0] and choice != kind:
                    history.step(
                        "mix source",
                        lambda scene, choice=choice: mixing.changed(  # type: ignore[misc]
                            scene, index, lambda mix: mixing.of_kind(mix, choice, scene, self._latents())
                        ),
                    )
            imgui.end_combo()
        tooltip("What the styles come from.")
        self._buttons(history, index)
        width = imgui.get_content_region_avail().x
        if kind == "seed":
            self._seed(history, index, mix, width)
        elif kind == "prompt":
            self._prompt(history, index, mix, width)
        elif kind == "class":
            self._class(history, index, mix, width)
        else:
            self._latent(history, index, mix, width)
        if kind in ("prompt", "class") and mix.seed_x is not None:
            dim_text(f"with the seed {mix.seed_x:g}, {mix.seed_y or 0.0:g}")

    def _kinds(self) -> tuple[Kind, ...]:
        conditioning = self._session.models.conditioning
        subject: dict[str, tuple[Kind, ...]] = {"text": ("prompt",), "class": ("class",)}
        saved: tuple[Kind, ...] = ("latent",) if self._session.vectors.store.latents else ()
        return ("seed", *subject.get(conditioning, ()), *saved)

    def _buttons(self, history: History, index: int) -> None:
        imgui.same_line(0, GAP)
        last = len(history.scene.mixes) - 1
        for name, icon, by, possible in (
            ("earlier", icons.ICON_FA_CHEVRON_UP, -1, index > 0),
            ("later", icons.ICON_FA_CHEVRON_DOWN, 1, index < last),
        ):
            imgui.begin_disabled(not possible)
            if square_button(f"{icon}###{name}"):
                history.step("move mix", lambda scene, by=by: mixing.shifted(scene, index, by))  # type: ignore[misc]
            imgui.end_disabled()
            tooltip(f"Apply it {name}.")
            imgui.same_line(0, GAP)
        if square_button(f"{icons.ICON_FA_XMARK}###remove"):
            history.step("remove mix", lambda scene: mixing.without(scene, index))
        tooltip("Remove this mix.")

    def _seed(self, history: History, index: int, mix: Mix, width: float) -> None:
        square = imgui.get_frame_height()
        limit = float(SEED_LIMIT)
        each = (width - square - 2 * GAP) / 2
        for field in ("seed_x", "seed_y"):
            imgui.set_next_item_width(each)
            value = getattr(mix, field)
            value = getattr(history.scene, field) if value is None else value
            changed, value = imgui.drag_float(f"##{field}", value, 0.01, -limit, limit, "%.2f")
            if changed and value == value:
                clamped_value = min(max(value, -limit), limit)
                self._edit(
                    history,
                    index,
                    "mix seed",
                    lambda mix, field=field, value=clamped_value: replace(mix, **{field: value}),  # type: ignore[misc]
                )
            end_of_edit(history)
            tooltip("Place on the seed plane that the styles come from; drag, or double-click and type.")
            imgui.same_line(0, GAP)
        if square_button(f"{icons.ICON_FA_DICE}###any seed"):
            seed = random.randrange(100_000)
            x, y = float(seed % SEEDS_PER_ROW), float(seed // SEEDS_PER_ROW)
            self._edit(history, index, "mix seed", lambda mix: replace(mix, seed_x=x, seed_y=y))
            history.end_gesture()
        tooltip("A random seed.")

    def _prompt(self, history: History, index: int, mix: Mix, width: float) -> None:
        imgui.set_next_item_width(width)
        changed, text = imgui.input_text_with_hint("##prompt", "another prompt…", mix.prompt or "")
        if changed and text != mix.prompt:
            history.apply(
                "mix prompt",
                lambda scene: mixing.changed(scene, index, lambda mix: replace(mix, prompt=text)),
                pause=TYPING_PAUSE_S,
            )
        end_of_edit(history)
        tooltip(mix.prompt or "")

    def _class(self, history: History, index: int, mix: Mix, width: float) -> None:
        info = self._session.models.info
        imgui.set_next_item_width(width)
        label = mix.label or 0
        title = class_title(label, info.class_names) if info.class_names else f"class {label}"
        shown = fitted(title, width - 2 * imgui.get_style().frame_padding.x).replace("%", "%%")
        changed, value = imgui.drag_int("##class", label, 0.1, 0, max(info.classes - 1, 0), shown)
        if changed:
            chosen = min(max(value, 0), max(info.classes - 1, 0))
            self._edit(history, index, "mix class", lambda mix: replace(mix, label=chosen))
        end_of_edit(history)
        tooltip("Drag, or double-click and type a class number.")

    def _latent(self, history: History, index: int, mix: Mix, width: float) -> None:
        imgui.set_next_item_width(width)
        shown = self._session.vectors.store.find(mix.latent)
        name = shown.name if shown is not None else f"{name_of(mix.latent)} (not saved here)"
        if imgui.begin_combo("##latent", fitted(name, width - 2 * imgui.get_frame_height())):
            for vector in self._session.vectors.store.latents:
                chosen = shown is not None and vector.id == shown.id
                if imgui.selectable(f"{vector.name}###{vector.id}", chosen)[0] and not chosen:
                    history.step(
                        "mix latent",
                        lambda scene, vector=vector: mixing.changed(  # type: ignore[misc]
                            scene, index, lambda mix: replace(mix, latent=vector.id)
                        ),
                    )
            imgui.end_combo()
        tooltip("A latent of the Saved latents panel.")

    def _latents(self) -> tuple[str, ...]:
        return tuple(vector.id for vector in self._session.vectors.store.latents)

    def _edit(self, history: History, index: int, name: str, change: Callable[[Mix], Mix]) -> None:
        """Within a gesture, one mix."""
        history.apply(name, lambda scene: mixing.changed(scene, index, change))


def _in_layers(mix: Mix, first: int, stop: int, count: int) -> Mix:
    return replace(mix, first=first, stop=to_last(stop, count))
