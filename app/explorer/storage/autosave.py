"""Saves the scene whenever it rests, so that the next session goes on with it. No GUI here."""

from __future__ import annotations

from collections.abc import Callable

from app.document.history import History
from app.explorer.messages import Messages
from app.explorer.storage.crash_recovery import CrashRecovery
from app.explorer.storage.settings import SettingsStore

PAUSE_S = 0.5


class Autosave:
    """Belongs to the UI thread; `tick` it once a frame, `close` it."""

    def __init__(
        self,
        history: History,
        store: SettingsStore,
        messages: Messages,
        clock: Callable[[], float],
        *,
        saved: bool,
    ) -> None:
        """`saved` says whether the history's first scene is on the disk already."""
        self._history = history
        self._store = store
        self.recovery = CrashRecovery(store.folder, clock)
        self._messages = messages
        self._saved_revision = history.revision if saved else -1
        self._seen_revision = history.revision
        self._changed_at = clock()
        self._problem: str | None = None

    def tick(self, now: float) -> None:
        if self._history.revision != self._seen_revision:
            self._seen_revision = self._history.revision
            self._changed_at = now
        if self._seen_revision != self._saved_revision and now - self._changed_at >= PAUSE_S:
            self._save()

    def close(self) -> None:
        """Save what is not saved yet."""
        if self._saved_revision != self._history.revision:
            self._save()

    def _save(self) -> None:
        self._saved_revision = self._history.revision
        problem = self._store.save_scene(self._history.scene)
        if problem and problem != self._problem:
            self._messages.error(problem)  # once, not at every change
        self._problem = problem
        self.recovery.keep(self._history.scene)
