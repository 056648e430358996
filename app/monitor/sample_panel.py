"""The selected run's sample grids, and a slider through time."""

from __future__ import annotations

from pathlib import Path

import dearpygui.dearpygui as dpg
import numpy as np

from app.monitor import theme
from app.monitor.samples import SIDE, Loader, Picture, chosen
from app.monitor.state import MonitorState
from app.monitor.theme import heading

STEP_S = 0.25
"""How long each grid is shown while playing."""


class SamplePanel:
    """The selected run's sample grids, and a slider through time."""

    def __init__(self, state: MonitorState, loader: Loader, fonts: theme.Fonts, width: int) -> None:
        self._state, self._loader, self._width = state, loader, width
        self.kimg: int | None = None
        """Which grid is wanted; None is the latest, whichever that is."""
        self._playing = False
        self._stepped = 0.0
        self._enlarged = 0
        """The frame in which the large picture was opened."""
        self._loaded: Picture | None = None
        self._title = heading(fonts, "Samples")
        with dpg.texture_registry():
            self._texture = int(
                dpg.add_raw_texture(SIDE, SIDE, np.zeros(SIDE * SIDE * 4, np.float32), format=dpg.mvFormat_Float_rgba)
            )
        self._buffer = np.zeros((SIDE, SIDE, 4), np.float32)
        self._frame = int(dpg.add_child_window(width=width, height=width, no_scrollbar=True))
        self.image = int(dpg.add_image(self._texture, width=width, height=width, parent=self._frame, show=False))
        self.message = int(dpg.add_text("No sample grid yet.", color=theme.DIM, parent=self._frame))
        dpg.bind_item_theme(self._frame, theme.padded(0, 0, theme.PANEL))
        with dpg.group(horizontal=True):
            self.play = int(dpg.add_button(label="Play", width=56, callback=self._toggle))
            self.slider = int(
                dpg.add_slider_int(width=width - 64, min_value=0, max_value=1, callback=self._slide, format="")
            )
        self.large = int(dpg.add_window(show=False, no_title_bar=True, no_move=True, no_resize=True, no_scrollbar=True))
        self._large_image = int(dpg.add_image(self._texture, parent=self.large))
        with dpg.item_handler_registry() as clicks:
            dpg.add_item_clicked_handler(dpg.mvMouseButton_Left, callback=self._enlarge)
        dpg.bind_item_handler_registry(self.image, clicks)
        self._shape = (1, 1)

    def _toggle(self) -> None:
        found = self._state.selected.grids
        self._playing = not self._playing and len(found) > 1
        if self._playing and chosen(found, self.kimg) == len(found) - 1:
            self.kimg = found[0].kimg

    def _slide(self, sender: int, index: int) -> None:
        found = self._state.selected.grids
        self._playing = False
        if found:
            self.kimg = None if index >= len(found) - 1 else found[index].kimg
        self.draw()

    def _enlarge(self) -> None:
        width, height = dpg.get_viewport_client_width(), dpg.get_viewport_client_height()
        rows, columns = self._shape
        scale = min((width - 80) / columns, (height - 80) / rows)
        size = int(columns * scale), int(rows * scale)
        dpg.configure_item(self._large_image, width=size[0], height=size[1])
        self._enlarged = dpg.get_frame_count()
        place = (width - size[0]) // 2, (height - size[1]) // 2
        dpg.configure_item(self.large, show=True, width=size[0], height=size[1], pos=place)

    def click(self) -> None:
        """The mouse was clicked somewhere: the large picture goes, but for the click that has just opened it."""
        if dpg.get_frame_count() > self._enlarged:
            dpg.configure_item(self.large, show=False)

    @property
    def shown(self) -> Path | None:
        """The file whose grid is on the screen."""
        return self._loaded.path if self._loaded is not None else None

    @property
    def playing(self) -> bool:
        """Whether it goes through the grids by itself."""
        return self._playing

    def tick(self, now: float) -> None:
        """Every frame: what was decoded, and playing on."""
        found = self._state.selected.grids
        if self._playing and now - self._stepped > STEP_S:
            self._stepped = now
            index = chosen(found, self.kimg) + 1
            self._playing = index < len(found) - 1
            self.kimg = found[index].kimg if self._playing else None
            self.draw()
        picture = self._loader.picture
        if picture is not None and picture is not self._loaded:
            self._loaded = picture
            self._upload(picture.pixels, picture.error)

    def draw(self) -> None:
        """Ask for the grid that is to be seen, and say which it is."""
        found = self._state.selected.grids
        index = chosen(found, self.kimg)
        dpg.configure_item(self.message, show=not found)
        dpg.configure_item(self.play, label="Stop" if self._playing else "Play", enabled=len(found) > 1)
        if not found:
            dpg.configure_item(self.image, show=False)
            dpg.configure_item(self.slider, show=False)
            dpg.set_value(self._title, "Samples")
            return
        self._loader.want(found[index].path)
        label = f"{found[index].kimg:,} kimg"
        dpg.configure_item(self.slider, max_value=max(1, len(found) - 1), format=label, show=len(found) > 1)
        dpg.set_value(self.slider, index)
        latest = ", the latest" if index == len(found) - 1 else f", {index + 1} of {len(found)}"
        dpg.set_value(self._title, f"Samples at {label}{latest}")

    def _upload(self, pixels: np.ndarray, error: str) -> None:
        if error:
            dpg.configure_item(self.image, show=False)
            dpg.set_value(self.message, error)
            dpg.configure_item(self.message, show=True)
            return
        rows, columns = pixels.shape[:2]
        self._shape = (rows, columns)
        self._buffer[:rows, :columns] = pixels
        dpg.set_value(self._texture, self._buffer)
        scale = self._width / max(rows, columns)
        size = {"width": int(columns * scale), "height": int(rows * scale)}
        corner = (columns / SIDE, rows / SIDE)
        dpg.configure_item(self._frame, height=size["height"])
        dpg.configure_item(self.image, **size, uv_max=corner, show=True)
        dpg.configure_item(self._large_image, uv_max=corner)
