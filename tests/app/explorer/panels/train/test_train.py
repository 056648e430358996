"""The Train panel and the training behind it, with a trainer that only writes a run's files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import imgui

from app.explorer.session import Session
from app.explorer.storage.settings import Settings, SettingsStore
from app.explorer.train.controller import WITHOUT_A_WORD
from app.explorer.train.plan import DataSource, TrainingPlan
from app.explorer.train.process import TrainingProcess, TrainingResult
from app.explorer.train.run_watch import RunWatch
from app.explorer.window import Explorer
from tests.app.explorer import fake_trainer
from tests.app.explorer.fakes import errors, make_session, wait_until
from tests.app.explorer.nullwindow import Context, drive, settle, until
from training.runs.lock import RunLock

PANEL = "//Train"
LONG = "/a/folder/with/a/name/that/no/panel/is/wide/enough/for/clip"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="the trainer holds no lock there")


def command(checkpoint: Path) -> tuple[str, ...]:
    return sys.executable, str(Path(fake_trainer.__file__)), str(checkpoint)


def planned(data: str, out: Path | str = "", **fields: Any) -> TrainingPlan:
    return TrainingPlan(sources=(DataSource(place=data),), out=str(out), **fields)


def wait_for_end(trainer: TrainingProcess) -> TrainingResult:
    ended: list[TrainingResult] = []

    def over() -> bool:
        found = trainer.poll()
        if found is not None:
            ended.append(found)
        return bool(ended)

    wait_until(over, timeout=300.0)
    assert trainer.poll() is None
    return ended[0]


def wait_for_evaluation(run: Path) -> RunWatch:
    watch = RunWatch(run)
    wait_until(lambda: (watch.look(), watch.progress.evaluated is not None)[1], timeout=60.0)
    return watch


def test_stopped_and_resumed(tmp_path: Path, tiny_checkpoint: Path) -> None:
    trainer, run = TrainingProcess(command(tiny_checkpoint)), tmp_path / "faces"
    plan = planned("-pictures = mine", f" {run} ", clip=" ")
    assert trainer.start(plan) is None
    assert trainer.running
    progress = wait_for_evaluation(run).progress
    assert progress.images == 3000
    assert progress.images_per_s == 45.0
    assert progress.newest == {"loss_d": 1.2, "loss_g": 0.5, "match_real": 0.25}
    assert progress.curves["loss_g"] == [(1000, 0.5), (3000, 0.5)]
    assert progress.evaluated == (3000, {"fid": 12.5})
    trainer.stop()
    trainer.stop()  # a second signal would end it at once
    assert wait_for_end(trainer) == TrainingResult(run=run, problem=None, stopped=True)
    assert (run / "state.pt").exists()
    assert json.loads((run / "words.json").read_text()) == ["--recipe=tiny", f"--out={run}", "--data=-pictures = mine"]

    assert plan.resumes
    assert trainer.start(plan) is None
    wait_until(lambda: (run / "words.json").read_text() == json.dumps([f"--resume={run}"]), timeout=60.0)
    trainer.close()
    assert not trainer.running
    rows = [json.loads(line)["kind"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert rows.count("stop") == 2


def test_what_goes_wrong_is_one_message(tmp_path: Path, tiny_checkpoint: Path) -> None:
    trainer = TrainingProcess(command(tiny_checkpoint))
    trainer.start(planned("bad", tmp_path / "run"))
    assert wait_for_end(trainer).problem == "bad: expected captioned pictures, got nothing"

    crashes = TrainingProcess((sys.executable, "-c", "print('one'); raise RuntimeError('two')"))
    crashes.start(planned("x", tmp_path / "run"))
    assert wait_for_end(crashes).problem == "RuntimeError: two"

    missing = TrainingProcess((str(tmp_path / "no-program"),))
    problem = missing.start(planned("x", tmp_path / "run"))
    assert problem is not None
    assert problem.startswith("it did not start: ")
    assert not missing.running


def test_the_real_command_says_what_is_missing(tmp_path: Path) -> None:
    trainer = TrainingProcess()
    trainer.start(planned(str(tmp_path / "none"), tmp_path / "run"))
    assert wait_for_end(trainer).problem == "a new run needs --clip; to go on with one, give --resume RUN"


def test_clicked_from_start_to_stop(tmp_path: Path, tiny_checkpoint: Path) -> None:
    run = tmp_path / "faces"

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.menu_click("//##MainMenuBar/View/Panels/###panel Train")
        ctx.yield_(2)
        training = session.training
        ctx.item_click(f"{PANEL}/###start training")  # greyed: no data are named
        ctx.yield_(2)
        assert not training.process.running

        ctx.item_click(f"{PANEL}/###recipe")
        ctx.item_click("//$FOCUSED/###postcards-32")
        ctx.item_input_value(f"{PANEL}/##data 0", "bad")
        ctx.item_input_value(f"{PANEL}/##out", str(run))
        ctx.item_click(f"{PANEL}/###start training")
        until(ctx, lambda: training.problem is not None, 3000)
        assert errors(session) == ["Training faces ended: bad: expected captioned pictures, got nothing"]

        ctx.item_click(f"{PANEL}/###choose data 0")
        ctx.yield_(3)
        ctx.item_input_value("//$FOCUSED/##path", "good")
        ctx.yield_(2)
        assert training.plan == planned("good", run, recipe="postcards-32")
        ctx.item_click(f"{PANEL}/###start training")
        until(ctx, lambda: training.watch is not None and training.watch.progress.evaluated is not None, 3000)
        assert training.problem is None
        ctx.yield_(3)
        ctx.item_click(f"{PANEL}/###Newest")
        ctx.item_click(f"{PANEL}/###Evaluated")
        ctx.item_click(f"{PANEL}/###explore run")
        until(ctx, lambda: session.history.scene.checkpoint == str(run / "latest.safetensors"), 3000)
        assert session.run_follower.text == "following faces: 1 k images"
        ctx.item_click(f"{PANEL}/###stop")
        until(ctx, lambda: not training.process.running, 3000)
        assert session.messages.lines[-1].text == "faces: stopped and saved after 3 k images."
        ctx.yield_(3)
        assert training.resumes
        assert len(errors(session)) == 1

    drive(tmp_path, script, train=command(tiny_checkpoint))


def test_closing_the_window_stops_and_saves(tmp_path: Path, tiny_checkpoint: Path) -> None:
    session = make_session(tmp_path, train=command(tiny_checkpoint))
    session.training.plan = planned("good")
    session.training.start()
    run = session.training.plan.run
    assert run == tmp_path / "out" / "runs" / "tiny"  # nobody said where
    wait_for_evaluation(run)
    session.close()
    assert session.rendering.thread.close(timeout=10.0)
    assert (run / "state.pt").exists()
    assert os.listdir(run.parent) == ["tiny"]


def outlive(checkpoint: Path, run: Path) -> int:
    """Start a training in a process that is killed, as a window may be; the process number of the training."""
    script = (
        "import os, signal, sys\n"
        "from app.explorer.train.process import TrainingProcess\n"
        "from app.explorer.train.plan import DataSource, TrainingPlan\n"
        "trainer = TrainingProcess(sys.argv[2:])\n"
        "assert trainer.start(TrainingPlan(sources=(DataSource(place='good'),), out=sys.argv[1])) is None\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(run), *command(checkpoint)], check=False)
    assert done.returncode == -signal.SIGKILL
    watch = wait_for_evaluation(run)
    assert watch.holder is not None
    return int(watch.holder.who.split()[1])


def named_before(folder: Path, run: Path) -> None:
    """An earlier window's settings, which name a run."""
    store = SettingsStore(folder / "config")
    assert store.prepare() is None
    store.save_settings(Settings(training=planned("good", run)))


