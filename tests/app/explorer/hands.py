"""What a script does with the mouse, beyond what the test engine has."""

from __future__ import annotations

from typing import Any

from imgui_bundle import ImVec2, imgui

from app.explorer.window import Explorer
from tests.app.explorer.nullwindow import Context


def drag_from(ctx: Context, start: ImVec2, *stops: tuple[float, float], held: Any = None) -> None:
    """Press at a place, go to others relative to it, let go. A key may be held."""
    start = ImVec2(start.x, start.y)
    ctx.mouse_teleport_to_pos(start)
    ctx.yield_()
    if held is not None:
        ctx.key_down(held)
    ctx.mouse_down(0)
    ctx.mouse_lift_drag_threshold(0)
    ctx.yield_()
    for x, y in stops:
        ctx.mouse_teleport_to_pos(ImVec2(start.x + x, start.y + y))
        ctx.yield_()
    ctx.mouse_up(0)
    if held is not None:
        ctx.key_up(held)
    ctx.yield_()


def rectangle(ctx: Context, item: str) -> imgui.internal.ImRect:
    return ctx.item_info(item).rect_full


def in_rectangle(rect: Any, x: float, y: float) -> ImVec2:
    """A place by its shares of an item's width and height."""
    return ImVec2(rect.min.x + x * (rect.max.x - rect.min.x), rect.min.y + y * (rect.max.y - rect.min.y))


def show(ctx: Context, explorer: Explorer, title: str) -> None:
    for window in explorer.params.docking_params.dockable_windows:
        if window.label == title:
            window.is_visible = True
    ctx.yield_(3)
    ctx.window_focus(f"//{title}")
    ctx.yield_(3)
