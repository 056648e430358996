"""`glissando data stickers`: how to get the art, what is missing, and a small set."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app import cli
from tests.training.datasets.sticker_art import make_art

pytest.importorskip("resvg_py")


def test_without_arguments_it_says_how_to_get_the_art(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "stickers"]) == 0
    shown = capsys.readouterr().out
    assert "npm install --ignore-scripts @lobehub/fluent-emoji-3d@" in shown
    assert "@iconify-json/twemoji@" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["OUT"], "expected --art DIR"),
        (["--art", "ART"], "expected OUT"),
        (["OUT", "--art", "NOTHING"], "missing: @lobehub/fluent-emoji-3d, .*npm install"),
        (["OUT", "--art", "ART", "--count", "0"], "count: expected at least 1 picture; got 0"),
        (["OUT", "--art", "ART", "--count", "2", "--resolution", "8"], "resolution: expected 32 to 1024 pixels; got 8"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "NOTHING").mkdir()
    if "ART" in arguments:
        make_art(tmp_path / "ART")
    placed = [str(tmp_path / one) if one.isupper() else one for one in arguments]
    assert cli.main(["data", "stickers", *placed]) == 2
    error = capsys.readouterr().err
    assert error.startswith("glissando: ")
    assert error.count("\n") == 1
    assert re.search(message, error), error
    assert not (tmp_path / "OUT").exists()


def test_a_small_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    art = make_art(tmp_path / "art")
    out = tmp_path / "set"
    arguments = ["data", "stickers", str(out), "--art", str(art), "--count", "3", "--resolution", "32"]
    assert cli.main(arguments) == 0
    assert "3 stickers of 32 x 32" in capsys.readouterr().out
    assert len((out / "stickers.jsonl").read_text().splitlines()) == 3
    assert json.loads((out / "dataset.json").read_text())["complete"] is True
    assert cli.main(arguments) == 0  # there is nothing left to do
