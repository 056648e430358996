"""The style of all plots of the window."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imgui_bundle import ImVec2, ImVec4, implot

from app.explorer.gui import theme

FLAGS = implot.Flags_.canvas_only | implot.Flags_.no_inputs | implot.Flags_.no_frame


@contextmanager
def plot(label: str, size: ImVec2) -> Iterator[bool]:
    """A plot in the window's colours and margins; gives whether it is to be filled.

    It ends whatever is raised inside, or ImPlot would refuse every later one.
    """
    implot.push_style_color(implot.Col_.plot_bg, theme.colour.frame)
    implot.push_style_color(implot.Col_.plot_border, ImVec4(0, 0, 0, 0))
    implot.push_style_color(implot.Col_.axis_text, theme.colour.faint)
    implot.push_style_color(implot.Col_.axis_grid, theme.colour.line)
    implot.push_style_var(implot.StyleVar_.plot_padding, ImVec2(2, 2))
    implot.push_style_var(implot.StyleVar_.label_padding, ImVec2(2, 1))
    begun = implot.begin_plot(label, size, FLAGS)
    try:
        yield begun
    finally:
        if begun:
            implot.end_plot()
        implot.pop_style_var(2)
        implot.pop_style_color(4)