@POSIX
def test_a_run_that_outlived_its_window_is_followed_and_stopped(tmp_path: Path, tiny_checkpoint: Path) -> None:
    run = tmp_path / "faces"
    outlive(tiny_checkpoint, run)
    named_before(tmp_path, run)

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        training = session.training
        assert session.messages.lines[-1].text == "faces is being trained; View > Panels > Train follows it."
        settle(ctx, session)
        ctx.menu_click("//##MainMenuBar/View/Panels/###panel Train")
        ctx.yield_(3)
        assert not ctx.item_exists(f"{PANEL}/###start training")
        training.start()
        assert not training.process.running
        assert training.busy
        assert training.watch is not None
        assert training.watch.progress.curves["loss_g"] == [(1000, 0.5), (3000, 0.5)]
        ctx.item_click(f"{PANEL}/###explore run")
        until(ctx, lambda: session.history.scene.checkpoint == str(run / "latest.safetensors"), 3000)

        # Another run can be named beside it, and is offered; this one shows again when its name is back.
        ctx.item_input_value(f"{PANEL}/##out", str(tmp_path / "another"))
        ctx.yield_(3)
        assert not training.busy
        assert ctx.item_exists(f"{PANEL}/###start training")
        ctx.item_input_value(f"{PANEL}/##out", str(run))
        ctx.yield_(3)
        assert training.busy

        ctx.item_click(f"{PANEL}/###stop")
        assert training.stopping
        until(ctx, lambda: not training.busy, 3000)
        assert not training.stopping
        ctx.yield_(3)
        assert session.messages.lines[-1].text == "faces: stopped and saved after 3 k images."
        assert training.ending == "stopped"
        assert ctx.item_exists(f"{PANEL}/###start training")
        assert (run / "state.pt").exists()
        assert not errors(session)

    drive(tmp_path, script, train=command(tiny_checkpoint))


