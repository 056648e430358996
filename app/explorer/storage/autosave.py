"""Keeps the scene whenever it rests, so that the next session goes on with it. No GUI here."""

from __future__ import annotations

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
        keeper: CrashRecovery,
        messages: Messages,
        now: float,
        *,
        kept: bool,
    ) -> None:
        """`kept` says whether the history's first scene is the one that is kept already."""
        self._history = history
        self._store = store
        self._crash_recovery = keeper
        self._messages = messages
        self._saved_revision = history.revision if kept else -1
        self._seen_revision = history.revision
        self._changed_at = now
        self._problem: str | None = None

    def tick(self, now: float) -> None:
        if self._history.revision != self._seen_revision:
            self._seen_revision = self._history.revision
            self._changed_at = now
        if self._seen_revision != self._saved_revision and now - self._changed_at >= PAUSE_S:
            self._save()

    def close(self) -> None:
        """Keep what is not kept yet."""
        if self._saved_revision != self._history.revision:
            self._save()

    def _save(self) -> None:
        self._saved_revision = self._history.revision
        problem = self._store.save_scene(self._history.scene)
        if problem and problem != self._problem:
            self._messages.tell_error(problem)  # once, not at every change
        self._problem = problem
        self._crash_recovery.keep(self._history.scene)
