"""The list of all panels: constructor, initial place, and whether shown at first.

A new panel is a file in `panels/` and an entry here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.explorer.gui.dialogs import show_in_folder
from app.explorer.gui.texture import Texture
from app.explorer.gui.viewport import Viewport
from app.explorer.panels import Panel
from app.explorer.panels.export.contact_sheet import ContactSheetPanel
from app.explorer.panels.export.exports import ExportsPanel
from app.explorer.panels.export.output import OutputPanel
from app.explorer.panels.latents.drag_points import DragPointsPanel
from app.explorer.panels.latents.latent import LatentPanel
from app.explorer.panels.latents.layers import LayersPanel
from app.explorer.panels.latents.mixing import MixingPanel
from app.explorer.panels.latents.placement import PlacementPanel
from app.explorer.panels.latents.seeds import SeedsPanel
from app.explorer.panels.library import LibraryPanel
from app.explorer.panels.live.live import LivePanel
from app.explorer.panels.log import LogPanel
from app.explorer.panels.performance import PerformancePanel
from app.explorer.panels.playback.motion import MotionPanel
from app.explorer.panels.playback.snapshots import SnapshotsPanel
from app.explorer.panels.playback.timeline import TimelinePanel
from app.explorer.panels.prompts.prompt import PromptPanel
from app.explorer.panels.prompts.sweep import SweepPanel
from app.explorer.panels.train.train import TrainPanel
from app.explorer.panels.vectors.directions import DirectionsPanel
from app.explorer.panels.vectors.saved_latents import SavedLatentsPanel
from app.explorer.session import Session

DockArea = Literal["prompt", "controls", "play", "save", "picture", "side", "below"]
"""A part of the default layout: four rows in the column on the left, the picture beside it, and at the picture's right
and below it what is there only while a panel is shown. Panels in one place are tabs, in the table's order."""


@dataclass(frozen=True, kw_only=True)
class PanelContext:
    """What panels are constructed from."""

    session: Session
    viewport: Viewport
    new_texture: Callable[[], Texture]


@dataclass(frozen=True, kw_only=True)
class PanelEntry:
    """One panel."""

    title: str
    """In its tab and in the menu; also its key in saved layouts, so a new title is a new panel to them."""
    make: Callable[[PanelContext], Panel]
    place: DockArea
    shown: bool = True
    """Whether it is shown at the first start."""
    closable: bool = True
    scrolls: bool = True


PANELS: tuple[PanelEntry, ...] = (
    PanelEntry(title=PromptPanel.title, make=lambda parts: PromptPanel(parts.session), place="prompt"),
    PanelEntry(title=LatentPanel.title, make=lambda parts: LatentPanel(parts.session), place="controls"),
    PanelEntry(title=MotionPanel.title, make=lambda parts: MotionPanel(parts.session), place="play"),
    PanelEntry(title=OutputPanel.title, make=lambda parts: OutputPanel(parts.session), place="save"),
    PanelEntry(title=LogPanel.title, make=lambda parts: LogPanel(parts.session), place="below", shown=False),
    PanelEntry(
        title=PerformancePanel.title,
        make=lambda parts: PerformancePanel(parts.session),
        place="side",
        shown=False,
    ),
    PanelEntry(
        title=ExportsPanel.title,
        make=lambda parts: ExportsPanel(parts.session, show_in_folder, time.monotonic),
        place="side",
        shown=False,
    ),
    PanelEntry(
        title=SeedsPanel.title,
        make=lambda parts: SeedsPanel(parts.session, parts.new_texture),
        place="side",
        shown=False,
    ),
    PanelEntry(title=MixingPanel.title, make=lambda parts: MixingPanel(parts.session), place="side", shown=False),
    PanelEntry(title=PlacementPanel.title, make=lambda parts: PlacementPanel(parts.session), place="side", shown=False),
    PanelEntry(
        title=LayersPanel.title,
        make=lambda parts: LayersPanel(parts.session, parts.new_texture),
        place="side",
        shown=False,
    ),
    PanelEntry(
        title=LibraryPanel.title,
        make=lambda parts: LibraryPanel(parts.session, parts.new_texture),
        place="picture",
        shown=False,
    ),
    PanelEntry(
        title=SnapshotsPanel.title,
        make=lambda parts: SnapshotsPanel(parts.session, parts.new_texture),
        place="play",
    ),
    PanelEntry(title=LivePanel.title, make=lambda parts: LivePanel(parts.session), place="side", shown=False),
    PanelEntry(title=TimelinePanel.title, make=lambda parts: TimelinePanel(parts.session), place="below", shown=False),
    PanelEntry(
        title=ContactSheetPanel.title,
        make=lambda parts: ContactSheetPanel(parts.session, parts.new_texture),
        place="picture",
        shown=False,
    ),
    PanelEntry(
        title=DirectionsPanel.title,
        make=lambda parts: DirectionsPanel(parts.session),
        place="side",
        shown=False,
    ),
    PanelEntry(
        title=SavedLatentsPanel.title,
        make=lambda parts: SavedLatentsPanel(parts.session),
        place="side",
        shown=False,
    ),
    PanelEntry(
        title=DragPointsPanel.title,
        make=lambda parts: DragPointsPanel(parts.session),
        place="side",
        shown=False,
    ),
    PanelEntry(
        title=SweepPanel.title,
        make=lambda parts: SweepPanel(parts.session, parts.new_texture),
        place="side",
        shown=False,
    ),
    PanelEntry(title=TrainPanel.title, make=lambda parts: TrainPanel(parts.session), place="side", shown=False),
    PanelEntry(title=Viewport.title, make=lambda parts: parts.viewport, place="picture", closable=False, scrolls=False),
)
