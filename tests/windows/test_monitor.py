"""The monitor's real window under real X events: what a person at the mouse sees and does."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.run_control import Command, Reader
from core.runlog import RunLog
from tests.app.monitor.runs import start_row, text, train_row, write_grid, write_run
from tests.windows.conftest import unavailable
from tests.windows.driver import PATIENCE_S
from tests.windows.monitor_driver import Person, run_script
from tests.windows.xevents import Hand

pytestmark = pytest.mark.timeout(3 * PATIENCE_S)

HERE = "tests.windows.test_monitor"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def prepared(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment["GLISSANDO_CACHE_DIR"] = str(tmp_path / "cache")
    try:
        Hand(environment["DISPLAY"]).close()
    except OSError as error:
        unavailable(f"no XTest ({error}; Debian: apt-get install libxtst6)")


def coloured(pixels: Any, colour: tuple[int, ...]) -> Any:
    """Where a picture has about this colour."""
    return (np.abs(pixels.astype(int) - np.array(colour[:3])).max(axis=2) < 12).sum()


def script_look(person: Person) -> None:
    import dearpygui.dearpygui as dpg

    from app.monitor import theme

    state, plots = person.monitor.state, person.monitor.plots
    person.wait("curves", lambda: plots.drawn)
    titles = [cell.plot.title for cell in plots.cells]
    assert titles[:5] == ["Loss", "Logits", "Signs of the logits", "Gradient norm", "Images a second"]

    # Both runs are there, each in its colour, and the box hides one.
    first, second = (theme.of_run(run.number) for run in state.runs)

    def middle() -> Any:
        return person.screen()[80:, 290:940]

    person.wait("both runs are drawn", lambda: min(coloured(middle(), first), coloured(middle(), second)) > 200)
    person.click(person.monitor.runs.card(state.runs[1])["shown"])
    person.wait("the second run is hidden", lambda: coloured(middle(), second) == 0)
    assert coloured(middle(), first) > 200
    person.click(person.monitor.runs.card(state.runs[1])["shown"])
    person.wait("and shown again", lambda: coloured(middle(), second) > 200)

    # A click on its card selects a run: its samples, log and commands.
    assert state.selected is state.runs[0]
    person.click(person.monitor.runs.card(state.runs[1])["words"])
    assert state.selected is state.runs[1]
    person.click(person.monitor.runs.card(state.runs[0])["words"])
    assert state.selected is state.runs[0]

    # The wheel zooms all plots about the pointer, a drag pans them, a double click shows all.
    loss, logits = plots.cells[:2]
    person.move(person.place(loss.item))
    x = dpg.get_plot_mouse_pos()[0] * 1000
    person.scroll(4)
    person.wait("zoomed", lambda: state.range is not None or person.scroll(1))
    person.frames(5)
    low, high = state.range
    assert 0 < low < x < high < 200_000
    person.frames(5)

    def axis(cell: Any) -> list[float]:
        return [limit * 1000 for limit in dpg.get_axis_limits(cell.x_axis)]

    assert axis(logits) == pytest.approx([low, high], rel=1e-3)
    left, top = person.place(loss.item)

    def pan() -> None:
        person.move((left, top))
        person.press()
        person.move((left + 30, top))
        person.move((left + 60, top))
        person.release()

    person.wait("panned", lambda: state.range[0] < low - 1000 or pan())
    assert state.range[1] - state.range[0] == pytest.approx(high - low, rel=0.02)
    person.frames(5)
    assert axis(logits) == pytest.approx(state.range, rel=1e-3)
    person.wait("all again", lambda: person.double_click() or state.range is None)
    person.frames(5)
    assert axis(logits)[1] == pytest.approx(1.01 * 200_000, rel=1e-3)

    person.move(person.place(loss.item))
    person.wait("zoomed once more", lambda: person.scroll(1) or state.range is not None)
    person.click(person.monitor.whole)
    person.wait("all again", lambda: state.range is None)

    # The slider smooths, and the heading says what is under the pointer.
    jagged = np.abs(np.diff(loss.traces[(0, "loss_g")].values)).mean()
    place = person.place(person.monitor.smoothing, right=0.36)
    person.move(place)
    person.press()
    person.move((place[0] + 50, place[1]))
    person.release()
    assert state.smoothing > 0.6
    person.wait("smoother", lambda: np.abs(np.diff(loss.traces[(0, "loss_g")].values)).mean() < jagged / 3)
    person.move(person.place(loss.item, right=0.3))
    early = dpg.get_value(loss.readings[0])
    person.move(person.place(loss.item, right=0.9))
    person.wait("another value", lambda: dpg.get_value(loss.readings[0]) != early)
    assert dpg.get_value(loss.readings[0]).startswith("G ")

    # The other tabs.
    person.move((380, 54))
    person.press()
    person.release()
    person.wait("metrics", lambda: person.monitor.metrics.drawn)
    assert [cell.plot.title for cell in person.monitor.metrics.cells][:2] == ["Accuracy, terrain", "Accuracy, time"]
    person.move((437, 54))
    person.press()
    person.release()
    person.frames(5)


def test_curves_zoom_smoothing_and_several_runs(environment: dict[str, str], tmp_path: Path) -> None:
    one, two = write_run(tmp_path / "one"), write_run(tmp_path / "two", until=120_000, seed=1, slow=2.0)
    assert "the window has closed" in run_script(f"{HERE}:script_look", [one, two], environment)


def script_samples(person: Person) -> None:
    samples, run = person.monitor.samples, person.monitor.state.runs[0]
    person.wait("the latest grid", lambda: samples.shown is not None and samples.shown.name == "000200.png")

    def blue() -> Any:
        """How blue the grid's corner is on the screen."""
        left, top = person.place(samples.image, right=0.05, down=0.05)
        return int(person.screen()[int(top), int(left), 2])

    person.wait("on the screen", lambda: abs(blue() - 55) < 8)
    person.click(samples.slider, right=0.04)
    person.wait("the first grid", lambda: samples.shown.name == "000000.png")
    person.wait("on the screen", lambda: abs(blue() - 255) < 8)
    # One that comes while an old one is looked at does not push it away; at the end of the slider it does.
    write_grid(run.folder / "samples" / "000208.png", 208_000)
    person.wait("it is known", lambda: len(run.grids) == 10)
    person.frames(5)
    assert samples.shown.name == "000000.png"
    person.click(samples.slider, right=0.98)
    person.wait("the new one", lambda: samples.shown.name == "000208.png")
    write_grid(run.folder / "samples" / "000216.png", 216_000)
    person.wait("the newer one", lambda: samples.shown.name == "000216.png")
    # Playing goes through all of them and ends at the latest.
    person.click(samples.play)
    person.wait("it plays", lambda: samples.shown.name == "000075.png")
    person.wait("to the end", lambda: not samples.playing and samples.shown.name == "000216.png")
    # A click makes it large, another one beside it small again.
    import dearpygui.dearpygui as dpg

    person.click(samples.image)
    person.wait("large", lambda: dpg.is_item_visible(samples.large))
    person.move((20, 780))
    person.press()
    person.release()
    person.wait("small", lambda: not dpg.is_item_visible(samples.large))
    # A file that is no picture is a line of text.
    (run.folder / "samples" / "000300.png").write_bytes(b"not a picture")
    person.wait("told", lambda: "000300.png" in dpg.get_value(samples.message))


