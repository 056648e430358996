"""Snapshots as a strip of small pictures: a click goes there, a drag reorders, the right button has the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from imgui_bundle import ImVec2, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document import snapshots
from app.document.history import History
from app.document.parts import Mark, Snapshot
from app.document.scene import LONGEST_MORPH_S, Scene
from app.explorer.actions import by_id
from app.explorer.gui import theme
from app.explorer.gui.texture import Texture
from app.explorer.gui.textures import Textures
from app.explorer.gui.widgets import (
    end_of_edit,
    fitted,
    fitted_picture,
    flow,
    no_picture,
    set_field,
    square_button,
    tooltip,
    wrapped_text,
)
from app.explorer.session import Session
from core.timeline import EASING_NAMES

TILE_EM = 5.0
EASING_HELP = "How the morph is timed: smooth starts and ends gently, hold waits and then jumps."


class SnapshotsPanel:
    """The strip, the morph's time, A/B and comparing."""

    title = "Snapshots"

    def __init__(self, session: Session, new_texture: Callable[[], Texture]) -> None:
        self._session = session
        self._textures = Textures(new_texture)
        self._dragged: int | None = None
        self._renaming: int | None = None
        self._name = ""
        self._focus = False

    def draw(self, history: History) -> None:
        self._bar(history)
        row = history.scene.snapshots
        if not row:
            wrapped_text("No snapshots yet: N keeps the picture as it is now.", theme.colour.faint)
            return
        imgui.begin_child("##snapshots")
        side = imgui.get_font_size() * TILE_EM
        self._textures.keep([snapshot.request for snapshot in row])
        flow([side] * len(row), lambda index: self._tile(history, index, row[index], side))
        if self._dragged is not None and not imgui.is_mouse_down(0):
            self._dragged = None
            history.end_gesture()
        imgui.end_child()

    def _bar(self, history: History) -> None:
        session, scene = self._session, history.scene
        self._icon("snapshot", icons.ICON_FA_CAMERA)
        imgui.same_line(0, 4)
        self._icon("a_b", icons.ICON_FA_RIGHT_LEFT)
        for action_id, icon in (
            ("compare_side", icons.ICON_FA_TABLE_COLUMNS),
            ("compare_wipe", icons.ICON_FA_CIRCLE_HALF_STROKE),
        ):
            imgui.same_line(0, 4)
            checked = by_id(action_id).checked(session)
            if checked:
                imgui.push_style_color(imgui.Col_.button, theme.colour.accent_dim)
            self._icon(action_id, icon)
            if checked:
                imgui.pop_style_color()
        imgui.same_line(0, 12)
        width = imgui.get_content_region_avail().x
        imgui.set_next_item_width(max(min(width * 0.5 - 4, imgui.get_font_size() * 8), 40))
        changed, seconds = imgui.slider_float(
            "##morph_seconds", scene.morph_seconds, 0.0, 10.0, "%.1f s", imgui.SliderFlags_.none
        )
        if changed and seconds == seconds:
            seconds = min(max(seconds, 0.0), LONGEST_MORPH_S)
            history.apply("morph time", lambda scene: replace(scene, morph_seconds=seconds))
        end_of_edit(history)
        tooltip("How long going to a snapshot takes; 0 cuts.")
        imgui.same_line(0, 4)
        imgui.set_next_item_width(max(min(width * 0.5 - 4, imgui.get_font_size() * 6.5), 40))
        if imgui.begin_combo("##morph_easing", scene.morph_easing):
            for easing in EASING_NAMES:
                if imgui.selectable(easing, easing == scene.morph_easing)[0]:
                    set_field(history, "morph easing", "morph_easing", easing)
            imgui.end_combo()
        tooltip(EASING_HELP)

    def _icon(self, action_id: str, icon: str) -> None:
        action = by_id(action_id)
        imgui.begin_disabled(not action.enabled(self._session))
        if square_button(f"{icon}###{action_id}"):
            action.run(self._session)
        imgui.end_disabled()
        shortcut = f" ({action.shortcut})" if action.shortcut else ""
        what = action.label(self._session) + shortcut
        tooltip(f"{what}\n{action.tooltip}" if action.tooltip else what)

    def _tile(self, history: History, index: int, snapshot: Snapshot, side: float) -> None:
        session = self._session
        imgui.begin_group()
        origin = imgui.get_cursor_screen_pos()
        corner = ImVec2(origin.x + side, origin.y + side)
        imgui.set_next_item_allow_overlap()
        clicked = imgui.invisible_button(f"##snapshot {index}", ImVec2(side, side))
        hovered = imgui.is_item_hovered()
        if imgui.is_item_active() and imgui.is_mouse_dragging(0):
            self._dragged = index if self._dragged is None else self._dragged
        elif clicked and self._dragged is None:
            session.snapshots.go(index)
        self._drop(history, index, origin, corner)
        problem = session.rendering.thumbnails.problem(snapshot.request)
        if self._dragged is None:
            tooltip(problem or f"{snapshot.name}: {_described(snapshot)}")
        self._menu(history, index, snapshot)
        self._picture(snapshot, problem, origin, corner)
        draw_list = imgui.get_window_draw_list()
        if session.rendering.wanted == snapshot.request or hovered or self._dragged == index:
            colour = theme.colour.dim if session.rendering.wanted != snapshot.request else theme.colour.accent
            draw_list.add_rect(origin, corner, theme.u32(colour), rounding=4.0, thickness=2.0)
        if snapshot.mark:
            _badge(draw_list, snapshot.mark, ImVec2(origin.x + 4, origin.y + 4))
        if self._renaming == index:
            imgui.set_cursor_screen_pos(ImVec2(origin.x, corner.y - imgui.get_frame_height()))
            self._rename(history, index, side)
        else:
            _caption(draw_list, fitted(snapshot.name, side - 8), origin, corner)
        imgui.end_group()

    def _picture(self, snapshot: Snapshot, problem: str | None, origin: ImVec2, corner: ImVec2) -> None:
        draw_list = imgui.get_window_draw_list()
        pixels = self._session.rendering.thumbnails.get(snapshot.request)
        if pixels is None:
            no_picture(draw_list, origin, corner, failed=bool(problem))
            return
        draw_list.add_rect_filled(origin, corner, theme.u32(theme.colour.frame), 4.0)
        upper, lower = fitted_picture(pixels, origin, corner.x - origin.x)
        texture = imgui.ImTextureRef(self._textures.of(snapshot.request, pixels).smooth())
        draw_list.add_image_rounded(texture, upper, lower, ImVec2(0, 0), ImVec2(1, 1), 0xFFFFFFFF, 4.0)

    def _drop(self, history: History, index: int, origin: ImVec2, corner: ImVec2) -> None:
        """Reorder while a thumbnail is dragged over this one."""
        dragged = self._dragged
        if dragged is None or dragged == index or not imgui.is_mouse_hovering_rect(origin, corner):
            return
        history.apply("move snapshot", lambda scene: snapshots.moved(scene, dragged, index))
        self._dragged = index

    def _menu(self, history: History, index: int, snapshot: Snapshot) -> None:
        if not imgui.begin_popup_context_item(f"##menu {index}"):
            return
        if imgui.menu_item("Go there###go", "", False)[0]:
            self._session.snapshots.go(index)
        if imgui.menu_item("Rename###rename", "", False)[0]:
            self._renaming, self._name, self._focus = index, snapshot.name, True
        if imgui.menu_item("Replace by the picture now###replace", "", False)[0]:
            request = self._session.rendering.wanted
            history.step("replace snapshot", lambda scene: snapshots.changed(scene, index, request=request))
        imgui.separator()
        marks: tuple[Mark, ...] = ("A", "B")
        for mark in marks:
            is_marked = snapshot.mark == mark
            if imgui.menu_item(f"Mark as {mark}###mark {mark}", "", is_marked)[0]:
                new: Mark = "" if is_marked else mark

                def edit(scene: Scene, new: Mark = new) -> Scene:
                    return snapshots.with_mark(scene, index, new)

                history.step(f"mark {mark}", edit)
        imgui.separator()
        if imgui.menu_item("Delete###delete", "", False)[0]:
            history.step("delete snapshot", lambda scene: snapshots.deleted(scene, index))
        imgui.end_popup()

    def _rename(self, history: History, index: int, side: float) -> None:
        imgui.set_next_item_width(side)
        if self._focus:
            imgui.set_keyboard_focus_here()
            self._focus = False
        done, self._name = imgui.input_text(
            f"##name {index}",
            self._name,
            imgui.InputTextFlags_.enter_returns_true | imgui.InputTextFlags_.auto_select_all,
        )
        left = imgui.is_item_deactivated() or (imgui.is_mouse_clicked(0) and not imgui.is_item_hovered())
        if done or left:
            name = self._name.strip()
            if name and not imgui.is_key_pressed(imgui.Key.escape):
                history.step("rename snapshot", lambda scene: snapshots.changed(scene, index, name=name))
            self._renaming = None


def _badge(draw_list: imgui.ImDrawList, text: str, at: ImVec2) -> None:
    size = imgui.calc_text_size(text)
    corner = ImVec2(at.x + size.x + 10, at.y + size.y + 2)
    draw_list.add_rect_filled(at, corner, theme.u32(theme.colour.accent), 4.0)
    draw_list.add_text(ImVec2(at.x + 5, at.y + 1), theme.u32(theme.colour.backdrop), text)


def _caption(draw_list: imgui.ImDrawList, text: str, origin: ImVec2, corner: ImVec2) -> None:
    """The name, over the picture's lower edge."""
    height = imgui.get_font_size() + 2
    back = theme.u32(theme.faded(theme.colour.popup, 0.7))
    flags = imgui.ImDrawFlags_.round_bottom
    draw_list.add_rect_filled(ImVec2(origin.x, corner.y - height), corner, back, 4.0, flags)
    draw_list.add_text(ImVec2(origin.x + 4, corner.y - height), theme.u32(theme.colour.text), text)


def _described(snapshot: Snapshot) -> str:
    request = snapshot.request
    return f"{request.prompt}\nseed {request.seed_x:g}, {request.seed_y:g}  ·  psi {request.psi:.2f}".strip()
