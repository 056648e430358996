"""How the window looks: colours, spacing, fonts."""

from __future__ import annotations

from pathlib import Path

from imgui_bundle import ImVec2, ImVec4, hello_imgui, imgui

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


BACKDROP = _rgb("0e0f13")
PANEL = _rgb("16181e")
FRAME = _rgb("242832")
FRAME_HOVER = _rgb("2e3340")
FRAME_ACTIVE = _rgb("373d4d")
LINE = _rgb("2a2e39")
TEXT = _rgb("e8eaf0")
DIM = _rgb("8e95a6")
FAINT = _rgb("5c6373")
ACCENT = _rgb("8f7bf7")
ACCENT_HOVER = _rgb("a493ff")
ACCENT_DIM = _rgb("8f7bf7", 0.35)
AMBER = _rgb("f5b04c")
RED = _rgb("f2606a")
GREEN = _rgb("5fce8e")


def apply() -> None:
    """Set the style; called once, when the window has its ImGui context."""
    imgui.style_colors_dark()
    style = imgui.get_style()
    colour = imgui.Col_
    for key, value in {
        colour.text: TEXT,
        colour.text_disabled: FAINT,
        colour.window_bg: PANEL,
        colour.child_bg: ImVec4(0, 0, 0, 0),
        colour.popup_bg: _rgb("1c1f27"),
        colour.border: LINE,
        colour.border_shadow: ImVec4(0, 0, 0, 0),
        colour.frame_bg: FRAME,
        colour.frame_bg_hovered: FRAME_HOVER,
        colour.frame_bg_active: FRAME_ACTIVE,
        colour.title_bg: BACKDROP,
        colour.title_bg_active: BACKDROP,
        colour.title_bg_collapsed: BACKDROP,
        colour.menu_bar_bg: BACKDROP,
        colour.scrollbar_bg: ImVec4(0, 0, 0, 0),
        colour.scrollbar_grab: FRAME_ACTIVE,
        colour.scrollbar_grab_hovered: FAINT,
        colour.scrollbar_grab_active: DIM,
        colour.check_mark: ACCENT_HOVER,
        colour.slider_grab: ACCENT,
        colour.slider_grab_active: ACCENT_HOVER,
        colour.button: FRAME,
        colour.button_hovered: FRAME_HOVER,
        colour.button_active: FRAME_ACTIVE,
        colour.header: FRAME,
        colour.header_hovered: FRAME_HOVER,
        colour.header_active: FRAME_ACTIVE,
        colour.separator: LINE,
        colour.separator_hovered: ACCENT_DIM,
        colour.separator_active: ACCENT,
        colour.resize_grip: ImVec4(0, 0, 0, 0),
        colour.resize_grip_hovered: ACCENT_DIM,
        colour.resize_grip_active: ACCENT,
        colour.tab: BACKDROP,
        colour.tab_hovered: FRAME_HOVER,
        colour.tab_selected: PANEL,
        colour.tab_selected_overline: ACCENT,
        colour.tab_dimmed: BACKDROP,
        colour.tab_dimmed_selected: PANEL,
        colour.tab_dimmed_selected_overline: ImVec4(0, 0, 0, 0),
        colour.docking_preview: ACCENT_DIM,
        colour.docking_empty_bg: BACKDROP,
        colour.text_selected_bg: ACCENT_DIM,
        colour.drag_drop_target: ACCENT,
        colour.nav_cursor: ACCENT,
        colour.modal_window_dim_bg: ImVec4(0, 0, 0, 0.5),
    }.items():
        style.set_color_(key, value)
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
