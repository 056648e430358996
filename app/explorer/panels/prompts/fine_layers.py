"""A row that takes the fine layers' styles from another prompt or class, with a draggable boundary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from imgui_bundle import ImVec2, imgui

from app.document.fine_layers import fine_mix, with_fine_mix
from app.document.history import History
from app.document.scene import Scene
from app.explorer.gui import theme
from app.explorer.gui.widgets import tooltip
from app.explorer.panels.prompts.class_field import ClassField
from app.explorer.panels.prompts.prompt_field import PromptField, unknown_row
from app.explorer.session import Session
from core.request import Mix

_HELP = (
    "The coarse layers, which decide what is where, stay with the first; the fine ones, which decide colours and "
    "texture, follow another."
)


class FineLayers:
    """Edits its own entry of `scene.mixes` and no other."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._field = PromptField("##fine", "Prompt for the fine layers…", _prompt, _with_prompt)
        self._class = ClassField(session, "fine label", _label, _with_label)
        self._last: Mix | None = None

    def draw(self, history: History) -> None:
        info = self._session.models.info
        if info is None:
            return
        mix = self._mix(history)
        changed, wanted = imgui.checkbox("fine layers from another###fine layers", mix is not None)
        tooltip(_HELP)
        if changed:
            self._toggle(history, wanted)
            mix = self._mix(history)
        if mix is None:
            return
        self._last = mix
        if mix.prompt is not None:
            self._field.draw(history)
            unknown_row(self._session, mix.prompt)
        elif info.classes:
            self._class.draw(history)
        self._bar(history, mix, info.num_ws)

    def _mix(self, history: History) -> Mix | None:
        """The mix, if it has what this model takes."""
        mix = fine_mix(history.scene)
        if mix is None:
            return None
        return mix if (mix.label is None) == (self._session.models.conditioning == "text") else None

    def _toggle(self, history: History, wanted: bool) -> None:
        if not wanted:
            history.step("fine layers off", lambda scene: with_fine_mix(scene, None))
            return
        mix = self._last
        classes = self._session.models.conditioning == "class"
        if mix is None or (mix.label is None) == classes:
            # Both kinds of subject begin as the first, so that nothing changes until another one is chosen.
            first = self._session.models.info.num_ws // 2
            scene = history.scene
            mix = Mix(first=first, label=scene.label) if classes else Mix(first=first, prompt=scene.prompt)
        history.step("fine layers", lambda scene: with_fine_mix(scene, mix))

    def _bar(self, history: History, mix: Mix, count: int) -> None:
        """All layers as one bar, coarse on the left; the boundary follows the mouse."""
        width, height = imgui.get_content_region_avail().x, imgui.get_frame_height()
        origin = imgui.get_cursor_screen_pos()
        imgui.invisible_button("##boundary", ImVec2(width, height))
        lit = imgui.is_item_hovered() or imgui.is_item_active()
        if lit:
            imgui.set_mouse_cursor(imgui.MouseCursor_.resize_ew)
        if imgui.is_item_active():
            share = (imgui.get_io().mouse_pos.x - origin.x) / max(width, 1.0)
            wanted = min(max(round(share * count), 0), count)
            if wanted != min(mix.first, count):
                history.apply("layer boundary", lambda scene: _changed(scene, lambda mix: replace(mix, first=wanted)))
        if imgui.is_item_deactivated():
            history.end_gesture()
        tooltip(f"Drag the boundary: layers {mix.first + 1} to {count} of {count} follow the second text or class.")
        now = fine_mix(history.scene)
        first = min(now.first if now else 0, count)
        draw_list = imgui.get_window_draw_list()
        cell = width / count
        for layer in range(count):
            left, right = origin.x + layer * cell, origin.x + (layer + 1) * cell - (2.0 if layer < count - 1 else 0.0)
            tint = theme.colour.accent if layer >= first else theme.colour.text
            colour = theme.faded(tint, 0.40 if layer >= first else 0.10)
            draw_list.add_rect_filled(ImVec2(left, origin.y), ImVec2(right, origin.y + height), theme.u32(colour), 3.0)
        x = min(max(origin.x + first * cell - 1.0, origin.x + 2), origin.x + width - 2)
        handle = theme.u32(theme.colour.text if lit else theme.colour.accent_hover)
        draw_list.add_rect_filled(ImVec2(x - 2, origin.y - 2), ImVec2(x + 2, origin.y + height + 2), handle, 2.0)
        for text, left, right in (("coarse", 0, first), ("fine", first, count)):
            size = imgui.calc_text_size(text)
            if (right - left) * cell > size.x + 12:
                middle = origin.x + (left + right) / 2 * cell - size.x / 2
                draw_list.add_text(ImVec2(middle, origin.y + (height - size.y) / 2), theme.u32(theme.colour.text), text)


def _changed(scene: Scene, change: Callable[[Mix], Mix]) -> Scene:
    mix = fine_mix(scene)
    return scene if mix is None else with_fine_mix(scene, change(mix))


def _prompt(scene: Scene) -> str:
    mix = fine_mix(scene)
    return (mix.prompt or "") if mix is not None else ""


def _with_prompt(scene: Scene, text: str) -> Scene:
    return _changed(scene, lambda mix: replace(mix, prompt=text))


def _label(scene: Scene) -> int:
    mix = fine_mix(scene)
    return (mix.label or 0) if mix is not None else 0


def _with_label(scene: Scene, label: int) -> Scene:
    return _changed(scene, lambda mix: replace(mix, label=label))
