"""The window's theme: colours, spacing, fonts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imgui_bundle import ImVec2, ImVec4, hello_imgui, imgui

from app.explorer.storage.settings import Theme

FONT_SIZE = 16.0

# Merged behind the interface font where the system has one, so that prompts in Chinese or Japanese can be read.
CJK_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/Hiragino Sans GB.ttc",
    "C:/Windows/Fonts/msyh.ttc",
    "C:/Windows/Fonts/simsun.ttc",
)


def _rgb(code: str, alpha: float = 1.0) -> ImVec4:
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return ImVec4(red, green, blue, alpha)


@dataclass(frozen=True, kw_only=True)
class Colours:
    """The colours of a theme."""

    backdrop: ImVec4
    """Behind the panels and the picture."""
    panel: ImVec4
    popup: ImVec4
    """Menus, tooltips, messages: what lies over something else."""
    frame: ImVec4
    """Fields, sliders and buttons."""
    frame_hover: ImVec4
    frame_active: ImVec4
    line: ImVec4
    text: ImVec4
    dim: ImVec4
    """Text of secondary importance."""
    faint: ImVec4
    """Text that is not needed, or cannot be used now."""
    accent: ImVec4
    accent_hover: ImVec4
    grab: ImVec4
    """A slider's handle, which text may stand on."""
    accent_dim: ImVec4
    """For areas rather than lines."""
    veil: ImVec4
    """Over anything, to lift it a little."""
    shade: ImVec4
    """Over everything that has to wait."""
    amber: ImVec4
    red: ImVec4
    green: ImVec4


# For marks on the picture itself, which no theme changes.
WHITE = _rgb("ffffff")
EDGE = _rgb("000000", 0.6)
"""Around white marks, so that they are seen on white."""
OUTSIDE = _rgb("000000", 0.3)
"""Over what is not meant."""
HANDLE = _rgb("ed403a")
TARGET = _rgb("3880fa")
"""Of dragged points, as in the paper: what is taken is red, where it goes is blue."""

PALETTES: dict[Theme, Colours] = {
    "dark": Colours(
        backdrop=_rgb("0e0f13"),
        panel=_rgb("16181e"),
        popup=_rgb("1c1f27"),
        frame=_rgb("242832"),
        frame_hover=_rgb("2e3340"),
        frame_active=_rgb("373d4d"),
        line=_rgb("2a2e39"),
        text=_rgb("e8eaf0"),
        dim=_rgb("8e95a6"),
        faint=_rgb("5c6373"),
        accent=_rgb("8f7bf7"),
        accent_hover=_rgb("a493ff"),
        grab=_rgb("8f7bf7"),
        accent_dim=_rgb("8f7bf7", 0.35),
        veil=_rgb("ffffff", 0.05),
        shade=_rgb("000000", 0.5),
        amber=_rgb("f5b04c"),
        red=_rgb("f2606a"),
        green=_rgb("5fce8e"),
    ),
    "light": Colours(
        backdrop=_rgb("d9dce3"),
        panel=_rgb("f2f3f7"),
        popup=_rgb("ffffff"),
        frame=_rgb("dfe2ea"),
        frame_hover=_rgb("d2d6e1"),
        frame_active=_rgb("c2c8d6"),
        line=_rgb("c9cdd8"),
        text=_rgb("181b23"),
        dim=_rgb("505767"),
        faint=_rgb("7b8293"),
        accent=_rgb("6a52e5"),
        accent_hover=_rgb("5538d8"),
        grab=_rgb("a293f4"),
        accent_dim=_rgb("6a52e5", 0.3),
        veil=_rgb("000000", 0.06),
        shade=_rgb("2a2e39", 0.4),
        amber=_rgb("8f5400"),
        red=_rgb("b81e2a"),
        green=_rgb("12703c"),
    ),
}


class _Current:
    """The colours of the current theme, global as ImGui's style is. Read them while drawing; do not keep them."""

    palette = PALETTES["dark"]

    def __getattr__(self, name: str) -> ImVec4:
        value: ImVec4 = getattr(self.palette, name)
        return value


colour = _Current()


def u32(colour: ImVec4) -> int:
    """A colour as the 32-bit integer of draw lists."""
    return int(imgui.color_convert_float4_to_u32(colour))