def test_the_sample_grids_over_time(environment: dict[str, str], tmp_path: Path) -> None:
    run_script(f"{HERE}:script_samples", [write_run(tmp_path / "run")], environment)


def script_commands(person: Person) -> None:
    import dearpygui.dearpygui as dpg

    run, controls = person.monitor.state.runs[0], person.monitor.controls
    log, reader = RunLog(run.folder / "log.jsonl"), Reader(run.folder)

    def row(kind: str, **fields: Any) -> None:
        log.write(kind, images=200_320, **fields)

    def said() -> str:
        return "\n".join(dpg.get_value(item) for item in controls.lines if dpg.is_item_shown(item))

    # Nobody reads the commands of a run that has stopped.
    person.wait("stopped", lambda: run.status.state == "stopped")
    person.wait("told", lambda: "has stopped" in said())
    person.click(controls.snapshot)
    assert reader.poll() == []
    row("start", config={"kimg": 400.0, "learning_rate_g": 0.002, "learning_rate_d": 0.005})
    row("train", loss_g=1.0, loss_d=1.0)
    person.wait("running", lambda: run.status.state == "running")

    person.click(controls.snapshot)
    person.click(controls.evaluate)
    person.wait("both are there", lambda: "evaluate: asked" in said())
    assert reader.poll() == [Command(command="snapshot"), Command(command="evaluate")]
    row("control", command="snapshot")
    row("control", command="evaluate", error="this run has nothing to measure with")
    person.wait("answered", lambda: "snapshot: done at 200.3 kimg" in said())
    assert "evaluate: this run has nothing to measure with" in said()

    # A learning rate: nonsense and numbers out of range are told, a number is sent.
    field, button = controls.rates["learning_rate_g"]
    person.click(field)
    person.type("7")
    person.click(button)
    person.wait("refused", lambda: "expected a number above 0, up to 1" in said())
    assert reader.poll() == []
    person.click(field)
    person.type("\b0.0005\n")
    person.wait("sent", lambda: "learning_rate_g = 0.0005: asked" in said())
    assert reader.poll() == [Command(command="set", name="learning_rate_g", value=0.0005)]
    row("control", command="set", name="learning_rate_g", value=0.0005)
    person.wait("in force", lambda: "G 0.0005" in dpg.get_value(controls.now))
    # The change stands in the plots, and in the log.
    loss = person.monitor.plots.cells[0]
    person.wait("marked", lambda: 0 in loss.marks)

    # Stopping is asked for twice.
    person.click(controls.stop)
    person.wait("asked", lambda: controls.asking)
    person.click(controls.no)
    person.wait("left alone", lambda: not controls.asking)
    assert reader.poll() == []
    person.click(controls.stop)
    person.wait("asked", lambda: controls.asking)
    person.frames(5)
    person.click(controls.yes)
    person.wait("gone", lambda: not controls.asking)
    assert reader.poll() == [Command(command="stop")]
    row("control", command="stop")
    row("stop", finished=False)
    person.wait("stopped", lambda: run.status.state == "stopped")
    log.close()


