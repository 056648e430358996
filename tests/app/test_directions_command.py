"""`glissando directions`, from the shell's side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.cli import main
from app.commands.directions import parse_layers
from app.errors import UserError
from app.explorer.storage.settings import config_dir
from app.vectors import kept_path
from core.checkpoints import load
from core.request import LAYER_LIMIT
from core.vectors import Vector, load_vectors, save_vectors


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLISSANDO_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config"


def run(*words: object) -> int:
    return main(["directions", *map(str, words)])


def test_they_are_saved_where_the_explorer_looks(
    tiny_checkpoint: Path, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_checkpoint, "--count", 3, "--samples", 50, "--layers", "1-2", "--prompt", "sea") == 0
    sha256 = load(tiny_checkpoint).sha256
    path = kept_path(sha256)
    assert path == config_dir() / "vectors" / f"{sha256[:16]}.npz"
    found = load_vectors(path)
    assert found.checkpoint == sha256
    assert [v.name for v in found.vectors] == ["sefa 1-2 1", "sefa 1-2 2", "sefa 1-2 3"]
    assert all((v.first, v.stop) == (1, 3) for v in found.vectors)
    printed = capsys.readouterr().out
    for vector in found.vectors:
        assert vector.id in printed
    assert "'sea'" in printed
    assert str(path) in printed

    # More of them come to those that are there; the same again changes nothing.
    for _ in range(2):
        assert run(tiny_checkpoint, "--text", "snowy", "--minus", "sea", "--template", "{} hills") == 0
    names = [v.name for v in load_vectors(path).vectors]
    assert names == ["sefa 1-2 1", "sefa 1-2 2", "sefa 1-2 3", "snowy - sea"]


@pytest.mark.parametrize("method", ["sefa", "ganspace", "styles"])
def test_methods_to_a_file_with_a_sheet(
    method: str, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, sheet = tmp_path / "new" / "mine.npz", tmp_path / "sheet.png"
    words = ("--method", method, "--samples", 40, "--count", 2, "--name", "mine", "--out", out, "--sheet", sheet)
    assert run(tiny_checkpoint, *words) == 0
    assert [v.name for v in load_vectors(out).vectors] == ["mine 1", "mine 2"]
    assert not (tmp_path / "config").exists()
    page = np.asarray(Image.open(sheet))
    # Two rows of five pictures of 32 pixels, four times enlarged, which differ.
    assert page.shape[1] == 5 * (128 + 2) + 2
    left, middle = page[24 : 24 + 128, 2:130], page[24 : 24 + 128, 262:390]
    assert np.abs(left.astype(int) - middle).mean() > 1
    capsys.readouterr()
    assert main(["info", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"mine 2@{load_vectors(out).vectors[1].digest}" in printed
    assert "direction, 32, layers 0 to the last" in printed


def test_progress_as_lines(tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: object) -> None:
    import os

    nice: list[int] = []
    monkeypatch.setattr(os, "nice", nice.append, raising=False)  # type: ignore[attr-defined]
    assert run(tiny_checkpoint, "--samples", 300, "--background") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines() if line.startswith("progress\t")]
    assert nice == [10]
    assert ["progress", "samples", "256", "300"] in lines
    assert any(line[1] == "layers" for line in lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layers", "5-2"], '--layers: expected a range such as "0-6"'),
        (["--layers", "a"], "--layers"),
        (["--layers", "40"], "tiny has the layers 0 to"),
        (["--method", "text"], "--text: expected with --method text"),
        (["--method", "sefa", "--text", "a"], "only with it"),
        (["--samples", "1"], "samples: expected 2 to"),
        (["--count", "0"], "count: expected 1 to 512, got 0"),
        (["--seed", "-1"], "--seed"),
        (["--text", "sea", "--minus", "sea"], "two different texts"),
        (["--text", "sea", "--template", "hills"], 'expected "{}" in it'),
        (["--class", "2"], "tiny has no classes"),
        (["--name", "a@b"], 'without "@"'),
        (["--out", "x.txt"], "expected a file that ends in .npz"),
        (["--sheet", "x.jpg"], "expected a file that ends in .png"),
    ],
)
def test_mistakes(
    words: list[str], message: str, tiny_checkpoint: Path, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_checkpoint, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (settings / "vectors").exists()


def test_files_of_another_model_are_not_mixed_up(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "theirs.npz"
    save_vectors(out, [Vector(name="a", kind="direction", values=np.ones(3))], "00" * 32)
    before = out.read_bytes()
    assert run(tiny_checkpoint, "--samples", 40, "--out", out) == 2
    assert "expected directions or latents of this checkpoint" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_layers() -> None:
    assert parse_layers("") == (0, LAYER_LIMIT)
    assert parse_layers("3") == (3, 4)
    assert parse_layers(" 0 - 6 ") == (0, 7)
    for text in ("-", "6-", "-3", "0-64", "1,2", "9999"):
        with pytest.raises(UserError, match="--layers"):
            parse_layers(text)
