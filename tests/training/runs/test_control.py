"""A run that is told what to do while it goes on, what it notes about itself, and its log for TensorBoard."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.run_control import CONTROL_FILE, send
from core.runlog import RunLog, read_log
from tests.training.engine.test_trainer import CONFIG, clip, data  # noqa: F401 - fixtures
from tests.training.small import train
from training.engine.trainer import Trainer
from training.errors import RunError
from training.runs.run import resume
from training.runs.tensorboard import TensorBoard


def at_steps(monkeypatch: pytest.MonkeyPatch, told: dict[int, Callable[[], object]]) -> list[float]:
    """Call something before some of the steps; returns the generator's learning rate of each step."""
    rates: list[float] = []
    plain = Trainer.step

    def step(self: Trainer[Any, Any]) -> Any:
        if len(rates) in told:
            told.pop(len(rates))()
        rates.append(self.method.optimisers["g"].param_groups[0]["lr"])
        return plain(self)

    monkeypatch.setattr(Trainer, "step", step)
    return rates


def test_a_run_does_what_it_is_told_between_steps(
    data: Path,  # noqa: F811
    clip: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    send(out, "stop")  # from before the run: not meant for it

    def ask() -> None:
        send(out, "set", name="learning_rate_g", value=0.125)
        send(out, "snapshot")
        send(out, "evaluate")
        with open(out / CONTROL_FILE, "a") as file:
            file.write("nonsense\n")

    rates = at_steps(monkeypatch, {3: ask, 6: lambda: send(out, "stop")})
    train(replace(CONFIG, sample_kimg=1000.0), data, clip, out)
    # The change is in force from the step after; the run ended after the step in which it was asked to.
    assert rates == [CONFIG.learning_rate_g] * 4 + [0.125] * 3
    rows = [
        {k: v for k, v in row.items() if k not in ("kind", "time")} for row in read_log(out / "log.jsonl", "control")
    ]
    assert rows == [
        {"images": 16, "command": "set", "name": "learning_rate_g", "value": 0.125, "before": CONFIG.learning_rate_g},
        {"images": 16, "command": "snapshot"},
        {
            "images": 16,
            "command": "evaluate",
            "error": "this run is not evaluated: both evaluate_kimg and metrics_kimg are 0",
        },
        {"images": 16, "line": "nonsense", "error": "expected a JSON object"},
        {"images": 28, "command": "stop"},
    ]
    (stop,) = read_log(out / "log.jsonl", "stop")
    assert (stop["images"], stop["finished"]) == (28, False)
    # What is resumed goes on with what was in force, and does not stop again.
    rates.clear()
    resume(out)
    assert rates == [0.125] * 3
    assert read_log(out / "log.jsonl", "stop")[-1]["finished"] is True
    assert read_log(out / "log.jsonl", "start")[-1]["config"]["learning_rate_g"] == 0.125


def test_a_snapshot_is_there_at_once(
    data: Path,  # noqa: F811
    clip: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    seen: list[float] = []

    def look() -> None:
        seen.append((out / "latest.safetensors").stat().st_mtime_ns)

    at_steps(monkeypatch, {2: look, 3: lambda: send(out, "snapshot"), 5: look})
    train(replace(CONFIG, kimg=0.028, sample_kimg=1000.0), data, clip, out)
    assert seen[0] < seen[1]


def test_a_run_notes_with_what_it_was_made(
    data: Path,  # noqa: F811
    clip: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    train(replace(CONFIG, kimg=0.008), data, clip, tmp_path / "run")
    noted = json.loads((tmp_path / "run" / "environment.json").read_text(encoding="utf-8"))
    assert noted["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert noted["device"]["kind"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert noted["device"]["name"]
    assert noted["data"]["pictures"] == 12
    assert noted["data"]["fingerprint"]
    assert read_log(tmp_path / "run" / "log.jsonl", "start")[0]["environment"] == noted
    (row, *_) = read_log(tmp_path / "run" / "log.jsonl", "train")
    assert -1 <= row["sign_fake"] <= 1
    assert -1 <= row["sign_real"] <= 1


class Writer:
    """Takes what a SummaryWriter takes."""

    def __init__(self, folder: Path, purge_step: int | None) -> None:
        self.folder, self.purge_step = folder, purge_step
        self.written: list[tuple[object, ...]] = []

    def add_scalar(self, name: str, value: float, step: int, when: float) -> None:
        self.written.append((name, value, step))

    def add_text(self, name: str, text: str, step: int, when: float) -> None:
        self.written.append((name, text, step))

    def add_image(self, name: str, pixels: np.ndarray, step: int, dataformats: str) -> None:
        self.written.append((name, pixels.shape, step, dataformats))

    def flush(self) -> None:
        self.written.append(("flush",))

    def close(self) -> None:
        self.written.append(("close",))


def test_rows_and_grids_go_to_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    board = TensorBoard(tmp_path, images=320)
    with RunLog(tmp_path / "log.jsonl", also=board) as log:
        log.write("start", images=0, config={"kimg": 3})
        log.write("train", images=8, loss_g=0.5, loss_d="nan")
        log.write("evaluate", images=8, fid=3, accuracy={"sky": 0.25}, best=True)
        log.write("control", images=8, command="set", name="learning_rate_g", value=0.5)
    Image.new("RGB", (4, 2)).save(tmp_path / "grid.png")
    board.picture(tmp_path / "grid.png", 8)
    board.close()
    writer = board._writer
    assert (writer.folder, writer.purge_step) == (tmp_path / "tensorboard", 320)
    assert [written for written in writer.written if written != ("flush",)] == [
        ("train/loss_g", 0.5, 8),
        ("evaluate/fid", 3.0, 8),
        ("evaluate/accuracy/sky", 0.25, 8),
        ("control", "command set, name learning_rate_g, value 0.5", 8),
        ("samples", (2, 4, 3), 8, "HWC"),
        ("close",),
    ]
    assert len(read_log(tmp_path / "log.jsonl")) == 4


def test_without_the_package_tensorboard_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    for call in (
        lambda: train(CONFIG, tmp_path, tmp_path, tmp_path / "run", tensorboard=True),
        lambda: resume(tmp_path / "run", tensorboard=True),
    ):
        with pytest.raises(RunError, match=r"needs the tensorboard package .*tensorboard\]"):
            call()
    assert not (tmp_path / "run").exists()


def test_the_real_writer_takes_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the tensorboard extra is not installed")
    board = TensorBoard(tmp_path)
    with RunLog(tmp_path / "log.jsonl", also=board) as log:
        log.write("train", images=8, loss_g=0.5)
        log.write("stop", images=8, finished=True)
    board.close()
    assert list((tmp_path / "tensorboard").iterdir())
