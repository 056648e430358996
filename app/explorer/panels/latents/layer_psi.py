"""Truncation psi by layer: bars that are painted by dragging across them."""

from __future__ import annotations

import math
from dataclasses import replace

from imgui_bundle import ImVec2, ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.history import History
from app.document.scene import Scene
from app.explorer.gui import theme
from app.explorer.gui.glossary import W
from app.explorer.gui.widgets import reset_button, reset_width, row_label, tooltip
from app.explorer.session import Session

LOW, HIGH = -1.0, 2.0
HEIGHT_EM = 5.0
STEP_NAME = "psi of layers"
HELP = f"w: {W} Here the w of each layer gets a psi of its own."


def with_layer(scene: Scene, layer: int, psi: float | None) -> Scene:
    """`scene` with the psi of one layer set, or cleared by None; trailing cleared layers are cut off."""
    values = list(scene.layer_psi) + [None] * (layer + 1 - len(scene.layer_psi))
    values[layer] = psi
    while values and values[-1] is None:
        values.pop()
    return replace(scene, layer_psi=tuple(values))


def effective_psi(scene: Scene, layer: int) -> float:
    """The psi of a layer: its own, or the scene's up to the cutoff."""
    own = scene.layer_psi[layer] if layer < len(scene.layer_psi) else None
    return own if own is not None else scene.psi if layer < scene.cutoff else 1.0


class LayerPsi:
    """A row that opens to the bars."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._open = False
        self._opened = False
        """In this frame."""
        self._clearing = False
        self._last: tuple[float, float] | None = None
        """Where the mouse painted in the frame before."""

    def draw(self, history: History) -> None:
        info = self._session.models.info
        imgui.begin_disabled(info is None)
        row_label("layers", HELP)
        count = info.num_ws if info is not None else 0
        own = sum(psi is not None for psi in history.scene.layer_psi[:count])
        icon = icons.ICON_FA_CHEVRON_DOWN if self._open else icons.ICON_FA_CHEVRON_RIGHT
        caption = f"{own} of {count} with their own psi" if own else "all follow psi"
        imgui.push_style_var(imgui.StyleVar_.button_text_align, ImVec2(0.0, 0.5))
        width = imgui.get_content_region_avail().x - reset_width() - 4
        if imgui.button(f"{icon}  {caption}###layer psi", ImVec2(width, 0)):
            self._open = self._opened = not self._open
        imgui.pop_style_var()
        tooltip(HELP)
        reset_button(history, "psi of layers", "layer_psi")
        imgui.end_disabled()
        if self._open and info is not None:
            self._bars(history)

    def _bars(self, history: History) -> None:
        count: int = self._session.models.info.num_ws
        size = ImVec2(imgui.get_content_region_avail().x, imgui.get_font_size() * HEIGHT_EM)
        origin = imgui.get_cursor_screen_pos()
        imgui.invisible_button("##layer psi bars", size)
        if self._opened:  # below what fits, as a rule
            imgui.set_scroll_here_y(1.0)
            self._opened = False
        self._edit(history, origin, size, count)
        hovered = self._column(imgui.get_io().mouse_pos.x, origin, size, count) if imgui.is_item_hovered() else None
        self._paint(history.scene, origin, size, count, hovered)
        if hovered is not None:
            imgui.set_tooltip(self._text(history.scene, hovered))

    def _edit(self, history: History, origin: ImVec2, size: ImVec2, count: int) -> None:
        mouse = imgui.get_io().mouse_pos
        if imgui.is_item_hovered() and imgui.is_mouse_clicked(1):
            layer = self._column(mouse.x, origin, size, count)
            history.step("clear a layer", lambda scene: with_layer(scene, layer, None))
        if imgui.is_item_activated():
            self._last = None
            self._clearing = imgui.is_mouse_double_clicked(0)
            if self._clearing:
                if history.undo_name == STEP_NAME:
                    history.undo()  # what the first of the two clicks did
                layer = self._column(mouse.x, origin, size, count)
                history.step("clear a layer", lambda scene: with_layer(scene, layer, None))
        if imgui.is_item_active() and not self._clearing:
            here = (mouse.x, mouse.y)
            before = self._last or here
            if here != self._last:
                self._stroke(history, before, here, origin, size, count)
            self._last = here
        if imgui.is_item_deactivated():
            history.end_gesture()

    def _stroke(
        self,
        history: History,
        before: tuple[float, float],
        here: tuple[float, float],
        origin: ImVec2,
        size: ImVec2,
        count: int,
    ) -> None:
        """Every column between two mouse positions, so that fast movement leaves none out."""
        first, last = (self._column(x, origin, size, count) for x in (before[0], here[0]))
        columns = range(min(first, last), max(first, last) + 1)

        def painted(scene: Scene) -> Scene:
            for layer in columns:
                middle = origin.x + (layer + 0.5) / count * size.x
                way = (middle - before[0]) / (here[0] - before[0]) if here[0] != before[0] else 1.0
                y = before[1] + (here[1] - before[1]) * min(max(way, 0.0), 1.0) if layer != last else here[1]
                share = min(max((y - origin.y) / size.y, 0.0), 1.0)
                scene = with_layer(scene, layer, round(HIGH + (LOW - HIGH) * share, 2))
            return scene

        history.apply(STEP_NAME, painted)

    def _paint(self, scene: Scene, origin: ImVec2, size: ImVec2, count: int, hovered: int | None) -> None:
        draw_list = imgui.get_window_draw_list()
        width = size.x / count
        gap = 2.0 if width > 6 else 1.0

        def place(psi: float) -> float:
            share = (HIGH - min(max(psi, LOW), HIGH)) / (HIGH - LOW)
            return float(origin.y + share * size.y)

        def colour(value: ImVec4, alpha: float = 1.0) -> int:
            return theme.u32(theme.faded(value, alpha))

        for layer in range(count):
            left, right = math.floor(origin.x + layer * width), math.floor(origin.x + (layer + 1) * width - gap)
            background = theme.colour.frame_hover if layer == hovered else theme.colour.frame
            draw_list.add_rect_filled(ImVec2(left, origin.y), ImVec2(right, origin.y + size.y), colour(background), 3.0)
            own = layer < len(scene.layer_psi) and scene.layer_psi[layer] is not None
            psi = place(effective_psi(scene, layer))
            top, bottom = min(psi, place(0.0)), max(psi, place(0.0))
            fill = colour(theme.colour.accent) if own else colour(theme.colour.faint, 0.45)
            draw_list.add_rect_filled(ImVec2(left, top), ImVec2(right, max(bottom, top + 2)), fill, 2.0)
        for psi in (0.0, 1.0):
            line = place(psi)
            draw_list.add_line(
                ImVec2(origin.x, line), ImVec2(origin.x + size.x - gap, line), colour(theme.colour.text, 0.25), 1.0
            )

    def _column(self, x: float, origin: ImVec2, size: ImVec2, count: int) -> int:
        return min(max(int((x - origin.x) / size.x * count), 0), count - 1)

    def _text(self, scene: Scene, layer: int) -> str:
        own = layer < len(scene.layer_psi) and scene.layer_psi[layer] is not None
        sizes = [info.size for info in self._session.models.info.layers if info.style == layer]
        where = f", {sizes[0][1]} × {sizes[0][0]} px" if sizes else ""
        how = "double-click follows psi again" if own else "follows psi; drag to set"
        return f"layer {layer}{where}: psi {effective_psi(scene, layer):.2f} ({how})"
