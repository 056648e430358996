"""The current settings; every change is saved at once. No GUI here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.explorer.messages import Messages
from app.explorer.storage.settings import FRAME_LIMITS, Precision, Settings, SettingsStore, Theme
from app.live.settings import LiveSettings

TEXT_SCALES = (0.6, 2.5)


class Preferences:
    """Belongs to the UI thread. What cannot be read or written is told."""

    def __init__(self, store: SettingsStore, messages: Messages) -> None:
        self._store = store
        self._messages = messages
        self.settings, problem = store.load_settings()
        if problem:
            messages.error(problem)

    def keep(self, settings: Settings) -> None:
        """These are the settings from now on."""
        self.settings = settings
        problem = self._store.save_settings(settings)
        if problem:
            self._messages.error(problem)

    def keep_live(self, live: LiveSettings) -> None:
        self.keep(replace(self.settings, live=live))

    def set_output_dir(self, folder: Path) -> None:
        self.keep(replace(self.settings, output_dir=str(folder)))

    def set_text_scale(self, scale: float) -> None:
        low, high = TEXT_SCALES
        self.keep(replace(self.settings, text_scale=min(max(scale, low), high)))

    def set_theme(self, theme: Theme) -> None:
        self.keep(replace(self.settings, theme=theme))

    def set_frame_limit(self, limit: int) -> None:
        low, high = FRAME_LIMITS
        self.keep(replace(self.settings, frame_limit=min(max(limit, low), high)))

    def set_vsync(self, vsync: bool) -> None:
        self.keep(replace(self.settings, vsync=vsync))

    def set_engine(self, device: str, precision: Precision) -> None:
        """What models run on from now on."""
        self.keep(replace(self.settings, device=device, precision=precision))

    def set_walk(self, *, step: float | None = None, snap: bool | None = None) -> None:
        """How a drag across the picture walks: seeds for each pixel, and whether at whole seeds only."""
        settings = self.settings
        self.keep(
            replace(
                settings,
                walk_step=settings.walk_step if step is None else step,
                snap_seeds=settings.snap_seeds if snap is None else snap,
            )
        )
