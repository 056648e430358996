"""The seed plane: thumbnails of the whole seeds around the picture's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from imgui_bundle import ImVec2, ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.history import History
from app.document.scene import Scene
from app.document.seed_plane import at
from app.explorer.gui import theme
from app.explorer.gui.texture import Texture
from app.explorer.gui.widgets import dim_text, quiet_button, tooltip
from app.explorer.rendering.seed_grid import SeedGrid, request_at
from app.explorer.rendering.thumbnails import Pixels
from app.explorer.session import Session
from core.request import SEED_LIMIT

Shown = tuple[Pixels | None, bool]
"""A small picture and whether it is the one that the scene asks for."""

# Of a cell's side.
SMALLEST_EM, LARGEST_EM = 3.4, 7.0
# Columns, and rows.
MOST = 21
GAP = 2
# Farther than this, in pixels, a click is a drag.
CLICK = 4.0
HELP = "Click a seed to go there; drag or turn the wheel (with Shift sideways) to look farther."


class SeedsPanel:
    """A grid of seeds, x to the right and y downwards."""

    title = "Seeds"

    def __init__(self, session: Session, new_texture: Callable[[], Texture]) -> None:
        self._session = session
        self._grid = SeedGrid(session.rendering, session.models, session.playback.transport, session.ui)
        self._new_texture = new_texture
        self._texture: Texture | None = None
        self._uploaded: tuple[list[Shown], tuple[tuple[int, int], str]] | None = None
        self._pan: tuple[int, int] | None = None
        """The seed in the middle after scrolling; None follows the picture."""
        self._travel = (0.0, 0.0)
        self._dragged = False

    def draw(self, history: History) -> None:
        session = self._session
        scene = history.scene
        middle = self._pan or _nearest(scene)
        dim_text(f"around {middle[0]}, {middle[1]}")
        tooltip(HELP)
        if self._pan is not None:
            imgui.same_line(0, 8)
            if quiet_button(f"{icons.ICON_FA_LOCATION_CROSSHAIRS}  back to the picture###follow"):
                self._pan = None
                middle = _nearest(scene)
        if session.playback.transport.playing:
            imgui.same_line(0, 8)
            dim_text("waits while play runs", theme.colour.faint)
        area = imgui.get_content_region_avail()
        columns, rows, cell = _shape(area.x, area.y, imgui.get_font_size())
        size = ImVec2(cell * columns, cell * rows)
        corner = imgui.get_cursor_screen_pos()
        origin = ImVec2(math.floor(corner.x + max(area.x - size.x, 0) / 2), corner.y)
        imgui.set_cursor_screen_pos(origin)
        imgui.invisible_button("##seed grid", size)
        self._steer(history, origin, cell, columns, rows, middle)
        places = _places(middle, columns, rows)
        base = scene.request()
        requests = {place: request_at(base, *place) for place in places}
        self._grid.want(requests[place] for place in _from_the_middle(places, middle))
        self._paint(origin, size, [self._grid.get(requests[place]) for place in places], (columns, rows))
        self._marks(scene, origin, cell, columns, rows, middle)

    def _steer(
        self, history: History, origin: ImVec2, cell: float, columns: int, rows: int, middle: tuple[int, int]
    ) -> None:
        io = imgui.get_io()
        hovered = imgui.is_item_hovered()
        place = _place_under(io.mouse_pos, origin, cell, columns, rows, middle)
        if imgui.is_item_activated():
            self._travel, self._dragged = (0.0, 0.0), False
        if imgui.is_item_active():
            if imgui.is_mouse_dragging(0, CLICK):
                self._dragged = True
                dx, dy = self._travel[0] + io.mouse_delta.x / cell, self._travel[1] + io.mouse_delta.y / cell
                whole = (int(dx), int(dy))
                self._travel = (dx - whole[0], dy - whole[1])
                self._look(middle, -whole[0], -whole[1])
        elif hovered:
            # Imgui itself turns a wheel with Shift into one sideways.
            self._look(middle, -round(io.mouse_wheel_h), -round(io.mouse_wheel))
            imgui.set_tooltip(f"seed {place[0]}, {place[1]}")
        if imgui.is_item_deactivated() and hovered and not self._dragged:
            history.step("seed", lambda scene: at(scene, float(place[0]), float(place[1])))
            self._pan = middle

    def _look(self, middle: tuple[int, int], dx: int, dy: int) -> None:
        if dx or dy:
            limit = SEED_LIMIT - 1000
            x, y = (min(max(value, -limit), limit) for value in (middle[0] + dx, middle[1] + dy))
            self._pan = (x, y)

    def _paint(self, origin: ImVec2, size: ImVec2, pictures: list[Shown], shape: tuple[int, int]) -> None:
        """Draw all thumbnails as one texture, uploaded when one of them changed."""
        if self._texture is None:
            self._texture = self._new_texture()
        behind = (shape, self._session.preferences.settings.theme)
        if self._uploaded is None or self._uploaded[1] != behind or _other(self._uploaded[0], pictures):
            self._texture.upload(joined(pictures, *shape))
            self._uploaded = (pictures, behind)
        corner = ImVec2(origin.x + size.x, origin.y + size.y)
        imgui.get_window_draw_list().add_image(imgui.ImTextureRef(self._texture.smooth()), origin, corner)

    def _marks(
        self, scene: Scene, origin: ImVec2, cell: float, columns: int, rows: int, middle: tuple[int, int]
    ) -> None:
        """Mark the picture's place, also between seeds."""
        draw_list = imgui.get_window_draw_list()
        x = origin.x + (scene.seed_x - middle[0] + columns // 2) * cell
        y = origin.y + (scene.seed_y - middle[1] + rows // 2) * cell
        draw_list.push_clip_rect(origin, ImVec2(origin.x + columns * cell, origin.y + rows * cell), True)
        for grown, colour in ((1.0, theme.colour.shade), (0.0, theme.colour.accent_hover)):
            draw_list.add_rect(
                ImVec2(x - grown, y - grown),
                ImVec2(x + cell - GAP + grown, y + cell - GAP + grown),
                theme.u32(colour),
                rounding=3.0,
                thickness=2.0,
            )
        draw_list.pop_clip_rect()


def joined(pictures: list[Shown], columns: int, rows: int) -> Pixels:
    """One picture of all, row by row, with gaps; old ones are darker, and those that are missing are left dark."""
    there = [picture.shape[:2] for picture, _ in pictures if picture is not None]
    height, width = max(there, default=(1, 1))
    side = max(height, width)
    # The gap in pixels of the texture: about that of the window.
    gap = max(round(GAP * side / 72), 1)
    empty, behind = _bytes(theme.colour.frame), _bytes(theme.colour.panel)
    sheet = np.empty((rows * (side + gap), columns * (side + gap), 3), dtype=np.uint8)
    sheet[:] = behind
    for index, (picture, current) in enumerate(pictures):
        top, left = index // columns * (side + gap), index % columns * (side + gap)
        sheet[top : top + side, left : left + side] = empty
        if picture is not None:
            h, w = picture.shape[:2]
            y, x = top + (side - h) // 2, left + (side - w) // 2
            sheet[y : y + h, x : x + w] = picture if current else picture // 2
    return sheet


def _other(before: list[Shown], now: list[Shown]) -> bool:
    return any(a[0] is not b[0] or a[1] != b[1] for a, b in zip(before, now, strict=True))


def _bytes(colour: ImVec4) -> Pixels:
    return np.array([round(255 * part) for part in (colour.x, colour.y, colour.z)], dtype=np.uint8)


def _nearest(scene: Scene) -> tuple[int, int]:
    return math.floor(scene.seed_x + 0.5), math.floor(scene.seed_y + 0.5)


def _shape(width: float, height: float, em: float) -> tuple[int, int, int]:
    """(columns, rows, side of a cell): odd numbers, so that one is in the middle, that fill the panel best."""

    def cell(columns: int, rows: int) -> int:
        return max(math.floor(min(width / columns, height / rows, LARGEST_EM * em)), 8)

    shapes = [(columns, rows) for columns in range(3, MOST + 1, 2) for rows in range(3, MOST + 1, 2)]
    roomy = [shape for shape in shapes if cell(*shape) >= SMALLEST_EM * em] or shapes[:1]
    columns, rows = max(roomy, key=lambda shape: (cell(*shape) ** 2 * shape[0] * shape[1], -shape[0] * shape[1]))
    return columns, rows, cell(columns, rows)


def _places(middle: tuple[int, int], columns: int, rows: int) -> list[tuple[int, int]]:
    return [
        (middle[0] + column - columns // 2, middle[1] + row - rows // 2)
        for row in range(rows)
        for column in range(columns)
    ]


def _from_the_middle(places: list[tuple[int, int]], middle: tuple[int, int]) -> list[tuple[int, int]]:
    return sorted(places, key=lambda place: math.dist(place, middle))


def _place_under(
    mouse: ImVec2, origin: ImVec2, cell: float, columns: int, rows: int, middle: tuple[int, int]
) -> tuple[int, int]:
    column = min(max(math.floor((mouse.x - origin.x) / cell), 0), columns - 1)
    row = min(max(math.floor((mouse.y - origin.y) / cell), 0), rows - 1)
    return middle[0] + column - columns // 2, middle[1] + row - rows // 2