@POSIX
def test_a_run_that_vanishes_is_told(tmp_path: Path, tiny_checkpoint: Path) -> None:
    run = tmp_path / "faces"
    process = outlive(tiny_checkpoint, run)
    named_before(tmp_path, run)
    session = make_session(tmp_path, train=command(tiny_checkpoint))
    training = session.training
    assert training.busy
    assert training.ending is None
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: (session.tick(), not training.busy)[1], timeout=60.0)
    assert errors(session) == [f"Training faces ended: {WITHOUT_A_WORD}"]
    assert training.ending == training.problem == WITHOUT_A_WORD
    session.close()

    # A window that was not there when it happened says so too.
    session = make_session(tmp_path, train=command(tiny_checkpoint))
    assert (session.training.ending, session.training.problem, errors(session)) == (WITHOUT_A_WORD, None, [])
    assert session.training.resumes
    # A trainer that goes before it has said anything has not ended as the one before it did.
    with open(run / "log.jsonl", "a") as log:
        log.write(json.dumps({"kind": "stop", "time": 5.0, "images": 3000, "finished": True}) + "\n")
    with RunLock(run):
        wait_until(lambda: (session.tick(), session.training.busy)[1])
    wait_until(lambda: (session.tick(), not session.training.busy)[1])
    assert errors(session) == [f"Training faces ended: {WITHOUT_A_WORD}"]
    session.close()


@POSIX
@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"finished": True}, "faces: trained, 3 k images."),
        ({"finished": False, "problem": "no memory"}, "Training faces ended: no memory"),
    ],
)
def test_how_anothers_run_ended(tmp_path: Path, tiny_checkpoint: Path, row: dict[str, Any], text: str) -> None:
    run = tmp_path / "faces"
    named_before(tmp_path, run)
    session = make_session(tmp_path, train=command(tiny_checkpoint))
    assert not session.messages.lines
    with RunLock(run):
        wait_until(lambda: (session.tick(), session.training.busy)[1])
        with open(run / "log.jsonl", "w") as log:
            log.write(json.dumps({"kind": "stop", "time": time.time() + 1.0, "images": 3000, **row}) + "\n")
    wait_until(lambda: (session.tick(), not session.training.busy)[1])
    assert session.messages.lines[-1].text == text
    assert session.training.ending == row.get("problem", "finished")
    session.close()


