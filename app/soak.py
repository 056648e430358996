"""The soak: a seeded monkey at the explorer's real widgets, watched for errors, memory, and a history that replays.

It clicks, drags, types and scrolls where ImGui says that widgets are, presses the shortcuts, undoes and redoes. What
the program says to a person about bad input is no error; what it logs with a traceback, or any thread that dies, is.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imgui_bundle import ImVec2, imgui

from app.document.controls import controls_of
from app.document.history import Edit, History
from app.document.scene import Scene
from app.explorer.actions import ACTIONS
from app.explorer.gui.menus import key_chord
from app.explorer.scripted import Context, NoTexture, add_script, without_display
from app.explorer.session import Session
from app.explorer.storage.settings import SettingsStore
from app.explorer.window import Explorer, real_services

WORDS = (
    "snowy mountains",
    "a castle",
    "(misty:1.4)",
    "at night",
    ", neon",
    "日落",
    "\\(",
    "🏔",
    "0.5",
    "-3",
    "1e9",
    " ",
)
# How many operations the second history lags behind, so that an edit that looked at more than the scene shows.
LAG = 200
# Caches fill and libraries load while it warms up: a quarter of the time, and two minutes at least.
WARM_UP = 0.25
LEAST_WARM_UP_S = 120.0
GROWTH_LIMIT = 0.05
PATIENCE_FRAMES = 3000


@dataclass(frozen=True)
class SoakReport:
    """Result of a soak."""

    minutes: float
    seed: int
    actions: int
    frames: int
    steps: int
    """Edits of the history, with undo and redo."""
    messages: int
    """Messages that the window showed, errors included."""
    start_mib: float
    """Resident memory after the warm-up, and at the end; 0 where it cannot be measured or the soak was too short."""
    end_mib: float
    problems: tuple[str, ...]

    @property
    def growth(self) -> float:
        """Of memory after the warm-up, as a fraction."""
        return self.end_mib / self.start_mib - 1.0 if self.start_mib else 0.0


class JournalledHistory(History):
    """A history that a second one replays, some operations later, from the same beginning."""

    def __init__(self, scene: Scene, clock: Callable[[], float]) -> None:
        self._now = clock()
        super().__init__(scene, clock=lambda: self._now)
        self._real_clock = clock
        self._replay_now = self._now
        self._replay = History(scene, clock=lambda: self._replay_now)
        self._operations: deque[tuple[float, Callable[[History], object]]] = deque()
        self._inside = False
        self.count = 0

    def apply(self, name: str, edit: Edit, *, pause: float | None = None) -> None:
        with self._noted(lambda history: history.apply(name, edit, pause=pause)):
            super().apply(name, edit, pause=pause)

    def step(self, name: str, edit: Edit) -> None:
        with self._noted(lambda history: history.step(name, edit)):
            super().step(name, edit)

    def end_gesture(self) -> None:
        with self._noted(lambda history: history.end_gesture()):
            super().end_gesture()

    def undo(self) -> bool:
        with self._noted(lambda history: history.undo()):
            return super().undo()

    def redo(self) -> bool:
        with self._noted(lambda history: history.redo()):
            return super().redo()

    def replayed(self) -> Scene:
        """The scene of the second history once it has caught up."""
        self._catch_up(0)
        return self._replay.scene

    @contextlib.contextmanager
    def _noted(self, operation: Callable[[History], object]) -> Iterator[None]:
        """Operations that call others are noted once."""
        if self._inside:
            yield
            return
        self._now = self._real_clock()
        self._operations.append((self._now, operation))
        self.count += 1
        self._catch_up(LAG)
        self._inside = True
        try:
            yield
        finally:
            self._inside = False

    def _catch_up(self, lag: int) -> None:
        while len(self._operations) > lag:
            self._replay_now, operation = self._operations.popleft()
            try:
                operation(self._replay)
            except ValueError:
                continue  # the original raised it, too, and changed nothing


class Monkey:
    """Random valid actions through the window's own widgets."""

    def __init__(self, ctx: Context, session: Session, seed: int) -> None:
        self._ctx = ctx
        self._session = session
        self._random = random.Random(seed)
        self.count = 0

    def act(self) -> None:
        """One action, and a frame or two for the window to answer."""
        choice: Callable[[], None] = self._random.choices(
            (self._touch, self._type, self._shortcut, self._back_and_forth, self._escape), (60, 12, 14, 10, 4)
        )[0]
        choice()
        self.count += 1
        self._ctx.yield_(self._random.randint(1, 3))

    def _touch(self) -> None:
        """The mouse on some widget: mostly a click."""
        place = self._some_widget()
        if place is None:
            return
        ctx, rng = self._ctx, self._random
        ctx.mouse_teleport_to_pos(place)
        ctx.yield_()
        kind = rng.choices(("click", "drag", "double", "right", "wheel", "typed"), (50, 22, 6, 6, 10, 6))[0]
        if kind == "click":
            ctx.mouse_click()
        elif kind == "drag":
            ctx.mouse_down()
            for _ in range(rng.randint(1, 6)):
                place = ImVec2(place.x + rng.uniform(-60, 60), place.y + rng.uniform(-30, 30))
                ctx.mouse_teleport_to_pos(place)
                ctx.yield_()
            ctx.mouse_up()
        elif kind == "double":
            ctx.mouse_double_click()
        elif kind == "right":
            ctx.mouse_click(1)
        elif kind == "wheel":
            ctx.mouse_wheel_y(rng.choice((-3.0, -1.0, 1.0, 3.0)))
        else:
            ctx.key_down(imgui.Key.mod_ctrl)
            ctx.mouse_click()
            ctx.key_up(imgui.Key.mod_ctrl)
            ctx.key_chars(rng.choice(WORDS))
            ctx.key_press(imgui.Key.enter)

    def _some_widget(self) -> ImVec2 | None:
        """A point inside a widget that is visible."""
        windows = [window for window in imgui.get_current_context().windows if window.was_active and not window.hidden]
        self._random.shuffle(windows)
        for window in windows:
            items = imgui.test_engine.TestItemList()
            self._ctx.gather_items(items, imgui.test_engine.TestRef(window.id_), -1)
            boxes = [items.get_by_index(index).rect_clipped for index in range(items.get_size())]
            boxes = [box for box in boxes if box.max.x - box.min.x >= 2 and box.max.y - box.min.y >= 2]
            if boxes:
                box = self._random.choice(boxes)
                return ImVec2(
                    self._random.uniform(box.min.x + 0.5, box.max.x - 0.5),
                    self._random.uniform(box.min.y + 0.5, box.max.y - 0.5),
                )
        return None

    def _type(self) -> None:
        self._ctx.key_chars(self._random.choice(WORDS))
        self._ctx.key_press(self._random.choice((imgui.Key.enter, imgui.Key.backspace, imgui.Key.tab, imgui.Key.end)))

    def _shortcut(self) -> None:
        shortcut = self._random.choice(ACTIONS).shortcut
        if shortcut:
            self._ctx.key_press(key_chord(shortcut))

    def _back_and_forth(self) -> None:
        history = self._session.history
        for _ in range(self._random.randint(1, 12)):
            (history.undo if self._random.random() < 0.55 else history.redo)()
            self._ctx.yield_()

    def _escape(self) -> None:
        self._ctx.key_press(imgui.Key.escape)


