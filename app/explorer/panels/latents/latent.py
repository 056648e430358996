"""Picture controls: seed, truncation by layers, and noise."""

from __future__ import annotations

from imgui_bundle import icons_fontawesome_6 as icons
from imgui_bundle import imgui

from app.document.controls import control
from app.document.history import History
from app.explorer.actions import by_id
from app.explorer.gui.widgets import (
    drag_control,
    end_of_edit,
    reset_button,
    reset_width,
    row_label,
    set_field,
    slider_row,
    square_button,
    tooltip,
)
from app.explorer.panels.latents.layer_psi import LayerPsi
from app.explorer.session import Session
from core.request import LAYER_LIMIT, NoiseMode

SEED_HELP = (
    "The seed picks one of the many pictures of a prompt; between whole numbers the picture glides from one to the "
    "next. Drag the picture itself to walk, or step with the arrow keys."
)
NOISE_HELP = "Fine grain that the generator adds at every layer: the same for all pictures, drawn from a seed, or none."
NOISE_LABELS: dict[NoiseMode, str] = {"const": "constant", "random": "random", "none": "off"}


class LatentPanel:
    """Seed, psi, cutoff, psi by layer, noise."""

    title = "Picture controls"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._layer_psi = LayerPsi(session)

    def draw(self, history: History) -> None:
        self._seed(history)
        slider_row(history, control("psi"))
        info = self._session.models.info
        self._cutoff(history, info.num_ws if info is not None else LAYER_LIMIT)
        self._layer_psi.draw(history)
        imgui.begin_disabled(info is not None and not info.has_noise)
        self._noise(history)
        slider_row(history, control("noise_strength"))
        imgui.end_disabled()

    def _seed(self, history: History) -> None:
        row_label("seed x, y", SEED_HELP)
        spacing, square = 6.0, imgui.get_frame_height()
        width = (imgui.get_content_region_avail().x - reset_width() - 4 - square - 2 * spacing) / 2
        for field in ("seed_x", "seed_y"):
            imgui.set_next_item_width(width)
            drag_control(history, control(field), "seed", 0.01)
            imgui.same_line(0, spacing)
        surprise = by_id("surprise")
        if square_button(f"{icons.ICON_FA_DICE}###surprise"):
            surprise.run(self._session)
        tooltip(f"{surprise.label(self._session)}: {surprise.tooltip} ({surprise.shortcut})")
        reset_button(history, "seed", "seed_x", "seed_y")

    def _cutoff(self, history: History, layers: int) -> None:
        """The last place of the slider is "all layers", whatever the model has."""
        cutoff_control = control("cutoff")
        row_label("cutoff", cutoff_control.help)
        imgui.set_next_item_width(-reset_width() - 4)
        cutoff = min(history.scene.cutoff, layers)
        shown = "all layers" if cutoff == layers else "no layer" if cutoff == 0 else f"%d of {layers} layers"
        changed, value = imgui.slider_int("##cutoff", cutoff, 0, layers, shown, imgui.SliderFlags_.always_clamp)
        if changed:
            wanted = LAYER_LIMIT if value >= layers else value
            history.apply("cutoff", lambda scene: cutoff_control.set(scene, wanted))
        end_of_edit(history)
        tooltip(cutoff_control.help)
        reset_button(history, "cutoff", "cutoff")

    def _noise(self, history: History) -> None:
        scene = history.scene
        row_label("noise", NOISE_HELP)
        spacing = 6.0
        width = imgui.get_content_region_avail().x - reset_width() - 4
        seeded = scene.noise == "random"
        imgui.set_next_item_width((width - spacing) / 2 if seeded else width)
        if imgui.begin_combo("##noise", NOISE_LABELS[scene.noise]):
            for mode, label in NOISE_LABELS.items():
                if imgui.selectable(label, scene.noise == mode)[0]:
                    set_field(history, "noise", "noise", mode)
            imgui.end_combo()
        tooltip(NOISE_HELP)
        if seeded:
            imgui.same_line(0, spacing)
            imgui.set_next_item_width((width - spacing) / 2)
            drag_control(history, control("noise_seed"), "noise seed", 0.1)
        reset_button(history, "noise", "noise", "noise_seed")
