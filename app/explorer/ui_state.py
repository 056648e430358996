"""The window's own state, beside the document: what is open, and what somebody asked the window for. No GUI here.

Actions add requests; the window takes them once a frame and writes back what is shown.
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


UiRequest = ShowPanel | SaveLayout | UseLayout | DeleteLayout | ShowOutput


class UiState:
    """Belongs to the UI thread."""

    def __init__(self) -> None:
        self.palette = False
        """Whether the command palette is open, or is to open."""
        self.shortcuts = False
        """Whether the list of shortcuts is open."""
        self.naming_layout = False
        """Whether the question for a layout's name is open."""
        self.panels: dict[str, bool] = {}
        """The panels that can be closed, and whether each is shown; set by the window."""
        self.layouts: tuple[str, ...] = ()
        """The saved layouts; set by the window."""
        self.monitors: tuple[str, ...] = ()
        """The monitors' names; set by the window."""
        self.output: int | None = None
        """Where the output is shown; set by the window."""
        self._requests: list[UiRequest] = []

    def request(self, request: UiRequest) -> None:
        """Ask the window for something; it is done before the next frame."""
        self._requests.append(request)

    def take_requests(self) -> list[UiRequest]:
        """What was asked for since the last call, oldest first."""
        requests, self._requests = self._requests, []
        return requests