def soak(
    minutes: float, seed: int, *, headless: bool, checkpoint: Path | None = None, say: Callable[[str], None] = print
) -> SoakReport:
    """Let the monkey at the explorer for so long, with settings and files in a temporary folder of its own.

    Raises `app.errors.UserError` where no window can be opened and `headless` is false.
    """
    checkpoint = checkpoint and checkpoint.resolve()
    # The monkey types file names, too: those without a folder belong into this one.
    with (
        tempfile.TemporaryDirectory(prefix="glissando-soak-") as folder,
        contextlib.chdir(folder),
        _problems() as problems,
    ):
        services = replace(real_services(), make_history=JournalledHistory)
        session = Session(services, SettingsStore(Path(folder) / "config"), checkpoint)
        session.preferences.set_output_dir(Path(folder) / "out")
        history = session.history
        assert isinstance(history, JournalledHistory)
        explorer = Explorer(
            session,
            texture=NoTexture() if headless else None,
            layout=Path(folder) / "layout.ini",
            native_dialogs=False,
            **({"new_texture": NoTexture} if headless else {}),
        )
        explorer.may_quit = False
        if headless:
            without_display(explorer)
        figures: dict[str, Any] = {}

        def script(ctx: Context, session: Session, explorer: Explorer) -> None:
            figures.update(_run(ctx, session, minutes, seed, say))

        check = add_script(explorer, script)
        try:
            explorer.run()
            check()
        finally:
            session.close()
        replayed = history.replayed()
        if replayed != history.scene:
            wrong = [name for name, value in vars(history.scene).items() if value != getattr(replayed, name)]
            problems.append(f"the scene is not what a replay of its history gives: {', '.join(wrong)}")
        if Scene.from_json(history.scene.to_json()) != history.scene:
            problems.append("the scene does not survive its own file")
        problems += _beyond(history.scene)
        report = SoakReport(
            minutes=minutes,
            seed=seed,
            steps=history.count,
            messages=len(session.messages.lines),
            problems=tuple(problems),
            **figures,
        )
    if report.growth > GROWTH_LIMIT:
        grown = f"memory grew by {100 * report.growth:.1f} % after the warm-up, expected at most 5 %"
        report = replace(report, problems=(*report.problems, grown))
    return report


