"""Both themes: their colours can be read on each other, and the window changes between them while it is open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import ImVec4, imgui

from app.explorer.gui import theme
from app.explorer.session import Session
from app.explorer.window import Explorer
from tests.app.explorer.fakes import errors
from tests.app.explorer.nullwindow import Context, drive, settle


def over(front: ImVec4, back: ImVec4) -> list[float]:
    """What a colour looks like over an opaque one."""
    pairs = ((front.x, back.x), (front.y, back.y), (front.z, back.z))
    return [f * front.w + b * (1 - front.w) for f, b in pairs]


def contrast(first: list[float], second: list[float]) -> float:
    """The contrast ratio of WCAG 2."""

    def luminance(colour: list[float]) -> float:
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", ["dark", "light"])
def test_text_can_be_read_on_everything_it_stands_on(name: str) -> None:
    palette = theme.PALETTES[name]  # type: ignore[index]
    grounds = {
        "panel": over(palette.panel, palette.panel),
        "popup": over(palette.popup, palette.popup),
        "backdrop": over(palette.backdrop, palette.backdrop),
    }
    fields = {
        "frame": over(palette.frame, palette.panel),
        "accent button": over(palette.accent_dim, palette.panel),
        "hovered": over(palette.frame_hover, palette.panel),
    }
    for where, ground in (grounds | fields).items():
        assert contrast(over(palette.text, palette.panel), ground) >= 7, where
    for where, ground in grounds.items():
        for kind in ("dim", "amber", "red", "green", "accent_hover"):
            assert contrast(over(getattr(palette, kind), palette.panel), ground) >= 4.4, (kind, where)
    for where in ("panel", "popup"):
        assert contrast(over(palette.faint, palette.panel), grounds[where]) >= 2.7, where


def test_no_module_keeps_a_colour_of_its_own() -> None:
    """A colour read at import, or written as numbers, would stay when the theme changes."""
    root = Path(theme.__file__).parent
    for path in root.rglob("*.py"):
        if path.name == "theme.py":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            where = f"{path.name}:{number}: {line.strip()}"
            assert not re.match(r"\w+.*= .*theme\.colour", line), where
            assert not re.search(r"def .*=\s*theme\.colour", line), where
            assert not re.search(r"ImVec4\((?!0, 0, 0, 0\))[\d.]", line), where


def test_the_theme_changes_while_the_window_is_open_and_is_kept(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        def text() -> tuple[float, ...]:
            colour = imgui.get_style_color_vec4(imgui.Col_.text)
            return colour.x, colour.y, colour.z

        settle(ctx, session)
        dark = text()
        padding = imgui.get_style().window_padding.x
        ctx.menu_click("//##MainMenuBar/View/###light_theme")
        ctx.yield_(3)
        assert session.preferences.settings.theme == "light"
        assert max(text()) < 0.2 < min(dark)
        assert theme.colour.panel.x > 0.9
        ctx.menu_click("//##MainMenuBar/View/###light_theme")
        ctx.yield_(3)
        assert text() == dark
        assert imgui.get_style().window_padding.x == padding
        session.preferences.set_theme("light")
        ctx.yield_(2)
        assert not errors(session)

    drive(tmp_path, script)

    def again(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        assert theme.colour.panel.x > 0.9
        session.preferences.set_theme("dark")
        ctx.yield_(2)

    drive(tmp_path, again)
