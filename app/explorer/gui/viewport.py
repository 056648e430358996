"""The viewport: the picture at a whole zoom, its toolbar, its mouse handling, and toasts over it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from imgui_bundle import ImVec2, ImVec4, imgui, imspinner
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.history import History
from app.explorer.actions import by_id
from app.explorer.gui import theme
from app.explorer.gui.compare import Comparison, Rect
from app.explorer.gui.picture_drag import PictureDrag
from app.explorer.gui.point_handles import PointHandles
from app.explorer.gui.texture import Region, Texture
from app.explorer.gui.widgets import set_field, tooltip
from app.explorer.messages import Message
from app.explorer.session import Session

ZOOMS = (0, 1, 2, 3, 4, 6, 8, 10, 12, 16)


@dataclass(frozen=True)
class PictureRect:
    """The picture's rectangle in framebuffer pixels, from the top left of the window."""

    x: int
    y: int
    width: int
    height: int
    zoom: float


def fitting_zoom(width: int, height: int, available_width: float, available_height: float) -> float:
    """The largest whole zoom that fits; for a picture larger than the available size, the fraction that fits."""
    fraction = min(available_width / width, available_height / height)
    return float(math.floor(fraction)) if fraction >= 1.0 else max(fraction, 1e-3)


def _placed(size: tuple[int, int], zoom: float, part: Rect, scale: float) -> Rect:
    """The rectangle of a picture centred in `part`, on whole framebuffer pixels so that all its pixels get one size."""
    width, height = size[0] * zoom / scale, size[1] * zoom / scale
    x = math.floor((part.left + (part.area.x - width) / 2) * scale) / scale
    y = math.floor((part.top + (part.area.y - height) / 2) * scale) / scale
    return Rect(x, y, x + width, y + height)


