"""Inside the generator: its layers, the feature maps of one of them for the picture on screen, and their spectrum."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from imgui_bundle import ImVec2, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.history import History
from app.explorer.gui import theme
from app.explorer.gui.texture import Region, Texture
from app.explorer.gui.widgets import dim_text, fitted, quiet_button, tooltip, wrapped_text
from app.explorer.rendering.feature_colours import LayerPicture, Pixels
from app.explorer.rendering.feature_maps import FeatureMapQuery, FeatureMapViewer
from app.explorer.session import Session

COUNTS = (9, 16, 25, 49, 100)
LIST_SHARE = 0.32
ENOUGH = 0.8
SPECTRUM_EM = 8.0
SPECTRUM_HELP = (
    "How much of each spatial frequency the maps have, on a logarithmic scale: the middle is coarse, the rim as fine "
    "as pixels can be. The curve is its mean over rings, from coarse to fine."
)


class LayersPanel:
    """A list on one side, feature maps on the other."""

    title = "Layers"

    def __init__(self, session: Session, new_texture: Callable[[], Texture]) -> None:
        self._session = session
        self._look = FeatureMapViewer(session.rendering.thread, session.models, session.ui)
        self._layer: str | None = None
        self._channel: int | None = None
        self._count = 25
        self._maps, self._spectrum = _Shown(new_texture), _Shown(new_texture)

    def draw(self, history: History) -> None:
        session = self._session
        if session.models.info is None or session.rendering.frame is None:
            dim_text("There is no picture yet.")
            return
        layers = session.models.info.layers
        names = [layer.name for layer in layers]
        if self._layer not in names:
            self._layer, self._channel = names[min(1, len(names) - 1)], None
        area = imgui.get_content_region_avail()
        beside = area.x > area.y * 0.9
        width = max(area.x * LIST_SHARE, imgui.get_font_size() * 20) if beside else 0.0
        height = 0.0 if beside else area.y * LIST_SHARE
        imgui.begin_child("##list", ImVec2(width, height))
        self._list(layers)
        imgui.end_child()
        if beside:
            imgui.same_line(0, 14)
        imgui.begin_child("##maps", ImVec2(0, 0), imgui.ChildFlags_.none, imgui.WindowFlags_.no_scrollbar)
        layer = layers[names.index(self._layer)]
        self._look.ask(
            FeatureMapQuery(
                request=session.rendering.frame.request, layer=layer.name, channel=self._channel, count=self._count
            )
        )
        self._choose(layer)
        if self._look.problem is not None:
            wrapped_text(self._look.problem, theme.colour.red)
        elif self._look.shown is not None and self._look.shown[0].layer == layer.name:
            self._view(self._look.shown[1], alone=self._look.shown[0].channel is not None)
        else:
            dim_text("looking…", theme.colour.faint)
        imgui.end_child()

    def _list(self, layers: tuple[Any, ...]) -> None:
        flags = imgui.TableFlags_.row_bg | imgui.TableFlags_.scroll_y | imgui.TableFlags_.sizing_fixed_fit
        if not imgui.begin_table("##layers", 4, flags):
            return
        imgui.table_setup_scroll_freeze(0, 1)
        imgui.table_setup_column("layer", imgui.TableColumnFlags_.width_stretch)
        for title in ("size", "channels", "type"):
            imgui.table_setup_column(title)
        imgui.push_style_color(imgui.Col_.text, theme.colour.dim)
        imgui.push_style_color(imgui.Col_.table_header_bg, theme.colour.frame)
        imgui.table_headers_row()
        imgui.pop_style_color(2)
        imgui.push_style_color(imgui.Col_.header, theme.colour.accent_dim)
        types = self._look.types
        for layer in layers:
            imgui.table_next_row()
            imgui.table_next_column()
            short = layer.name.removeprefix("synthesis.")
            chosen = imgui.selectable(
                f"{fitted(short, imgui.get_content_region_avail().x)}###{layer.name}",
                layer.name == self._layer,
                imgui.SelectableFlags_.span_all_columns,
            )[0]
            if chosen:
                self._layer, self._channel = layer.name, None
            tooltip(f"{layer.name}\ntakes style {layer.style}")
            for text in (f"{layer.size[1]} × {layer.size[0]}", str(layer.channels), types.get(layer.name, "")):
                imgui.table_next_column()
                dim_text(text)
        imgui.pop_style_color()
        imgui.end_table()

    def _choose(self, layer: Any) -> None:
        """The choice of one channel, or of how many are shown."""
        em = imgui.get_font_size()
        imgui.align_text_to_frame_padding()
        if self._channel is None:
            dim_text("strongest")
            imgui.same_line(0, 6)
            imgui.set_next_item_width(em * 4.5)
            if imgui.begin_combo("##count", str(min(self._count, layer.channels))):
                for count in COUNTS:
                    if imgui.selectable(f"{count}###count {count}", count == self._count)[0]:
                        self._count = count
                imgui.end_combo()
            tooltip("How many channels to show: those that vary most over the picture.")
            imgui.same_line(0, 12)
            dim_text("channel")
        elif quiet_button(f"{icons.ICON_FA_TABLE_CELLS}  all channels###sheet"):
            self._channel = None
        imgui.same_line(0, 6)
        imgui.set_next_item_width(min(em * 6, imgui.get_content_region_avail().x))
        last = layer.channels - 1
        shown = "%d" if self._channel is not None else "choose"
        changed, value = imgui.drag_int("##channel", self._channel or 0, 0.1, 0, last, shown)
        if changed:
            self._channel = min(max(value, 0), last)
        tooltip(f"One channel by its number, 0 to {last}: drag, or double-click and type. Or click it in the picture.")

    def _view(self, view: LayerPicture, *, alone: bool) -> None:
        area = imgui.get_content_region_avail()
        below = imgui.get_font_size() * SPECTRUM_EM + imgui.get_text_line_height_with_spacing() * 2
        box = ImVec2(area.x, max(area.y - below, imgui.get_font_size() * 6))
        origin, size = self._maps.draw("##feature maps", view.picture, box)
        if not alone and imgui.is_item_hovered():
            self._pick(view, origin, size)
        caption = f"values {view.low:.3g} to {view.high:.3g}, mean {view.mean:.3g}, deviation {view.deviation:.3g}"
        dim_text(fitted(caption, area.x))
        side = imgui.get_font_size() * SPECTRUM_EM
        corner = imgui.get_cursor_screen_pos()
        self._spectrum.draw("##spectrum", view.spectrum, ImVec2(side, side), fill=True)
        tooltip(SPECTRUM_HELP)
        imgui.set_cursor_screen_pos(ImVec2(corner.x + side + 10, corner.y))
        imgui.push_style_color(imgui.Col_.plot_lines, theme.colour.accent_hover)
        low, high = float(view.profile.min()), float(view.profile.max())
        room = max(high - low, 1e-3) * 0.08
        label = "spectrum of this channel, coarse to fine" if alone else "spectrum of all channels, coarse to fine"
        width = max(imgui.get_content_region_avail().x, 40.0)
        label = fitted(label, width - 8)
        values = np.ascontiguousarray(view.profile if len(view.profile) > 1 else view.profile.repeat(2))
        imgui.plot_lines("##profile", values, 0, label, low - room, high + room, ImVec2(width, side))
        imgui.pop_style_color()
        tooltip(SPECTRUM_HELP)

    def _pick(self, view: LayerPicture, origin: ImVec2, size: ImVec2) -> None:
        """The channel under the pointer: its number, a frame, and a click shows it alone."""
        height, width = view.picture.shape[:2]
        unit = size.x / width
        mouse = imgui.get_io().mouse_pos
        tall, wide = view.tile
        column, row = int((mouse.x - origin.x) / unit // wide), int((mouse.y - origin.y) / unit // tall)
        place = row * view.columns + column
        if not (0 <= column < view.columns and 0 <= place < len(view.channels)):
            return
        imgui.set_tooltip(f"channel {view.channels[place]}")
        left, top = origin.x + column * wide * unit, origin.y + row * tall * unit
        right, bottom = min(left + wide * unit, origin.x + size.x), min(top + tall * unit, origin.y + height * unit)
        colour = theme.u32(theme.colour.text)
        imgui.get_window_draw_list().add_rect(ImVec2(left, top), ImVec2(right, bottom), colour, thickness=1.5)
        if imgui.is_item_clicked():
            self._channel = view.channels[place]


class _Shown:
    """A picture in a box, enlarged by whole pixels if it is much smaller."""

    def __init__(self, new_texture: Callable[[], Texture]) -> None:
        self._new_texture = new_texture
        self._texture: Texture | None = None
        self._uploaded: Pixels | None = None

    def draw(self, item: str, pixels: Pixels, box: ImVec2, *, fill: bool = False) -> tuple[ImVec2, ImVec2]:
        """Draw it as an item: (origin, size). `fill` stretches it over the box."""
        if self._texture is None:
            self._texture = self._new_texture()
        if self._uploaded is not pixels:
            self._texture.upload(pixels)
            self._uploaded = pixels
        height, width = pixels.shape[:2]
        scale = max(imgui.get_io().display_framebuffer_scale.x, 1.0)
        zoom = min(box.x * scale / width, box.y * scale / height)
        texture = self._texture.smooth()
        if fill:
            size = box
        else:
            whole = math.floor(zoom)
            # Square pixels, where that does not leave much of the box empty.
            if whole >= ENOUGH * zoom:
                zoom = float(whole)
                texture = self._texture.sharp(Region(0, 0, width, height), whole)
            size = ImVec2(width * zoom / scale, height * zoom / scale)
        corner = imgui.get_cursor_screen_pos()
        origin = ImVec2(math.floor(corner.x * scale) / scale, math.floor(corner.y * scale) / scale)
        imgui.invisible_button(item, ImVec2(max(size.x, 1.0), max(size.y, 1.0)))
        imgui.get_window_draw_list().add_image(
            imgui.ImTextureRef(texture), origin, ImVec2(origin.x + size.x, origin.y + size.y)
        )
        return origin, size
