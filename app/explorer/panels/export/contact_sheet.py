"""Contact sheet: a grid of small pictures, seeds by prompts by psi; a click makes one of them the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from imgui_bundle import ImVec2, imgui
from imgui_bundle import icons_fontawesome_6 as icons
from numpy.typing import NDArray
from PIL import Image

from app.classes import class_title
from app.document.fields import with_field
from app.document.history import History
from app.explorer.gui import theme
from app.explorer.gui.texture import Texture
from app.explorer.gui.widgets import dim_text, fitted, tooltip
from app.explorer.panels.prompts.prompt import EXAMPLES
from app.explorer.rendering.contact_sheet import MOST, Axis, Kind, sheet
from app.explorer.session import Session
from app.explorer.ui_state import ShowPanel
from core.request import PSI_LIMIT, SEED_LIMIT, RenderRequest

LEAST_TILE_EM = 3.5
LARGEST_TEXTURE = 256
KINDS: dict[str, tuple[Kind, ...]] = {
    "text": ("seeds", "prompts", "psi", "blend"),
    "class": ("seeds", "classes", "psi", "blend"),
    "none": ("seeds", "psi"),
}


class ContactSheetPanel:
    """Rows, columns and tiles; fields that no axis sets are the scene's."""

    title = "Contact sheet"

    def __init__(self, session: Session, new_texture: Callable[[], Texture]) -> None:
        self._session = session
        self._new_texture = new_texture
        self._axes = {"rows": Axis(kind="psi", count=3, low=0.3), "columns": Axis(kind="seeds")}
        self._info: Any = None
        self._wanted: tuple[RenderRequest, Axis, Axis] | None = None
        self._labels: dict[str, list[str]] = {}
        self._tiles: list[list[RenderRequest]] = []
        self._textures: dict[tuple[int, int], Texture] = {}
        self._drawn: dict[tuple[int, int], RenderRequest] = {}
        """The request whose picture each tile shows."""
        self._problems: dict[RenderRequest, str] = {}

    def draw(self, history: History) -> None:
        session = self._session
        if session.models.info is None:
            dim_text("The sheet is drawn when a model has loaded.")
            return
        for which in ("rows", "columns"):
            self._axis(which)
        self._take()
        self._follow(history)
        missing = sum(1 for place, request in self._places() if not self._done(place, request))
        count = sum(len(row) for row in self._tiles)
        dim_text(f"{count - missing} of {count}" if missing else "Click a picture to make it yours.")
        tooltip("The small pictures are drawn while the large one rests. Everything not on an axis is as in the scene.")
        imgui.begin_child("##sheet", ImVec2(0, 0), 0, imgui.WindowFlags_.horizontal_scrollbar)
        self._grid(history)
        imgui.end_child()

    # What is asked for

    def _follow(self, history: History) -> None:
        """Ask the render thread for missing tiles."""
        session = self._session
        wanted = (history.scene.request(), self._axes["rows"], self._axes["columns"])
        if wanted == self._wanted and session.models.info is self._info:
            return
        if session.models.info is not self._info:
            self._info = session.models.info
            self._drawn.clear()
        self._wanted = wanted
        self._tiles = sheet(*wanted, session.models.info.classes)
        self._labels = {which: self._label_texts(which) for which in self._axes}
        self._problems.clear()
        missing = (request for place, request in self._places() if not self._done(place, request))
        session.rendering.thread.ask((request, request) for request in dict.fromkeys(missing))

    def _places(self) -> list[tuple[tuple[int, int], RenderRequest]]:
        return [((i, j), request) for i, row in enumerate(self._tiles) for j, request in enumerate(row)]

    def _done(self, place: tuple[int, int], request: RenderRequest) -> bool:
        return self._drawn.get(place) == request or request in self._problems

    def _take(self) -> None:
        for answer in self._session.rendering.thread.take_answers():
            for place, request in self._places():
                if request != answer.key:
                    continue
                if answer.frame is None:
                    self._problems[request] = answer.problem or "no picture"
                    continue
                if place not in self._textures:
                    self._textures[place] = self._new_texture()
                self._textures[place].upload(_small(answer.frame.pixels))
                self._drawn[place] = request

    # The axes

    def _axis(self, which: str) -> None:
        axis = self._axes[which]
        kinds = KINDS[self._session.models.conditioning]
        if axis.kind not in kinds:
            self._axes[which] = axis = Axis(kind=kinds[0])
        em = imgui.get_font_size()
        imgui.align_text_to_frame_padding()
        dim_text(which)
        imgui.same_line(imgui.get_style().window_padding.x + em * 5)
        imgui.set_next_item_width(em * 6.5)
        if imgui.begin_combo(f"##{which} kind", axis.kind):
            for kind in kinds:
                if imgui.selectable(kind, kind == axis.kind)[0] and kind != axis.kind:
                    self._axes[which] = axis = Axis(kind=kind)
            imgui.end_combo()
        tooltip(f"What changes along the {which}.")
        if axis.kind == "prompts":
            self._prompts(which, axis)
            return
        imgui.same_line()
        imgui.set_next_item_width(em * 4.5)
        changed, count = imgui.drag_int(f"##{which} count", axis.count, 0.05, 1, MOST, "%d of them", _CLAMP)
        tooltip(f"How many {which}.")
        if changed:
            axis = replace(axis, count=count)
        if axis.kind in ("psi", "blend"):
            limit = PSI_LIMIT if axis.kind == "psi" else 1.0
            least = -PSI_LIMIT if axis.kind == "psi" else 0.0
            for name, word in (("low", "from"), ("high", "to")):
                imgui.same_line()
                imgui.set_next_item_width(em * 5)
                value = getattr(axis, name)
                label = f"##{which} {name}"
                changed, value = imgui.drag_float(label, value, 0.005, least, limit, f"{word} %.2f", _CLAMP)
                if changed and value == value:
                    axis = with_field(axis, name, value)
        elif axis.kind == "seeds":
            imgui.same_line()
            imgui.set_next_item_width(em * 7)
            largest = min(SEED_LIMIT - MOST, 2**31 - 1)
            changed, seed = imgui.drag_int(f"##{which} seed", axis.first_seed, 0.1, 0, largest, "from seed %d", _CLAMP)
            if changed:
                axis = replace(axis, first_seed=seed)
        else:
            imgui.same_line()
            imgui.set_next_item_width(em * 7)
            last = max(self._session.models.info.classes - 1, 0)
            changed, label_ = imgui.drag_int(
                f"##{which} class", min(axis.first_class, last), 0.1, 0, last, "from class %d", _CLAMP
            )
            if changed:
                axis = replace(axis, first_class=label_)
        self._axes[which] = axis

    def _prompts(self, which: str, axis: Axis) -> None:
        """The prompts of an axis, one a line."""
        if not axis.prompts:
            axis = replace(axis, prompts=tuple((self._session.models.examples or EXAMPLES)[:4]))
        imgui.same_line()
        height = imgui.get_text_line_height() * 4 + imgui.get_style().frame_padding.y * 2
        changed, text = imgui.input_text_multiline(
            f"##{which} prompts", "\n".join(axis.prompts), ImVec2(-1, height), imgui.InputTextFlags_.no_undo_redo
        )
        tooltip(f"One prompt a line, up to {MOST}.")
        if changed:
            axis = replace(axis, prompts=tuple(text.split("\n")[:MOST]))
        self._axes[which] = axis

    # The grid

    def _grid(self, history: History) -> None:
        if not self._tiles or not self._tiles[0]:
            return
        em = imgui.get_font_size()
        rows, columns = len(self._tiles), len(self._tiles[0])
        area = imgui.get_content_region_avail()
        gap = 4.0
        left, top = em * 6, imgui.get_text_line_height() + gap
        height, width = self._session.models.info.size
        unit = min((area.x - left) / columns - gap, ((area.y - top) / rows - gap) * width / height)
        side = ImVec2(max(unit, em * LEAST_TILE_EM), 0)
        side.y = side.x * height / width
        origin = imgui.get_cursor_screen_pos()
        draw_list = imgui.get_window_draw_list()
        dim = theme.u32(theme.colour.dim)
        for j, text in enumerate(self._labels["columns"]):
            at = ImVec2(origin.x + left + j * (side.x + gap), origin.y)
            draw_list.add_text(at, dim, fitted(text, side.x))
        for i, text in enumerate(self._labels["rows"]):
            y = origin.y + top + i * (side.y + gap)
            draw_list.push_clip_rect(ImVec2(origin.x, y), ImVec2(origin.x + left - gap, y + side.y), True)
            size = imgui.calc_text_size(text, wrap_width=left - gap)
            at = ImVec2(origin.x, y + max(side.y - size.y, 0) / 2)
            draw_list.add_text(imgui.get_font(), em, at, dim, text, wrap_width=left - gap)
            draw_list.pop_clip_rect()
        current = history.scene.request()
        for (i, j), request in self._places():
            at = ImVec2(origin.x + left + j * (side.x + gap), origin.y + top + i * (side.y + gap))
            imgui.set_cursor_screen_pos(at)
            self._tile(history, (i, j), request, at, side, current=request == current)
        imgui.set_cursor_screen_pos(origin)
        imgui.dummy(ImVec2(left + columns * (side.x + gap), top + rows * (side.y + gap)))

    def _tile(
        self,
        history: History,
        place: tuple[int, int],
        request: RenderRequest,
        at: ImVec2,
        side: ImVec2,
        *,
        current: bool,
    ) -> None:
        session = self._session
        if imgui.invisible_button(f"##tile {place[0]} {place[1]}", side):
            # A tile is the scene at the beginning of its path.
            session.playback.transport.rewind()
            history.step("contact sheet", lambda scene: scene.with_request(request))
        hovered = imgui.is_item_hovered()
        if hovered and imgui.is_mouse_double_clicked(0):
            session.ui.request(ShowPanel("Picture", True))
        problem = self._problems.get(request)
        row, column = self._labels["rows"][place[0]], self._labels["columns"][place[1]]
        tooltip(problem or f"{row}\n{column}\nDouble-click to see it large.")
        corner = ImVec2(at.x + side.x, at.y + side.y)
        draw_list = imgui.get_window_draw_list()
        u32 = theme.u32
        texture = self._textures.get(place)
        if texture is not None and place in self._drawn and problem is None:
            # What is older than the scene is shown, faintly, until the new picture comes.
            fresh = self._drawn[place] == request
            tint = imgui.IM_COL32(255, 255, 255, 255 if fresh else 90)
            corners = (ImVec2(0, 0), ImVec2(1, 1))
            draw_list.add_image(imgui.ImTextureRef(texture.smooth()), at, corner, *corners, tint)
        else:
            draw_list.add_rect_filled(at, corner, u32(theme.colour.frame), 3.0)
            icon = icons.ICON_FA_TRIANGLE_EXCLAMATION if problem else icons.ICON_FA_HOURGLASS_HALF
            size = imgui.calc_text_size(icon)
            middle = ImVec2(at.x + (side.x - size.x) / 2, at.y + (side.y - size.y) / 2)
            draw_list.add_text(middle, u32(theme.colour.amber if problem else theme.colour.faint), icon)
        if current or hovered:
            draw_list.add_rect(
                at, corner, u32(theme.colour.accent if current else theme.colour.dim), rounding=3.0, thickness=2.0
            )

    def _label_texts(self, which: str) -> list[str]:
        axis = self._axes[which]
        info = self._session.models.info
        texts = []
        for change in axis.changes(info.classes):
            if axis.kind == "seeds":
                texts.append(f"seed {change['seed_x']:.0f}")
            elif axis.kind == "prompts":
                texts.append(change["prompt"] or "(empty)")
            elif axis.kind == "classes":
                texts.append(class_title(change["label"], info.class_names))
            else:
                texts.append(f"{axis.kind} {change[axis.kind]:.2f}")
        return texts


_CLAMP = imgui.SliderFlags_.always_clamp


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture no larger than a tile needs."""
    largest = max(pixels.shape[:2])
    if largest <= LARGEST_TEXTURE:
        return pixels
    return np.asarray(Image.fromarray(pixels).reduce(-(-largest // LARGEST_TEXTURE)))