def _beyond(scene: Scene) -> list[str]:
    """Controls that a widget brought beyond what may be typed."""
    found = []
    for control in controls_of(scene):
        (low, high), value = control.limit, control.read(scene)
        rounding = 1e-6 * max(abs(low), abs(high))
        if not low - rounding <= value <= high + rounding:
            found.append(f"{control.id} is {value:g}, expected {low:g} to {high:g}")
    return found


def _run(ctx: Context, session: Session, minutes: float, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    for _ in range(PATIENCE_FRAMES):
        if session.rendering.settled:
            break
        ctx.yield_()
    monkey = Monkey(ctx, session, seed)
    first_frame = imgui.get_frame_count()
    start = time.monotonic()
    end = start + 60.0 * minutes
    memory: list[tuple[float, float]] = []
    last_line = start
    while (now := time.monotonic()) < end:
        monkey.act()
        memory.append((now, _resident_mib()))
        if now - last_line >= 30.0:
            last_line = now
            say(f"{now - start:5.0f} s  {monkey.count} actions  {memory[-1][1]:.0f} MiB")
    ctx.mouse_up()
    ctx.key_press(imgui.Key.escape, 3)
    session.playback.transport.playing = False
    for _ in range(PATIENCE_FRAMES):
        if session.rendering.settled and session.export.recording.recorder is None:
            break
        if session.export.recording.recorder is not None and not session.export.recording.recorder.stopping:
            session.export.recording.toggle()
        ctx.yield_()
    else:
        raise RuntimeError("the picture did not come to be the scene's after the last action")
    warm = start + max(WARM_UP * (end - start), LEAST_WARM_UP_S)
    after = [mib for at, mib in memory if at >= warm] or [0.0]
    share = max(len(after) // 10, 1)
    return {
        "actions": monkey.count,
        "frames": imgui.get_frame_count() - first_frame,
        "start_mib": statistics.median(after[:share]),
        "end_mib": statistics.median(after[-share:]),
    }


def _resident_mib() -> float:
    """Of this process; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
    except OSError:
        return 0.0
    import resource

    return pages * resource.getpagesize() / 2**20


@contextlib.contextmanager
def _problems() -> Iterator[list[str]]:
    """Collects what no person's action should bring about: logged exceptions, and threads that die."""
    problems: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            # A message that begins with the kind of error is one that nobody meant for a person.
            if record.exc_info or re.match(r"Internal error|\w+ failed: \w+(Error|Exception): ", text):
                problems.append(f"{record.name}: {text.splitlines()[0]}")
                if record.exc_info:
                    text = logging.Formatter().formatException(record.exc_info)
                sys.stderr.write(text + "\n")

    handler = Handler(logging.ERROR)
    logging.getLogger().addHandler(handler)
    before = threading.excepthook

    def died(arguments: threading.ExceptHookArgs) -> None:
        problems.append(f"a thread died: {arguments.exc_type.__name__}: {arguments.exc_value}")
        before(arguments)

    threading.excepthook = died
    try:
        yield problems
    finally:
        threading.excepthook = before
        logging.getLogger().removeHandler(handler)
