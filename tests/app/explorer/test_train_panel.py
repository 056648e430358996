"""The Train panel and the training behind it, with a trainer that only writes a run's files."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("imgui_bundle")

from app.explorer.session import Session
from app.explorer.trainer import CURVE, RECIPES, Ended, Plan, Progress, Trainer
from app.explorer.window import Explorer
from tests.app.explorer import fake_trainer
from tests.app.explorer.fakes import errors, make_session, wait_until
from tests.app.explorer.nullwindow import Context, drive, settle, until

PANEL = "//Train"


def command(checkpoint: Path) -> tuple[str, ...]:
    return sys.executable, str(Path(fake_trainer.__file__)), str(checkpoint)


def wait_for_end(trainer: Trainer) -> Ended:
    ended: list[Ended] = []

    def over() -> bool:
        found = trainer.poll()
        if found is not None:
            ended.append(found)
        return bool(ended)

    wait_until(over, timeout=300.0)
    assert trainer.poll() is None
    return ended[0]


def trained(trainer: Trainer) -> bool:
    trainer.poll()
    return trainer.progress.evaluated is not None


def test_the_recipes_are_the_trainers() -> None:
    from training.recipes import GAN_RECIPES

    assert set(RECIPES) == set(GAN_RECIPES)


def test_stopped_and_resumed(tmp_path: Path, tiny_checkpoint: Path) -> None:
    trainer, run = Trainer(command(tiny_checkpoint)), tmp_path / "faces"
    plan = Plan(recipe="tiny", data="-pictures = mine", clip=" ", out=f" {run} ")
    assert trainer.start(plan) is None
    assert trainer.running
    wait_until(lambda: trained(trainer), timeout=60.0)
    assert trainer.progress.images == 3000
    assert trainer.progress.images_per_s == 45.0
    assert trainer.progress.newest == {"loss_d": 1.2, "loss_g": 0.5, "match_real": 0.25}
    assert trainer.progress.curves["loss_g"] == [(1000, 0.5), (3000, 0.5)]
    assert trainer.progress.evaluated == (3000, {"fid": 12.5})
    trainer.stop()
    trainer.stop()  # a second signal would end it at once
    assert wait_for_end(trainer) == Ended(run=run, problem=None, images=3000, stopped=True)
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
    trainer = Trainer(command(tiny_checkpoint))
    trainer.start(Plan(data="bad", out=str(tmp_path / "run")))
    assert wait_for_end(trainer).problem == "bad: expected captioned pictures, got nothing"

    crashes = Trainer((sys.executable, "-c", "print('one'); raise RuntimeError('two')"))
    crashes.start(Plan(data="x", out=str(tmp_path / "run")))
    assert wait_for_end(crashes).problem == "RuntimeError: two"

    missing = Trainer((str(tmp_path / "no-program"),))
    problem = missing.start(Plan(data="x", out=str(tmp_path / "run")))
    assert problem is not None
    assert problem.startswith("it did not start: ")
    assert not missing.running


def test_the_real_command_says_what_is_missing(tmp_path: Path) -> None:
    trainer = Trainer()
    trainer.start(Plan(recipe="tiny", data=str(tmp_path / "none"), out=str(tmp_path / "run")))
    assert wait_for_end(trainer).problem == "a new run needs --clip; to go on with one, give --resume RUN"


def test_curves_stay_small_and_hostile_rows_do_no_harm() -> None:
    progress = Progress()
    for images in range(1, 5000):
        progress.take({"kind": "train", "images": images, "loss_d": float(images), "loss_g": "inf"})
    curve = progress.curves["loss_d"]
    assert len(curve) <= CURVE
    assert (curve[0], curve[-1]) == ((1, 1.0), (4999, 4999.0))
    progress.take({"kind": "train", "images": 2000, "loss_d": 7.0})  # resumed from before
    assert curve[-1] == (2000, 7.0)
    assert all(images < 2000 for images, _ in curve[:-1])
    before = replace(progress)
    rows: list[dict[str, Any]] = [{}, {"kind": "train"}, {"kind": ["x"], "images": 3}, {"kind": "train", "images": "9"}]
    for row in rows:
        progress.take(row)
    assert progress == before
    progress.take({"kind": "train", "images": 3000, "loss_d": [1], "loss_g": True, "images_per_s": None})
    assert progress.newest == {}


def test_clicked_from_start_to_stop(tmp_path: Path, tiny_checkpoint: Path) -> None:
    run = tmp_path / "faces"

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.menu_click("//##MainMenuBar/View/Panels/###panel Train")
        ctx.yield_(2)
        desk = session.training
        ctx.item_click(f"{PANEL}/###start training")  # greyed: no data are named
        ctx.yield_(2)
        assert not desk.trainer.running

        ctx.item_click(f"{PANEL}/###recipe")
        ctx.item_click("//$FOCUSED/###postcards-32")
        ctx.item_input_value(f"{PANEL}/##data", "bad")
        ctx.item_input_value(f"{PANEL}/##out", str(run))
        ctx.item_click(f"{PANEL}/###start training")
        until(ctx, lambda: desk.problem is not None, 3000)
        assert errors(session) == ["Training faces ended: bad: expected captioned pictures, got nothing"]

        ctx.item_click(f"{PANEL}/###choose data")
        ctx.yield_(3)
        ctx.item_input_value("//$FOCUSED/##path", "good")
        ctx.yield_(2)
        assert desk.plan == Plan(recipe="postcards-32", data="good", out=str(run))
        ctx.item_click(f"{PANEL}/###start training")
        until(ctx, lambda: desk.trainer.progress.evaluated is not None, 3000)
        assert desk.problem is None
        ctx.yield_(3)
        ctx.item_click(f"{PANEL}/###Newest")
        ctx.item_click(f"{PANEL}/###Evaluated")
        ctx.item_click(f"{PANEL}/###explore run")
        until(ctx, lambda: session.history.scene.checkpoint == str(run / "latest.safetensors"), 3000)
        assert session.follower.text == "following faces: 1 k images"
        ctx.item_click(f"{PANEL}/###stop")
        until(ctx, lambda: not desk.trainer.running, 3000)
        assert session.messages[-1].text == "faces: stopped and saved after 3 k images."
        ctx.yield_(3)
        assert desk.resumes
        assert len(errors(session)) == 1

    drive(tmp_path, script, train=command(tiny_checkpoint))


def test_closing_the_window_stops_and_saves(tmp_path: Path, tiny_checkpoint: Path) -> None:
    session = make_session(tmp_path, train=command(tiny_checkpoint))
    session.training.plan = Plan(data="good")
    session.training.start()
    run = session.training.plan.run
    assert run == tmp_path / "out" / "runs" / "tiny"  # nobody said where
    wait_until(lambda: trained(session.training.trainer), timeout=60.0)
    session.close()
    assert session.render.close(timeout=10.0)
    assert (run / "state.pt").exists()
    assert os.listdir(run.parent) == ["tiny"]