def test_commands_by_mouse_and_keyboard(environment: dict[str, str], tmp_path: Path) -> None:
    run_script(f"{HERE}:script_commands", [write_run(tmp_path / "run", stopped=True)], environment)


def script_what_goes_wrong(person: Person) -> None:
    import dearpygui.dearpygui as dpg

    state = person.monitor.state
    empty, torn = state.runs

    def facts(run: Any) -> str:
        return str(dpg.get_value(person.monitor.runs.card(run)["more"]))

    person.wait("damage is counted", lambda: "2 damaged lines" in facts(torn))
    assert empty.status.state == "waiting"
    person.frames(20)
    rng = random.Random(0)
    (empty.folder / "log.jsonl").write_bytes(text([start_row(), *(train_row(320 * i, rng) for i in range(1, 50))]))
    person.wait("it has begun", lambda: len(empty.view.curves) == 49)
    (torn.folder / "log.jsonl").unlink()
    person.wait("told", lambda: "the log has gone" in facts(torn))
    assert len(torn.view.curves) == 40  # what was seen of it stays
    person.frames(20)


def test_empty_damaged_and_vanishing_logs(environment: dict[str, str], tmp_path: Path) -> None:
    rng = random.Random(0)
    for name in ("empty", "torn"):
        (tmp_path / name).mkdir()
    (tmp_path / "empty" / "config.toml").write_text("")
    (tmp_path / "empty" / "log.jsonl").write_bytes(b"")
    rows = text([start_row(), *(train_row(320 * i, rng) for i in range(1, 41))])
    (tmp_path / "torn" / "log.jsonl").write_bytes(rows + b"\x00\x00\n{broken}\n" + rows[-50:-10])
    run_script(f"{HERE}:script_what_goes_wrong", [tmp_path / "empty", tmp_path / "torn"], environment)


def test_the_command_opens_a_window_and_a_closed_one_ends_it(environment: dict[str, str], tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "monitor", str(run)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        from app.monitor import theme

        def screen() -> Any:
            from PIL import ImageGrab

            return np.asarray(ImageGrab.grab(xdisplay=environment["DISPLAY"]).convert("RGB"))

        end = time.monotonic() + PATIENCE_S
        while coloured(screen(), theme.of_run(0)) < 200:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130
        assert "Traceback" not in output
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_mistakes_are_told_in_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for path, message in (("absent", "no such run"), ("pictures", "found neither log.jsonl nor config.toml")):
        done = subprocess.run(
            [sys.executable, "-m", "app.cli", "monitor", str(tmp_path / path)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""
