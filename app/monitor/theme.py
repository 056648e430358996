"""How the monitor looks: the explorer's dark colours, one colour a run, fonts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import dearpygui.dearpygui as dpg

Colour = tuple[int, int, int, int]


def rgb(code: str, alpha: int = 255) -> Colour:
    """A colour from "8f7bf7"."""
    red, green, blue = (int(code[i : i + 2], 16) for i in (0, 2, 4))
    return red, green, blue, alpha


BACKDROP, PANEL, POPUP = rgb("0e0f13"), rgb("16181e"), rgb("1c1f27")
FRAME, FRAME_HOVER, FRAME_ACTIVE = rgb("242832"), rgb("2e3340"), rgb("373d4d")
LINE, TEXT, DIM, FAINT = rgb("2a2e39"), rgb("e8eaf0"), rgb("9aa1b2"), rgb("6d7486")
ACCENT, ACCENT_HOVER = rgb("8f7bf7"), rgb("a493ff")
AMBER, RED, GREEN = rgb("f5b04c"), rgb("f2606a"), rgb("5fce8e")
NOTHING = (0, 0, 0, 0)

RUNS = tuple(rgb(code) for code in ("8f7bf7", "f5b04c", "4fc3e8", "5fce8e", "f2606a", "e77fd0", "c6d957", "9db2ce"))


def of_run(number: int) -> Colour:
    """A run's colour."""
    return RUNS[number % len(RUNS)]


def of_side(colour: Colour, side: int) -> Colour:
    """A run's colour for the first or the second number of a plot, which is paler."""
    if side == 0:
        return colour
    red, green, blue, alpha = colour
    return (red + 2 * 255) // 3, (green + 2 * 255) // 3, (blue + 2 * 255) // 3, alpha


def faded(colour: Colour, alpha: int) -> Colour:
    """A colour that lets some of what is behind it through."""
    return (*colour[:3], alpha)


class Fonts:
    """The three fonts; ImGui's own where imgui-bundle's are not to be found."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("imgui_bundle")
        folder = Path(next(iter(spec.submodule_search_locations or [""]))) if spec else Path()
        folder = folder / "assets" / "fonts" / "Roboto"
        with dpg.font_registry():
            self.text = _font(folder / "Roboto-Regular.ttf", 15)
            self.small = _font(folder / "Roboto-Regular.ttf", 13)
            self.bold = _font(folder / "Roboto-Bold.ttf", 15)

    def use(self, item: int | str, font: int | None) -> None:
        """Give an item a font."""
        if font is not None:
            dpg.bind_item_font(item, font)


def _font(path: Path, size: int) -> int | None:
    return int(dpg.add_font(str(path), size)) if path.is_file() else None


def apply() -> None:
    """Set the window's colours and spacing."""
    colours = {
        dpg.mvThemeCol_Text: TEXT,
        dpg.mvThemeCol_TextDisabled: FAINT,
        dpg.mvThemeCol_WindowBg: BACKDROP,
        dpg.mvThemeCol_ChildBg: NOTHING,
        dpg.mvThemeCol_PopupBg: POPUP,
        dpg.mvThemeCol_Border: LINE,
        dpg.mvThemeCol_FrameBg: FRAME,
        dpg.mvThemeCol_FrameBgHovered: FRAME_HOVER,
        dpg.mvThemeCol_FrameBgActive: FRAME_ACTIVE,
        dpg.mvThemeCol_TitleBg: POPUP,
        dpg.mvThemeCol_TitleBgActive: POPUP,
        dpg.mvThemeCol_ScrollbarBg: NOTHING,
        dpg.mvThemeCol_ScrollbarGrab: FRAME_ACTIVE,
        dpg.mvThemeCol_ScrollbarGrabHovered: FAINT,
        dpg.mvThemeCol_ScrollbarGrabActive: DIM,
        dpg.mvThemeCol_CheckMark: ACCENT_HOVER,
        dpg.mvThemeCol_SliderGrab: ACCENT,
        dpg.mvThemeCol_SliderGrabActive: ACCENT_HOVER,
        dpg.mvThemeCol_Button: FRAME,
        dpg.mvThemeCol_ButtonHovered: FRAME_HOVER,
        dpg.mvThemeCol_ButtonActive: FRAME_ACTIVE,
        dpg.mvThemeCol_Header: FRAME,
        dpg.mvThemeCol_HeaderHovered: FRAME_HOVER,
        dpg.mvThemeCol_HeaderActive: FRAME_ACTIVE,
        dpg.mvThemeCol_Separator: LINE,
        dpg.mvThemeCol_Tab: BACKDROP,
        dpg.mvThemeCol_TabHovered: FRAME_HOVER,
        dpg.mvThemeCol_TabActive: FRAME,
        dpg.mvThemeCol_TabUnfocused: BACKDROP,
        dpg.mvThemeCol_TabUnfocusedActive: FRAME,
        dpg.mvThemeCol_PlotHistogram: ACCENT,
        dpg.mvThemeCol_ModalWindowDimBg: rgb("000000", 128),
        dpg.mvThemeCol_NavHighlight: NOTHING,
    }
    plots = {
        dpg.mvPlotCol_FrameBg: NOTHING,
        dpg.mvPlotCol_PlotBg: rgb("12141a"),
        dpg.mvPlotCol_PlotBorder: LINE,
        dpg.mvPlotCol_AxisGrid: rgb("ffffff", 26),
        dpg.mvPlotCol_AxisText: DIM,
        dpg.mvPlotCol_AxisBgHovered: NOTHING,
        dpg.mvPlotCol_AxisBgActive: NOTHING,
        dpg.mvPlotCol_Selection: ACCENT,
        dpg.mvPlotCol_InlayText: DIM,
    }
    sizes = {
        dpg.mvStyleVar_WindowPadding: (0, 0),
        dpg.mvStyleVar_FramePadding: (9, 4),
        dpg.mvStyleVar_ItemSpacing: (8, 6),
        dpg.mvStyleVar_ItemInnerSpacing: (6, 4),
        dpg.mvStyleVar_FrameRounding: (5, 0),
        dpg.mvStyleVar_ChildRounding: (7, 0),
        dpg.mvStyleVar_PopupRounding: (6, 0),
        dpg.mvStyleVar_GrabRounding: (5, 0),
        dpg.mvStyleVar_TabRounding: (5, 0),
        dpg.mvStyleVar_ScrollbarSize: (10, 0),
        dpg.mvStyleVar_ScrollbarRounding: (6, 0),
        dpg.mvStyleVar_WindowBorderSize: (0, 0),
        dpg.mvStyleVar_ChildBorderSize: (0, 0),
        dpg.mvStyleVar_FrameBorderSize: (0, 0),
    }
    plot_sizes = {
        dpg.mvPlotStyleVar_PlotPadding: (12, 4),
        dpg.mvPlotStyleVar_LabelPadding: (4, 3),
        dpg.mvPlotStyleVar_PlotBorderSize: (1, 0),
        dpg.mvPlotStyleVar_MajorTickLen: (0, 0),
        dpg.mvPlotStyleVar_MinorTickLen: (0, 0),
        dpg.mvPlotStyleVar_MinorAlpha: (0.6, 0),
        dpg.mvPlotStyleVar_PlotMinSize: (60, 40),
    }
    disabled = {
        dpg.mvThemeCol_Text: FAINT,
        dpg.mvThemeCol_Button: rgb("1a1d24"),
        dpg.mvThemeCol_ButtonHovered: rgb("1a1d24"),
        dpg.mvThemeCol_ButtonActive: rgb("1a1d24"),
        dpg.mvThemeCol_FrameBg: rgb("1a1d24"),
        dpg.mvThemeCol_FrameBgHovered: rgb("1a1d24"),
        dpg.mvThemeCol_FrameBgActive: rgb("1a1d24"),
    }
    with dpg.theme() as theme:
        with dpg.theme_component(dpg.mvAll):
            for key, colour in colours.items():
                dpg.add_theme_color(key, colour)
            for key, colour in plots.items():
                dpg.add_theme_color(key, colour, category=dpg.mvThemeCat_Plots)
            for key, (x, y) in sizes.items():
                dpg.add_theme_style(key, x, y)
            for key, (width, height) in plot_sizes.items():
                dpg.add_theme_style(key, width, height, category=dpg.mvThemeCat_Plots)
        for kind in (dpg.mvButton, dpg.mvInputText):
            with dpg.theme_component(kind, enabled_state=False):
                for key, colour in disabled.items():
                    dpg.add_theme_color(key, colour)
    dpg.bind_theme(theme)


