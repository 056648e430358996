"""The window's own state, beside the document: what is open, and what somebody asked the window for. No GUI here.

Actions put wishes in; the window takes them once a frame, and tells what is shown in return.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOWED = -1
"""The place of an output window that is no full screen."""
OTHER_MONITOR = -2
"""The monitor that the main window is not on, if there is another one."""


@dataclass(frozen=True)
class ShowPanel:
    """Show a panel and bring it to the front, or hide it."""

    title: str
    shown: bool


@dataclass(frozen=True)
class SaveLayout:
    """Keep the arrangement of the panels under a name."""

    name: str


@dataclass(frozen=True)
class UseLayout:
    """Arrange the panels as a saved layout says; "" is the default arrangement."""

    name: str


@dataclass(frozen=True)
class DeleteLayout:
    """Forget a saved layout."""

    name: str


@dataclass(frozen=True)
class ShowOutput:
    """Show nothing but the picture, on the whole of a monitor or in a window of its own; None closes that."""

    place: int | None
    """A monitor's number from 0, WINDOWED or OTHER_MONITOR."""


Wish = ShowPanel | SaveLayout | UseLayout | DeleteLayout | ShowOutput


class Desk:
    """Belongs to the UI thread."""

    def __init__(self) -> None:
        self.palette = False
        """Whether the command palette is open, or is to open."""
        self.shortcuts = False
        """Whether the list of shortcuts is open."""
        self.naming_layout = False
        """Whether the question for a layout's name is open."""
        self.panels: dict[str, bool] = {}
        """The panels that can be closed, and whether each is shown; told by the window."""
        self.layouts: tuple[str, ...] = ()
        """The saved layouts; told by the window."""
        self.monitors: tuple[str, ...] = ()
        """The monitors' names; told by the window."""
        self.output: int | None = None
        """Where the output is shown; told by the window."""
        self._wishes: list[Wish] = []

    def wish(self, wish: Wish) -> None:
        """Ask the window for something; it is done before the next frame."""
        self._wishes.append(wish)

    def take_wishes(self) -> list[Wish]:
        """What was asked for since the last call, oldest first."""
        wishes, self._wishes = self._wishes, []
        return wishes
