"""From no data to pictures by commands alone, and one clear line for every mistake on the way."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app import cli
from core.checkpoints import load, read_header
from core.run_control import Command, Reader
from core.runlog import read_log
from training.runs.lock import RunLock


def run(*arguments) -> int:
    return cli.main([str(argument) for argument in arguments])


def fails(capsys, *arguments) -> str:
    capsys.readouterr()
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    last = err.splitlines()[-1]
    assert last.startswith("glissando: ")
    assert "Traceback" not in err
    return last


@pytest.fixture(scope="module")
def postcards(tmp_path_factory):
    """Ninety-six small postcards, written by the command."""
    out = tmp_path_factory.mktemp("data") / "postcards"
    assert run("data", "postcards", out, "--count", 96, "--resolution", 32, "--workers", 1) == 0
    return out


def test_data_come_with_captions_and_can_be_asked_for_again(capsys, postcards):
    pictures = sorted(postcards.glob("*/*.png"))
    assert len(pictures) == 96
    assert all(picture.with_suffix(".txt").read_text(encoding="utf-8").strip() for picture in pictures)
    with Image.open(pictures[0]) as picture:
        assert picture.size == (32, 32)
    before = pictures[5].read_bytes()
    assert run("data", "postcards", postcards, "--count", 96, "--resolution", 32, "--workers", 1) == 0
    assert pictures[5].read_bytes() == before


def test_from_data_to_pictures(tmp_path, capsys, monkeypatch, postcards):
    # The cache of decoded pictures belongs to this test, not to the person who runs it.
    monkeypatch.setenv("GLISSANDO_CACHE", str(tmp_path / "cache"))
    clip, gan = tmp_path / "clip", tmp_path / "gan"
    assert run("train", "clip", "--recipe", "tiny", "--data", postcards, "--out", clip, "--steps", 1) == 0
    assert "already holds a CLIP run" in fails(
        capsys, "train", "clip", "--recipe", "tiny", "--data", postcards, "--out", clip
    )
    start = ("train", "gan", "--recipe", "tiny", "--data", postcards, "--clip", clip, "--out", gan)
    assert run(*start, "--kimg", 0.032) == 0
    assert read_header(gan / "latest.safetensors").images_seen == 32
    assert "holds a run already" in fails(capsys, *start)
    metrics = [f"--set=metrics_{name}" for name in ("kimg=0.016", "features=classifier", "pictures=16")]
    assert run("train", "gan", "--resume", gan, "--kimg", 0.064, "--set", "learning_rate_g=0.0005", *metrics) == 0
    header = read_header(gan / "latest.safetensors")
    assert (header.images_seen, header.notes["config"]["learning_rate_g"]) == (64, 0.0005)
    # What was measured on the way, and the checkpoint that was the best.
    rows = read_log(gan / "log.jsonl", "evaluate")
    assert {row["images"] for row in rows} == {64}
    assert rows[-1]["fid"] == read_header(gan / "best.safetensors").notes["figures"]["fid"]
    assert any("singular" in warning for warning in rows[-1]["warnings"])
    assert "batch: cannot change while a run goes on" in fails(
        capsys, "train", "gan", "--resume", gan, "--set", "batch=8"
    )

    # Settings as a file, and the folder of a run that has no name: the run is saved as such a file.
    monkeypatch.chdir(tmp_path)
    wishes = tmp_path / "wishes.toml"
    wishes.write_text(f'[run]\nrecipe = "tiny"\ndata = "{postcards}"\n[trainer]\nkimg = 0.016\nseed = 3\n', "utf-8")
    assert run("train", "gan", "--config", wishes, "--clip", clip, "--set", "trainer.seed=4") == 0
    resolved = tmp_path / "runs" / "tiny" / "config.toml"
    saved = tomllib.loads(resolved.read_text(encoding="utf-8"))
    assert (saved["trainer"]["seed"], saved["trainer"]["kimg"], saved["model"]["resolution"]) == (4, 0.016, 32)
    assert run("train", "gan", "--config", resolved, "--out", tmp_path / "again") == 0
    assert (tmp_path / "again" / "config.toml").read_text("utf-8") == resolved.read_text("utf-8")
    a, b = ((folder / "latest.safetensors") for folder in (resolved.parent, tmp_path / "again"))
    assert all(torch.equal(tensor, load(b).tensors[name]) for name, tensor in load(a).tensors.items())

    out = tmp_path / "pictures"
    made = run("generate", gan / "latest.safetensors", "--prompt", "a house at sunset", "--seeds", "0-1", "--out", out)
    assert made == 0
    with Image.open(out / "seed0000.png") as picture:
        assert np.asarray(picture).shape == (32, 32, 3)


def test_data_are_checked_built_and_trained_on(tmp_path, capsys, monkeypatch, postcards):
    monkeypatch.setenv("GLISSANDO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert run("data", "check", postcards, "--json", "figures.json", "--workers", 1) == 0
    assert "96, of which 96 can be used" in capsys.readouterr().out
    assert json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["usable"] == 96
    with Image.open("data-check.png") as sheet:
        assert min(sheet.size) > 1000
    build = ("data", "build", postcards, "--out", "shards", "--resolution", 32, "--pictures", 40, "--workers", 1)
    assert run(*build) == 0
    assert "96 pictures in 3 shards" in capsys.readouterr().out
    assert "other sources or settings" in fails(capsys, *build, "--seed", 1)

    clip, gan = tmp_path / "clip", tmp_path / "gan"
    assert run("train", "clip", "--recipe", "tiny", "--data", postcards, "--out", clip, "--steps", 1) == 0
    assert "got shards" in fails(capsys, "train", "clip", "--recipe", "tiny", "--data", "shards", "--out", "c")
    start = ("train", "gan", "--recipe", "tiny", "--clip", clip, "--kimg", 0.032, "--mirror", "--crop", "random")
    both = ("--data", "shards=2", "--data", postcards, "--workers", 1, "--text-cache")
    assert run(*start, *both, "--out", gan) == 0
    saved = tomllib.loads((gan / "config.toml").read_text(encoding="utf-8"))["data"]
    assert (saved["mirror"], saved["crop"], saved["text_cache"]) == (True, "random", True)
    assert [(Path(source["place"]).name, source.get("weight")) for source in saved["sources"]] == [
        ("shards", 2.0),
        ("postcards", None),
    ]
    # Another run on the same data, but for what is said again.
    again = ("train", "gan", "--config", gan / "config.toml", "--out", tmp_path / "again", "--crop", "centre")
    assert run(*again) == 0
    other = tomllib.loads((tmp_path / "again" / "config.toml").read_text(encoding="utf-8"))["data"]
    assert other == {name: value for name, value in saved.items() if name != "crop"}
    assert "--template: is for" in fails(capsys, *again, "--template", "a {}")
    monkeypatch.chdir(tmp_path.parent)
    assert run("train", "gan", "--resume", gan, "--kimg", 0.064) == 0
    assert "leave out --data, --mirror" in fails(capsys, "train", "gan", "--resume", gan, "--data", "x", "--mirror")


def test_a_dry_run_needs_neither_data_nor_weights(capsys):
    capsys.readouterr()
    assert run("train", "gan", "--recipe", "lite-64", "--dry-run", "--set", "trainer.batch=256") == 0
    out = capsys.readouterr().out
    assert "74.56 M" in out
    assert "of 256 pictures" in out
    assert "reckoned, not measured" in out


def test_training_tells_each_mistake_in_one_line(tmp_path, capsys, postcards):
    clip = ("train", "clip", "--data", postcards, "--out", tmp_path / "c")
    assert "one of postcards, tiny, got 'huge'" in fails(capsys, *clip, "--recipe", "huge")
    assert "no run to resume" in fails(capsys, *clip, "--resume")
    assert "no such folder" in fails(capsys, "train", "clip", "--data", tmp_path / "absent", "--out", tmp_path / "c")
    assert "a new run needs --clip;" in fails(capsys, "train", "gan", "--data", postcards)
    assert "leave out --dry-run" in fails(capsys, "train", "gan", "--resume", tmp_path, "--dry-run")
    assert "cannot read it" in fails(capsys, "train", "gan", "--config", tmp_path / "absent.toml")
    assert "leave out --data" in fails(capsys, "train", "gan", "--resume", tmp_path, "--data", postcards)
    assert "expected the folder of a GAN run" in fails(capsys, "train", "gan", "--resume", tmp_path)
    gan = ("train", "gan", "--data", postcards, "--clip", tmp_path / "c", "--out", tmp_path / "g")
    names = "postcards, postcards-32, stickers, stickers-32, tiny, lite-64, full-64, grow, text-encoder, fine-tune"
    assert f"one of {names}, got 'huge'" in fails(capsys, *gan, "--recipe", "huge")
    assert "kimg" in fails(capsys, *gan, "--kimg", "nan")
    assert "unknown 'speed'" in fails(capsys, *gan, "--set", "speed=3")
    assert "expected NAME=VALUE" in fails(capsys, *gan, "--set", "batch")
    assert "no such file" in fails(capsys, *gan)


def test_data_tells_each_mistake_in_one_line(tmp_path, capsys, unwritable):
    size = ("--count", 3, "--resolution", 32, "--workers", 1)
    for option, value in (("--count", 0), ("--resolution", 5), ("--workers", 0), ("--seed", -1)):
        assert "expected" in fails(capsys, "data", "postcards", tmp_path / "d", *size, option, value)
    fails(capsys, "data", "postcards", unwritable, *size)
    sheet = ("--sheet", tmp_path / "sheet.png")
    assert "no such folder or file" in fails(capsys, "data", "check", tmp_path / "absent", *sheet)
    assert "cannot write it" in fails(capsys, "data", "check", tmp_path, "--sheet", unwritable / "x.png")
    assert "no pictures found" in fails(capsys, "data", "check", tmp_path, *sheet)
    assert "where the class belongs" in fails(capsys, "data", "check", tmp_path, "--template", "x", *sheet)
    assert "resolution: expected" in fails(
        capsys, "data", "build", tmp_path, "--out", tmp_path / "o", "--resolution", -1
    )
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "a.txt").write_text("one")
    assert "no picture that a run could use" in fails(capsys, "data", "check", tmp_path, "--workers", 1, *sheet)


def test_evaluate_tells_each_mistake_in_one_line(tmp_path, capsys, tiny_checkpoint, unwritable):
    evaluate = ("evaluate", "postcards")
    assert "cannot write it" in fails(capsys, *evaluate, tiny_checkpoint, "--json", unwritable / "x.json")
    assert "captions: expected" in fails(capsys, *evaluate, tiny_checkpoint, "--captions", 0)
    (tmp_path / "no-classifier").write_bytes(b"")
    fails(capsys, *evaluate, tiny_checkpoint, "--classifier", tmp_path / "no-classifier")


def test_bench_train_prints_a_table_and_writes_the_same_figures(tmp_path, capsys, unwritable):
    shape = ("base_channels=512", "max_channels=16", "convs_per_block=1", "norm_groups=4", "batch=4", "taps_every=1")
    settings = [part for setting in (*shape, "resolution=16") for part in ("--set", setting)]
    figures = tmp_path / "train.json"
    assert run("bench", "train", *settings, "--rounds", 1, "--json", figures) == 0
    report = json.loads(figures.read_text(encoding="utf-8"))
    out = capsys.readouterr().out
    assert f"{report['ratio']:.2f}" in out
    assert f"features {100 * report['shares']['features']:.0f} %" in out
    assert "cannot write it" in fails(capsys, "bench", "train", "--json", unwritable / "x.json")
    assert "recipe: expected" in fails(capsys, "bench", "train", "--recipe", "huge")


def test_bench_prints_a_table_and_writes_the_same_figures(tmp_path, capsys, tiny_checkpoint, unwritable):
    figures = tmp_path / "new" / "bench.json"
    assert run("bench", "engine", tiny_checkpoint, "--rounds", 1, "--no-lite", "--json", figures) == 0
    report = json.loads(figures.read_text(encoding="utf-8"))
    (model,) = report["models"]
    assert model["ratio"] == pytest.approx(model["plain_ms"] / model["fast_ms"])
    out = capsys.readouterr().out
    assert "tiny (32 px)" in out
    assert f"{model['plain_ms']:.2f}" in out
    assert "cannot write it" in fails(capsys, "bench", "engine", tiny_checkpoint, "--json", unwritable / "x.json")
    assert "rounds: expected" in fails(capsys, "bench", "engine", tiny_checkpoint, "--rounds", 0)
    assert "no such file" in fails(capsys, "bench", "engine", tmp_path / "absent")


def test_a_run_in_progress_is_told(tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    assert "expected the folder of a run" in fails(capsys, "train", "tell", folder, "stop")
    (folder / "config.toml").touch()
    with RunLock(folder):
        heard = Reader(folder)
        assert run("train", "tell", folder, "stop") == 0
        assert run("train", "tell", folder, "learning_rate_g=0.0005") == 0
        assert capsys.readouterr().err == ""
        assert heard.poll() == [
            Command(command="stop"),
            Command(command="set", name="learning_rate_g", value=0.0005),
        ]
        assert "one of snapshot, evaluate, stop, set, got 'halt'" in fails(capsys, "train", "tell", folder, "halt")
        assert "expected a number, got 'fast'" in fails(capsys, "train", "tell", folder, "learning_rate_g=fast")
        assert "learning_rate_g" in fails(capsys, "train", "tell", folder, "kimg=3")
        assert heard.poll() == []
    assert run("train", "tell", folder, "stop") == 0
    assert "no run seems to be in progress" in capsys.readouterr().err