def padded(x: float, y: float, background: Colour = NOTHING, *, spacing: float | None = None) -> int:
    """A theme for a child window: its padding, its background, and how far apart the lines in it are."""
    with dpg.theme() as theme, dpg.theme_component(dpg.mvAll if spacing is not None else dpg.mvChildWindow):
        if spacing is not None:
            dpg.add_theme_style(dpg.mvStyleVar_ItemSpacing, 8, spacing)
        dpg.add_theme_style(dpg.mvStyleVar_WindowPadding, x, y)
        dpg.add_theme_color(dpg.mvThemeCol_ChildBg, background)
    return int(theme)


def line(colour: Colour, width: float) -> int:
    """A theme for a line in a plot."""
    with dpg.theme() as theme:
        for kind in (dpg.mvLineSeries, dpg.mvInfLineSeries, dpg.mvScatterSeries):
            with dpg.theme_component(kind):
                dpg.add_theme_color(dpg.mvPlotCol_Line, colour, category=dpg.mvThemeCat_Plots)
                dpg.add_theme_style(dpg.mvPlotStyleVar_LineWeight, width, category=dpg.mvThemeCat_Plots)
                dpg.add_theme_style(dpg.mvPlotStyleVar_MarkerSize, 2.5, category=dpg.mvThemeCat_Plots)
                dpg.add_theme_color(dpg.mvPlotCol_MarkerFill, colour, category=dpg.mvThemeCat_Plots)
                dpg.add_theme_color(dpg.mvPlotCol_MarkerOutline, colour, category=dpg.mvThemeCat_Plots)
    return int(theme)


def bar(colour: Colour) -> int:
    """A theme for a progress bar."""
    with dpg.theme() as theme, dpg.theme_component(dpg.mvProgressBar):
        dpg.add_theme_color(dpg.mvThemeCol_PlotHistogram, colour)
        dpg.add_theme_style(dpg.mvStyleVar_FrameRounding, 2, 2)
    return int(theme)


def heading(fonts: Fonts, text: str) -> int:
    """A panel's title."""
    item = dpg.add_text(text)
    fonts.use(item, fonts.bold)
    return int(item)