class Viewport:
    """The picture's window with its toolbar and toasts."""

    title = "Picture"

    def __init__(
        self,
        session: Session,
        texture: Texture,
        open_folder: Callable[[Path], None],
        new_texture: Callable[[], Texture],
    ) -> None:
        self._session = session
        self._texture = texture
        self._comparison = Comparison(session, new_texture)
        self._open_folder = open_folder
        self._uploaded = 0
        self._drag = PictureDrag(session)
        self._handles = PointHandles(session)
        self.placement: PictureRect | None = None
        """Where the picture was drawn last; tests compare its pixels."""

    def draw(self, history: History) -> None:
        self._toolbar(history)
        origin = imgui.get_cursor_screen_pos()
        area = imgui.get_content_region_avail()
        frame = self._session.rendering.frame
        if frame is None:
            self._placeholder(origin, area)
        else:
            self._picture(history, origin, area)
            if self._session.rendering.thread.loading is not None:
                self._badge(origin, self._session.models.loading_text)
        self._toasts(origin, area)

    def _toolbar(self, history: History) -> None:
        scene = history.scene
        session = self._session
        imgui.set_cursor_pos(ImVec2(imgui.get_cursor_pos_x() + 10, imgui.get_cursor_pos_y() + 8))
        imgui.push_item_width(imgui.get_font_size() * 6.5)
        shown = "fit" if scene.zoom == 0 else f"{scene.zoom}×"
        if imgui.begin_combo("##zoom", f"{icons.ICON_FA_MAGNIFYING_GLASS}  {shown}"):
            for zoom in ZOOMS:
                if imgui.selectable("fit" if zoom == 0 else f"{zoom}×", zoom == scene.zoom)[0]:
                    set_field(history, "zoom", "zoom", zoom)
            imgui.end_combo()
        imgui.pop_item_width()
        tooltip("Screen pixels for each pixel of the picture; fit takes the largest whole zoom.")
        imgui.same_line()
        changed, smooth = imgui.checkbox("smooth", scene.smooth)
        if changed:
            history.step("smooth", lambda scene: replace(scene, smooth=smooth))
        tooltip(by_id("smooth").tooltip)
        imgui.same_line()
        snap = by_id("snap")
        if imgui.checkbox("snap", snap.checked(session))[0]:
            snap.run(session)
        tooltip(f"{snap.tooltip} ({snap.shortcut})")
        recorder = session.export.recording.recorder
        if recorder is not None:
            imgui.same_line(0, 24)
            imgui.push_style_color(imgui.Col_.text, theme.colour.red)
            imgui.align_text_to_frame_padding()
            word = "finishing" if recorder.stopping else "recording"
            imgui.text_unformatted(f"{icons.ICON_FA_CIRCLE}  {word}  {recorder.seconds:.1f} s")
            imgui.pop_style_color()
        if session.rendering.frame is not None:
            self._hint()
        imgui.set_cursor_pos_y(imgui.get_cursor_pos_y() + 2)

    def _hint(self) -> None:
        """At the right end, the mouse gestures, as long a text as fits."""
        info = self._session.models.info
        hints = ["drag the picture to walk through the seeds"]
        if self._session.drag.on:
            hints = ["press and pull; right click removes; Shift: what may change", "press on the picture and pull"]
        elif info is not None and info.has_transform:
            hints.insert(0, f"{hints[0]}; Alt moves, Ctrl turns, Shift scales it")
        imgui.same_line()
        for hint in hints:
            right = imgui.get_window_width() - imgui.calc_text_size(hint).x - 16
            if right > imgui.get_cursor_pos_x() + 12:
                imgui.set_cursor_pos_x(right)
                imgui.align_text_to_frame_padding()
                imgui.text_colored(theme.colour.faint, hint)
                return
        imgui.new_line()

    def _picture(self, history: History, origin: ImVec2, area: ImVec2) -> None:
        session, scene = self._session, history.scene
        frame = session.rendering.frame
        assert frame is not None
        scale = max(imgui.get_io().display_framebuffer_scale.x, 1.0)
        margin = 12.0
        whole = Rect(origin.x, origin.y, origin.x + area.x, origin.y + area.y)
        how = self._comparison.how
        part = self._comparison.live(whole)
        if scene.zoom:
            zoom = float(scene.zoom)
        else:
            room = (part.area.x - 2 * margin) * scale, (part.area.y - 2 * margin) * scale
            zoom = fitting_zoom(frame.width, frame.height, *room)
        session.ui.shown_zoom = max(round(zoom), 1)
        if self._uploaded != session.rendering.frame_count:
            self._texture.upload(frame.pixels)
            self._uploaded = session.rendering.frame_count
        size = frame.width, frame.height
        place = _placed(size, zoom, part, scale)
        self.placement = PictureRect(
            round(place.left * scale),
            round(place.top * scale),
            round(place.area.x * scale),
            round(place.area.y * scale),
            zoom,
        )
        if area.x < 1 or area.y < 1:
            return
        smooth = scene.smooth or zoom < 1.0
        self._pixels(self._texture, size, place, part, zoom, smooth)
        other = self._comparison.texture() if how != "off" else None
        other_place = place
        if how == "side":
            part_b = self._comparison.beside(whole)
            other_place = _placed(other[1] if other else size, zoom, part_b, scale)
            if other is not None:
                self._pixels(*other, other_place, part_b, zoom, smooth)
        elif how == "wipe" and other is not None:
            line = place.left + scene.wipe * place.area.x
            clip = replace(whole, left=min(max(line, whole.left), whole.right))
            # Of another size when the model has changed: it covers the same place all the same.
            self._pixels(*other, place, clip, place.area.x * scale / other[1][0], smooth)
        left, top = max(place.left, part.left), max(place.top, part.top)
        right, bottom = min(place.right, part.right), min(place.bottom, part.bottom)
        imgui.set_cursor_screen_pos(ImVec2(left, top))
        if how == "wipe":
            imgui.set_next_item_allow_overlap()
        imgui.invisible_button("##canvas", ImVec2(max(right - left, 1.0), max(bottom - top, 1.0)))
        if session.drag.on:
            self._handles.follow(place, part, frame.width)
        else:
            self._drag.follow(history, place.origin, place.area)
        if how == "wipe":
            self._comparison.line(history, place)
        if how != "off":
            self._comparison.names(place, other_place)

    def _pixels(
        self, texture: Texture, size: tuple[int, int], place: Rect, part: Rect, zoom: float, smooth: bool
    ) -> None:
        """Draw a picture of `size` pixels into the rectangle `place`, clipped to `part`."""
        if part.area.x < 1 or part.area.y < 1:
            return
        draw_list = imgui.get_window_draw_list()
        draw_list.push_clip_rect(part.origin, part.corner, True)
        if smooth or zoom != int(zoom):
            self._draw_texture(texture.smooth(), place.left, place.top, place.right, place.bottom)
        else:
            unit = place.area.x / size[0]
            # Only what is visible is enlarged: a large picture at a large zoom would exceed what a texture can be.
            region = Region(
                max(math.floor((part.left - place.left) / unit), 0),
                max(math.floor((part.top - place.top) / unit), 0),
                min(math.ceil((part.right - place.left) / unit), size[0]),
                min(math.ceil((part.bottom - place.top) / unit), size[1]),
            )
            if region.x1 > region.x0 and region.y1 > region.y0:
                self._draw_texture(
                    texture.sharp(region, round(zoom)),
                    place.left + region.x0 * unit,
                    place.top + region.y0 * unit,
                    place.left + region.x1 * unit,
                    place.top + region.y1 * unit,
                )
        draw_list.pop_clip_rect()

    def _draw_texture(self, texture_id: int, left: float, top: float, right: float, bottom: float) -> None:
        imgui.get_window_draw_list().add_image(imgui.ImTextureRef(texture_id), ImVec2(left, top), ImVec2(right, bottom))

    def _placeholder(self, origin: ImVec2, area: ImVec2) -> None:
        """Without a picture: progress of loading, or why the model did not load."""
        session = self._session
        failed = session.models.failed if session.rendering.thread.loading is None else None
        middle = ImVec2(origin.x + area.x / 2, origin.y + area.y / 2)
        if failed is None:
            radius = imgui.get_font_size() * 1.6
            imgui.set_cursor_screen_pos(ImVec2(middle.x - radius, middle.y - radius * 2.2))
            imspinner.spinner_ang(
                "##loading", radius, 4.0, imgui.ImColor(theme.colour.accent), imgui.ImColor(theme.colour.frame)
            )
            _centred(session.models.loading_text, middle.x, middle.y + radius * 0.7, theme.colour.dim)
            return
        width = min(area.x - 40, imgui.get_font_size() * 34)
        imgui.set_cursor_screen_pos(ImVec2(middle.x - width / 2, origin.y + area.y * 0.34))
        imgui.begin_group()
        imgui.text_colored(theme.colour.red, f"{icons.ICON_FA_TRIANGLE_EXCLAMATION}  The model did not load")
        imgui.push_text_wrap_pos(middle.x + width / 2 - imgui.get_window_pos().x)
        imgui.text_unformatted(failed)
        imgui.pop_text_wrap_pos()
        imgui.spacing()
        if imgui.button("Open checkpoint…"):
            by_id("open").run(session)
        imgui.same_line()
        if imgui.button("Open the bundled checkpoint"):
            by_id("open_bundled").run(session)
        imgui.end_group()

    def _badge(self, origin: ImVec2, text: str) -> None:
        size = imgui.calc_text_size(text)
        at = ImVec2(origin.x + 12, origin.y + 8)
        draw_list = imgui.get_window_draw_list()
        background = theme.u32(theme.faded(theme.colour.popup, 0.9))
        draw_list.add_rect_filled(at, ImVec2(at.x + size.x + 24, at.y + size.y + 12), background, 6.0)
        draw_list.add_text(ImVec2(at.x + 12, at.y + 6), theme.u32(theme.colour.text), text)

    def _toasts(self, origin: ImVec2, area: ImVec2) -> None:
        """Messages at the lower right of the picture's window, newest lowest; above everything, taking no focus."""
        bottom = origin.y + area.y - 14
        width = min(imgui.get_font_size() * 26, area.x - 28)
        if width < 80:
            return
        for message in reversed(self._session.messages.toasts):
            bottom = self._toast(message, origin.x + area.x - 14, bottom, width) - 8

    def _toast(self, message: Message, right: float, bottom: float, width: float) -> float:
        """Draw a toast; returns its upper edge."""
        error = message.level == "error"
        imgui.set_next_window_pos(ImVec2(right, bottom), imgui.Cond_.always, ImVec2(1.0, 1.0))
        imgui.set_next_window_size(ImVec2(width, 0))
        imgui.push_style_color(imgui.Col_.window_bg, theme.faded(theme.colour.popup, 0.97))
        imgui.push_style_color(imgui.Col_.border, theme.colour.red if error else theme.colour.frame_active)
        imgui.push_style_var(imgui.StyleVar_.window_border_size, 1.0)
        flags = (
            imgui.WindowFlags_.no_decoration
            | imgui.WindowFlags_.no_docking
            | imgui.WindowFlags_.no_saved_settings
            | imgui.WindowFlags_.no_focus_on_appearing
            | imgui.WindowFlags_.no_nav
            | imgui.WindowFlags_.no_move
        )
        imgui.begin(f"##toast {message.at} {hash(message.text)}", None, flags)
        if message.choices:
            imgui.text_colored(theme.colour.accent, icons.ICON_FA_CIRCLE_QUESTION)
        elif error:
            imgui.text_colored(theme.colour.red, icons.ICON_FA_TRIANGLE_EXCLAMATION)
        else:
            imgui.text_colored(theme.colour.green, icons.ICON_FA_CIRCLE_CHECK)
        imgui.same_line()
        imgui.push_text_wrap_pos(width - imgui.get_frame_height() - 14)
        imgui.text_unformatted(message.text)
        imgui.pop_text_wrap_pos()
        imgui.same_line(width - imgui.get_frame_height() - 6)
        imgui.push_style_color(imgui.Col_.button, ImVec4(0, 0, 0, 0))
        if imgui.small_button(f"{icons.ICON_FA_XMARK}###dismiss"):
            self._session.messages.dismiss(message)
        imgui.pop_style_color()
        if message.path is not None and imgui.small_button(f"{icons.ICON_FA_FOLDER_OPEN}  Show in folder"):
            self._open_folder(message.path)
        for label, choose in message.choices:
            if imgui.small_button(label):
                self._session.messages.dismiss(message)
                choose()
            imgui.same_line()
        top = imgui.get_window_pos().y
        imgui.end()
        imgui.pop_style_var()
        imgui.pop_style_color(2)
        return float(top)


def _centred(text: str, x: float, y: float, colour: ImVec4) -> None:
    size = imgui.calc_text_size(text)
    imgui.set_cursor_screen_pos(ImVec2(x - size.x / 2, y))
    imgui.text_colored(colour, text)