def test_several_sources_and_settings_by_hand(tmp_path: Path, tiny_checkpoint: Path) -> None:
    run = tmp_path / "faces"

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.menu_click("//##MainMenuBar/View/Panels/###panel Train")
        ctx.yield_(2)
        training = session.training
        training.plan = TrainingPlan(clip=LONG)
        ctx.yield_(2)
        ctx.item_input_value(f"{PANEL}/##data 0", "cats")
        assert not ctx.item_exists(f"{PANEL}/##weight 0")
        ctx.item_click(f"{PANEL}/###add data")
        ctx.yield_(2)
        ctx.item_click(f"{PANEL}/###add data")
        ctx.yield_(2)
        ctx.item_click(f"{PANEL}/###choose data 1")
        ctx.yield_(3)
        ctx.item_input_value("//$FOCUSED/##path", "dogs.zip")
        ctx.yield_(2)
        ctx.item_input_value(f"{PANEL}/##weight 1", 2.5)
        ctx.item_input_value(f"{PANEL}/##weight 2", 1000.0)
        ctx.item_input_value(f"{PANEL}/##data 2", "birds")
        ctx.yield_(2)
        assert [(s.place, s.weight) for s in training.plan.sources] == [
            ("cats", 1.0),
            ("dogs.zip", 2.5),
            ("birds", 100.0),
        ]
        ctx.item_click(f"{PANEL}/###remove data 2")
        ctx.yield_(2)
        # A field that shows the end of its path has the whole of it when it is clicked.
        ctx.item_click(f"{PANEL}/##clip")
        ctx.key_press(imgui.Key.end)
        ctx.key_chars_append("2")
        ctx.key_press(imgui.Key.enter)
        ctx.yield_(2)
        assert training.plan.clip == LONG + "2"
        ctx.item_input_value(f"{PANEL}/##settings", "kimg=2 'mirror=maybe'")
        ctx.item_input_value(f"{PANEL}/##out", str(run))
        ctx.item_click(f"{PANEL}/###start training")
        ctx.yield_(2)
        assert training.problem == "mirror: expected a value like true, got 'maybe'"
        assert not training.busy
        ctx.item_input_value(f"{PANEL}/##settings", "kimg=2 mirror=true")
        ctx.item_click(f"{PANEL}/###start training")
        until(ctx, lambda: training.watch is not None and training.watch.progress.evaluated is not None, 3000)
        words = ["--recipe=tiny", f"--out={run}", "--data=cats", "--data=dogs.zip=2.5", f"--clip={LONG}2"]
        assert json.loads((run / "words.json").read_text()) == [*words, "--set=kimg=2", "--mirror"]
        assert not errors(session)

    drive(tmp_path, script, train=command(tiny_checkpoint))
    # The next window has it all again, and goes on with the run.
    session = make_session(tmp_path, train=command(tiny_checkpoint))
    sources = (DataSource(place="cats"), DataSource(place="dogs.zip", weight=2.5))
    assert session.training.plan == TrainingPlan(
        sources=sources, clip=f"{LONG}2", out=str(run), settings="kimg=2 mirror=true"
    )
    assert session.training.resumes
    assert session.training.ending == "stopped"
    session.close()


def test_the_trainer_says_what_is_wrong_with_a_setting(tmp_path: Path) -> None:
    trainer = TrainingProcess()
    trainer.start(planned(str(tmp_path), tmp_path / "run", settings="bach=3"))
    problem = wait_for_end(trainer).problem
    assert problem is not None
    assert "bach" in problem
    trainer.start(planned(str(tmp_path), tmp_path / "run", settings="crop=round"))
    problem = wait_for_end(trainer).problem
    assert problem is not None
    assert problem.startswith("argument --crop: invalid choice: 'round'")