def faded(value: ImVec4, alpha: float) -> ImVec4:
    """A colour with another alpha."""
    return ImVec4(value.x, value.y, value.z, alpha)


def apply(name: Theme) -> None:
    """Make a theme the current one."""
    colour.palette = PALETTES[name]
    if name == "dark":
        imgui.style_colors_dark()
    else:
        imgui.style_colors_light()
    style = imgui.get_style()
    for key, value in _style_colours(colour.palette).items():
        style.set_color_(key, value)


def _style_colours(palette: Colours) -> dict[imgui.Col_, ImVec4]:
    key = imgui.Col_
    nothing = ImVec4(0, 0, 0, 0)
    return {
        key.text: palette.text,
        key.text_disabled: palette.faint,
        key.window_bg: palette.panel,
        key.child_bg: nothing,
        key.popup_bg: palette.popup,
        key.border: palette.line,
        key.border_shadow: nothing,
        key.frame_bg: palette.frame,
        key.frame_bg_hovered: palette.frame_hover,
        key.frame_bg_active: palette.frame_active,
        key.title_bg: palette.backdrop,
        key.title_bg_active: palette.backdrop,
        key.title_bg_collapsed: palette.backdrop,
        key.menu_bar_bg: palette.backdrop,
        key.scrollbar_bg: nothing,
        key.scrollbar_grab: palette.frame_active,
        key.scrollbar_grab_hovered: palette.faint,
        key.scrollbar_grab_active: palette.dim,
        key.check_mark: palette.accent_hover,
        key.slider_grab: palette.grab,
        key.slider_grab_active: palette.accent,
        key.checkbox_selected_bg: palette.frame,
        key.button: palette.frame,
        key.button_hovered: palette.frame_hover,
        key.button_active: palette.frame_active,
        key.header: palette.frame,
        key.header_hovered: palette.frame_hover,
        key.header_active: palette.frame_active,
        key.separator: palette.line,
        key.separator_hovered: palette.accent_dim,
        key.separator_active: palette.accent,
        key.resize_grip: nothing,
        key.resize_grip_hovered: palette.accent_dim,
        key.resize_grip_active: palette.accent,
        key.tab: palette.backdrop,
        key.tab_hovered: palette.frame_hover,
        key.tab_selected: palette.panel,
        key.tab_selected_overline: palette.accent,
        key.tab_dimmed: palette.backdrop,
        key.tab_dimmed_selected: palette.panel,
        key.tab_dimmed_selected_overline: nothing,
        key.docking_preview: palette.accent_dim,
        key.docking_empty_bg: palette.backdrop,
        key.text_selected_bg: palette.accent_dim,
        key.drag_drop_target: palette.accent,
        key.nav_cursor: palette.accent,
        key.modal_window_dim_bg: palette.shade,
    }


def apply_sizes() -> None:
    """Set spacing and rounding; called once, when the window has its ImGui context.

    In pixels of a screen of usual density: for a denser one HelloImGui scales them afterwards, and the fonts.
    """
    style = imgui.get_style()
    style.window_padding = ImVec2(14, 10)
    style.frame_padding = ImVec2(9, 5)
    style.item_spacing = ImVec2(9, 6)
    style.item_inner_spacing = ImVec2(7, 5)
    style.window_rounding = 6
    style.frame_rounding = 5
    style.popup_rounding = 6
    style.grab_rounding = 5
    style.tab_rounding = 5
    style.scrollbar_rounding = 6
    style.scrollbar_size = 11
    style.grab_min_size = 9
    style.window_border_size = 0
    style.popup_border_size = 1
    style.frame_border_size = 0
    style.tab_bar_border_size = 0
    style.tab_bar_overline_size = 2
    style.docking_separator_size = 3
    style.window_menu_button_position = imgui.Dir.none
    style.hover_delay_normal = 0.35


def load_fonts() -> None:
    """The interface font with its icons, and what the system has for other scripts."""
    hello_imgui.load_font_ttf_with_font_awesome_icons("fonts/Roboto/Roboto-Regular.ttf", FONT_SIZE)
    for name in CJK_FONTS:
        if Path(name).is_file():
            params = hello_imgui.FontLoadingParams()
            params.inside_assets = False
            params.merge_to_last_font = True
            hello_imgui.load_font(name, FONT_SIZE, params)
            break
