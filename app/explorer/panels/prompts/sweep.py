"""The sweep: a template with a list of words, a picture for each at one seed; a click adopts one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from imgui_bundle import ImVec2, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.history import History
from app.explorer.gui import theme
from app.explorer.gui.texture import Texture
from app.explorer.gui.textures import Textures
from app.explorer.gui.widgets import (
    dim_text,
    fitted,
    fitted_picture,
    flow,
    no_picture,
    square_button,
    tooltip,
    wrapped_text,
)
from app.explorer.rendering.strip import with_strip
from app.explorer.rendering.sweep import SLOT, Sweep, filled, lines_of, template_of
from app.explorer.rendering.thumbnails import Pixels
from app.explorer.session import Session
from core.request import RenderRequest

TILE_EM = 8.0
LIST_LINES = 5
FIRST_LINES = "watercolor\nneon\nflat poster\nink drawing\npixel art"


class SweepPanel:
    """The template, its list, and the pictures."""

    title = "Sweep"

    def __init__(self, session: Session, new_texture: Callable[[], Texture]) -> None:
        self._session = session
        self._sweep = Sweep(session.rendering.thread)
        self._template: str | None = None
        self._lines = FIRST_LINES
        self._video = ""
        """The export of the last video, by its id."""
        self._textures = Textures(new_texture)
        self._enlarged: dict[int, tuple[Pixels, Pixels]] = {}

    def draw(self, history: History) -> None:
        if self._session.models.conditioning != "text":
            wrapped_text("A sweep puts words into a prompt; this model takes none.", theme.colour.dim)
            return
        if self._template is None:
            self._template = f"{history.scene.prompt.rpartition(',')[0] or history.scene.prompt}, {SLOT}".lstrip(", ")
        self._inputs(history)
        pairs = filled(self._template, self._lines)
        info = self._session.models.info
        model = info.sha256 if info is not None else ""
        self._sweep.tick(history.scene, [prompt for _, prompt in pairs], model, time.monotonic())
        self._buttons(history, pairs)
        problem = self._sweep.problem
        if problem is not None:
            wrapped_text(problem, theme.colour.amber)
        side = imgui.get_font_size() * TILE_EM
        imgui.begin_child("##sweep tiles")
        flow([side] * len(pairs), lambda index: self._tile(history, index, *pairs[index], side))
        imgui.end_child()

    def _inputs(self, history: History) -> None:
        assert self._template is not None
        dim_text(f"Template: {SLOT} stands for each line of the list")
        words = self._session.prompts.words
        place = words.place
        imgui.set_next_item_width(-imgui.get_frame_height() - imgui.get_style().item_spacing.x)
        _, self._template = imgui.input_text_with_hint("##template", f"astronaut, {SLOT}", self._template)
        imgui.same_line()
        choices = words.choices() if place is not None else None
        imgui.begin_disabled(choices is None)
        if (
            square_button(f"{icons.ICON_FA_WAND_MAGIC_SPARKLES}###from word")
            and place is not None
            and choices is not None
        ):
            self._template = template_of(history.scene.prompt, place.start, place.stop)
            self._lines = lines_of(choices[0])
        imgui.end_disabled()
        tooltip(
            "From the selected word: the prompt with that word left open, and what it can be swapped for as the list. "
            "Select a word under the prompt first."
        )
        height = imgui.get_text_line_height() * LIST_LINES + imgui.get_style().frame_padding.y * 2
        _, self._lines = imgui.input_text_multiline("##lines", self._lines, ImVec2(-1, height))

    def _play(self, history: History) -> None:
        requests = self._sweep.requests
        history.step("play strip", lambda scene: with_strip(scene, requests))
        self._session.playback.transport.rewind()
        self._session.playback.transport.playing = True
        self._session.playback.follower.show_timeline()

    def _buttons(self, history: History, pairs: list[tuple[str, str]]) -> None:
        session = self._session
        video = session.export.queue.find(self._video)
        ready = bool(pairs) and not self._sweep.missing and self._sweep.problem is None
        imgui.begin_disabled(not ready)
        if imgui.button(f"{icons.ICON_FA_TABLE_CELLS}  Sheet###sheet"):
            self._save_sheet(pairs)
        imgui.end_disabled()
        tooltip("Save all pictures on one page, as PNG.")
        imgui.same_line()
        imgui.begin_disabled(len(pairs) < 2)
        if imgui.button(f"{icons.ICON_FA_PLAY}  Play strip###play strip"):
            self._play(history)
        imgui.end_disabled()
        tooltip("Glide from picture to picture and back to the first: the strip becomes the scene's timeline.")
        imgui.same_line()
        if video is not None and video.state in ("waiting", "running"):
            if imgui.button(f"{icons.ICON_FA_XMARK}  Stop###stop strip"):
                session.export.queue.cancel(video.id)
            imgui.same_line()
            imgui.progress_bar(video.done / max(video.total, 1), ImVec2(imgui.get_font_size() * 8, 0))
        else:
            imgui.begin_disabled(not ready or len(pairs) < 2)
            if imgui.button(f"{icons.ICON_FA_FILM}  Video###strip"):
                job = session.export.add_strip(self._sweep.requests, f"sweep {self._template}")
                self._video = "" if job is None else job.id
            imgui.end_disabled()
            tooltip(
                "Export a video that glides from picture to picture and back to the first; the Exports panel lists it."
            )
        if self._sweep.missing:
            imgui.same_line()
            dim_text(f"{self._sweep.missing} to draw…")

    def _save_sheet(self, pairs: list[tuple[str, str]]) -> None:
        from app.images import contact_sheet  # Pillow's fonts are not needed before

        drawn = [self._sweep.picture(index) for index in range(len(pairs))]
        pictures = [pixels for pixels in drawn if pixels is not None]
        captions = [value for value, _ in pairs]
        self._session.export.files.sheet(lambda: contact_sheet(pictures, captions=captions), f"sweep {self._template}")

    def _tile(self, history: History, index: int, value: str, prompt: str, side: float) -> None:
        imgui.begin_group()
        origin = imgui.get_cursor_screen_pos()
        if imgui.invisible_button(f"##sweep {index}", ImVec2(side, side)):
            history.step("sweep", lambda scene: replace(scene, prompt=prompt, blend=0.0, blend_y=0.0))
        hovered = imgui.is_item_hovered()
        tooltip(f"{prompt}\n\nClick: make it the prompt.")
        corner = ImVec2(origin.x + side, origin.y + side)
        draw_list = imgui.get_window_draw_list()
        pixels = self._sweep.picture(index)
        if pixels is None:
            no_picture(draw_list, origin, corner)
        else:
            texture = imgui.ImTextureRef(self._texture(index, pixels, side).smooth())
            draw_list.add_image(texture, *fitted_picture(pixels, origin, side))
        if hovered or _adopted(history, prompt):
            colour = theme.faded(theme.WHITE, 0.5) if hovered else theme.colour.accent
            draw_list.add_rect(origin, corner, theme.u32(colour), rounding=3.0, thickness=2.0)
        dim_text(fitted(value, side))
        imgui.end_group()

    def _texture(self, index: int, pixels: Pixels, side: float) -> Texture:
        """The place's texture with the picture in it, its pixels as squares."""
        scale = max(1, round(side / max(pixels.shape[:2])))
        of, enlarged = self._enlarged.get(index, (None, None))
        if of is not pixels or enlarged is None or len(enlarged) != scale * len(pixels):
            enlarged = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
            self._enlarged[index] = (pixels, enlarged)
        return self._textures.of(index, enlarged)


def _adopted(history: History, prompt: str) -> bool:
    request: RenderRequest = history.scene
    return request.prompt == prompt and request.blend == 0.0 and request.blend_y == 0.0
