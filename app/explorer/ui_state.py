"""The window's own state, beside the document: what is open, and requests to the window. No GUI here.

Actions add requests; the window takes them once a frame and writes back what is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

AWAKE_S = 0.3

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


DialogRequest = Literal[
    "open",
    "save_picture",
    "output_folder",
    "library_folder",
    "open_scene",
    "save_scene",
    "open_autosave",
    "find_checkpoint",
    "import_vectors",
    "export_vectors",
    "train_data",
    "train_clip",
    "train_start",
    "train_out",
]
"""A file dialog."""

UiRequest = ShowPanel | SaveLayout | UseLayout | DeleteLayout | ShowOutput


class UiState:
    """Belongs to the UI thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._awake_until = 0.0
        self.dialog_request: DialogRequest | None = None
        """The file dialog to show next; the window takes it."""
        self.quit_requested = False
        self.shown_zoom = 1
        """The whole zoom that the viewport used last."""
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

    def keep_awake(self) -> None:
        """A panel waits for something: the window must not doze for the moment."""
        self._awake_until = self._clock() + AWAKE_S

    @property
    def awake(self) -> bool:
        return self._clock() < self._awake_until

    def take_requests(self) -> list[UiRequest]:
        """What was asked for since the last call, oldest first."""
        requests, self._requests = self._requests, []
        return requests
