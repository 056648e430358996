"""The library: models as small pictures; a click opens one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from imgui_bundle import ImVec2, imgui
from imgui_bundle import icons_fontawesome_6 as icons
from PIL import Image

from app.document.history import History
from app.explorer.actions import by_id
from app.explorer.gui import theme
from app.explorer.gui.texture import Texture
from app.explorer.gui.widgets import dim_text, fitted, flow, no_picture, tooltip, wrapped_text
from app.explorer.rendering.library import LibraryEntry
from app.explorer.session import Session

TILE_EM = 7.0


class LibraryPanel:
    """A grid of models."""

    title = "Library"

    def __init__(self, session: Session, new_texture: Callable[[], Texture]) -> None:
        self._session = session
        self._new_texture = new_texture
        self._textures: dict[Path, Texture | None] = {}
        self._looked = False

    def draw(self, history: History) -> None:
        session = self._session
        if not self._looked:
            session.models.fill_library()
            self._looked = True
        add = by_id("library_folder")
        if imgui.button(f"{icons.ICON_FA_FOLDER_PLUS}  {add.label(session)}###add folder"):
            add.run(session)
        tooltip(add.tooltip)
        imgui.same_line()
        if imgui.button(f"{icons.ICON_FA_ROTATE}###look again"):
            session.models.fill_library(retry=True)
        tooltip("Look for new files, and try those again that have no picture.")
        if session.models.library.busy:
            imgui.same_line()
            dim_text("drawing pictures…")
        entries = session.models.library.entries
        if not entries and not session.models.library.busy:
            wrapped_text("No models yet. Add a folder that holds .safetensors, .pkl or .pt files.", theme.colour.dim)
            return
        side = imgui.get_font_size() * TILE_EM
        imgui.begin_child("##tiles")
        flow([side] * len(entries), lambda index: self._tile(index, entries[index], side))
        imgui.end_child()

    def _tile(self, index: int, entry: LibraryEntry, side: float) -> None:
        session = self._session
        shown = session.models.info is not None and session.models.path == entry.path
        imgui.begin_group()
        origin = imgui.get_cursor_screen_pos()
        if imgui.invisible_button(f"##tile {index}", ImVec2(side, side)):
            session.models.open(entry.path)
        hovered = imgui.is_item_hovered()
        tooltip(f"{entry.path}" + (f"\n{entry.problem}" if entry.problem else ""))
        corner = ImVec2(origin.x + side, origin.y + side)
        draw_list = imgui.get_window_draw_list()
        texture = self._texture(entry)
        if texture is not None:
            draw_list.add_image(imgui.ImTextureRef(texture.smooth()), origin, corner)
        else:
            no_picture(draw_list, origin, corner, failed=bool(entry.problem))
        if shown or hovered:
            colour = theme.u32(theme.colour.accent if shown else theme.colour.dim)
            draw_list.add_rect(origin, corner, colour, rounding=4.0, thickness=2.0)
        dim_text(fitted(entry.path.stem, side))
        imgui.end_group()

    def _texture(self, entry: LibraryEntry) -> Texture | None:
        """The picture on the graphics card, uploaded when it is first shown; None when it cannot be read."""
        if entry.picture is None:
            return None
        if entry.picture not in self._textures:
            try:
                with Image.open(entry.picture) as image:
                    pixels = np.asarray(image.convert("RGB"))
                texture = self._new_texture()
                texture.upload(pixels)
                self._textures[entry.picture] = texture
            except (OSError, SyntaxError):
                self._textures[entry.picture] = None
        return self._textures[entry.picture]
