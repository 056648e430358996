"""Undo and redo: a list of named steps over the immutable `Scene`.

A gesture is a run of edits with one name, such as a slider's drag: it is one step, however many edits it has. `apply`
opens a gesture or goes on with the open one; `end_gesture` closes it; `step` is an edit that is a step by itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from app.document.scene import Scene

LIMIT = 500

Edit = Callable[[Scene], Scene]


@dataclass(frozen=True)
class _Step:
    name: str
    before: Scene
    after: Scene


class History:
    """The current scene with its undo and redo stacks. Single-threaded: it belongs to the UI thread."""

    def __init__(self, scene: Scene, limit: int = LIMIT, clock: Callable[[], float] = time.monotonic) -> None:
        if limit < 1:
            raise ValueError(f"limit: expected at least 1 step, got {limit}")
        self._scene = scene
        self._done: deque[_Step] = deque(maxlen=limit)
        self._undone: list[_Step] = []
        self._gesture: str | None = None
        self._clock = clock
        self._last_edit = -float("inf")
        self._revision = 0

    @property
    def scene(self) -> Scene:
        return self._scene

    @property
    def revision(self) -> int:
        """Grows with every change of the scene; equal revisions mean an equal scene."""
        return self._revision

    @property
    def undo_name(self) -> str | None:
        """The step that `undo` takes back; None when there is none."""
        return self._done[-1].name if self._done else None

    @property
    def redo_name(self) -> str | None:
        return self._undone[-1].name if self._undone else None

    def __len__(self) -> int:
        return len(self._done)

    def apply(self, name: str, edit: Edit, *, pause: float | None = None) -> None:
        """Edit the scene within the gesture `name`.

        With `pause`, a gesture that rested for more than so many seconds counts as ended: typing after a thought is a
        new step. An edit that raises leaves everything as it was.
        """
        after = edit(self._scene)
        now = self._clock()
        rested = pause is not None and now - self._last_edit > pause
        if self._gesture is not None and (self._gesture != name or rested):
            self.end_gesture()
        if after == self._scene:
            return
        self._last_edit = now
        if self._gesture is None:
            self._done.append(_Step(name, self._scene, after))
            self._gesture = name
        else:
            self._done.append(_Step(name, self._done.pop().before, after))
        self._undone.clear()
        self._set(after)

    def open_gesture(self, pause: float) -> str | None:
        """The gesture that an edit now would go on with; None when none is open or it rested longer than `pause`."""
        return self._gesture if self._clock() - self._last_edit <= pause else None

    def step(self, name: str, edit: Edit) -> None:
        """Edit the scene as one step by itself."""
        self.end_gesture()
        self.apply(name, edit)
        self.end_gesture()

    def end_gesture(self) -> None:
        """Close the open gesture, if any; one that came back to where it began leaves no step."""
        if self._gesture is None:
            return
        self._gesture = None
        if self._done[-1].before == self._done[-1].after:
            self._done.pop()

    def undo(self) -> bool:
        """Take the last step back; False when there is none."""
        self.end_gesture()
        if not self._done:
            return False
        step = self._done.pop()
        self._undone.append(step)
        self._set(step.before)
        return True

    def redo(self) -> bool:
        self.end_gesture()
        if not self._undone:
            return False
        step = self._undone.pop()
        self._done.append(step)
        self._set(step.after)
        return True

    def _set(self, scene: Scene) -> None:
        self._scene = scene
        self._revision += 1
