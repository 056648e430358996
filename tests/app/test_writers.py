"""Whatever writes: every command and every place in the code, so that a new one cannot forget to ask."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from app import cli
from app.video import VideoWriter

ROOT = Path(__file__).parents[2]

Kind = Literal["reads", "refuses", "numbers", "continues", "adds"]
"""Of an option with a path: refuses = a file that is there needs --overwrite; numbers = the names in it are ours;
continues = a folder that the command itself checks and goes on with; adds = a file that keeps what it has."""

PATHS: dict[tuple[str, str], Kind] = {
    ("explore", "checkpoint"): "reads",
    ("generate", "checkpoint"): "reads",
    ("generate", "--centroids"): "reads",
    ("generate", "--out"): "numbers",
    ("video", "checkpoint"): "reads",
    ("video", "--centroids"): "reads",
    ("video", "--scene"): "reads",
    ("video", "--out"): "refuses",
    ("render", "source"): "reads",
    ("render", "--out"): "refuses",
    ("render", "--checkpoint"): "reads",
    ("directions", "checkpoint"): "reads",
    ("directions", "--centroids"): "reads",
    ("directions", "--out"): "adds",
    ("directions", "--sheet"): "refuses",
    ("import", "--out"): "refuses",
    ("info", "file"): "reads",
    ("monitor", "runs"): "reads",
    ("soak", "checkpoint"): "reads",
    ("bench engine", "checkpoint"): "reads",
    ("bench engine", "--json"): "refuses",
    ("bench families", "--json"): "refuses",
    ("bench train", "--json"): "refuses",
    ("bench start", "checkpoint"): "reads",
    ("bench start", "--json"): "refuses",
    ("bench monitor", "--json"): "refuses",
    ("data check", "--sheet"): "refuses",
    ("data check", "--json"): "refuses",
    ("data build", "--out"): "continues",
    ("data postcards", "out"): "continues",
    ("data stickers", "out"): "continues",
    ("data stickers", "--art"): "reads",
    ("evaluate postcards", "checkpoint"): "reads",
    ("evaluate postcards", "--classifier"): "reads",
    ("evaluate postcards", "--json"): "refuses",
    ("evaluate stickers", "checkpoint"): "reads",
    ("evaluate stickers", "--art"): "reads",
    ("evaluate stickers", "--classifier"): "reads",
    ("evaluate stickers", "--data"): "reads",
    ("evaluate stickers", "--sheet"): "refuses",
    ("evaluate stickers", "--json"): "refuses",
    ("evaluate quality", "checkpoint"): "reads",
    ("evaluate quality", "--json"): "refuses",
    ("evaluate curve", "checkpoint"): "reads",
    ("evaluate curve", "--out"): "numbers",
    ("evaluate coco", "checkpoint"): "reads",
    ("evaluate coco", "--images"): "reads",
    ("evaluate coco", "--captions"): "reads",
    ("evaluate coco", "--json"): "refuses",
    ("train clip", "--data"): "reads",
    ("train clip", "--out"): "continues",
    ("train gan", "--config"): "reads",
    ("train gan", "--out"): "continues",
    ("train gan", "--start"): "reads",
    ("train gan", "--resume"): "continues",
    ("train tell", "run_folder"): "reads",
    ("train classifier", "--art"): "reads",
    ("train classifier", "--out"): "refuses",
}

# What else each needs before it looks at the file.
REST: dict[str, tuple[str, ...]] = {
    "video": ("--prompt", "a house"),
    "import": ("missing.pkl",),
    "data check": ("missing",),
    "evaluate postcards": ("missing.safetensors",),
    "evaluate stickers": ("missing.safetensors", "--art", "missing", "--data", "missing"),
    "evaluate quality": ("missing.safetensors", "--data", "missing"),
    "evaluate coco": ("missing.safetensors", "--images", "missing", "--captions", "missing.json"),
}


def parsers(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that can be run, with its words."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        yield name, parser
    for action in inner:
        for word, child in action.choices.items():
            yield from parsers(child, f"{name} {word}".strip())


COMMANDS = dict(parsers(cli.build_parser()))
REFUSING = sorted(key for key, kind in PATHS.items() if kind == "refuses")


def test_every_option_with_a_path_says_here_whether_it_writes() -> None:
    found = {
        (command, action.option_strings[-1] if action.option_strings else action.dest)
        for command, parser in COMMANDS.items()
        for action in parser._actions
        if action.type is Path
    }
    assert found == set(PATHS), "an option with a path was added or went away: say in PATHS what it does"


@pytest.mark.parametrize(
    "command", sorted({command for (command, _), kind in PATHS.items() if kind in ("refuses", "numbers")})
)
def test_every_command_that_writes_files_can_be_told_to_replace_them(command: str) -> None:
    assert any("--overwrite" in action.option_strings for action in COMMANDS[command]._actions)


@pytest.mark.parametrize(("command", "option"), REFUSING)
def test_a_named_file_that_is_there_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, option: str
) -> None:
    monkeypatch.chdir(tmp_path)
    suffix = {"video": ".mp4", "render": ".mp4", "directions": ".png", "data check": ".png"}.get(command, ".json")
    mine = tmp_path / f"mine{suffix}"
    mine.write_text("mine")
    rest = REST.get(command, ())
    if command == "render":
        rest = (str(a_scene(tmp_path)),)
    assert cli.main([*command.split(), *rest, option, str(mine)]) == 2
    error = capsys.readouterr().err
    assert f"{mine}: is there already; name another file, or give --overwrite to replace it" in error
    assert mine.read_text() == "mine"


def a_scene(folder: Path) -> Path:
    from app.document.file import save_scene_file
    from app.document.scene import Scene

    path = folder / "scene.json"
    save_scene_file(path, Scene(prompt="a house", loop_seconds=0.2))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


Run = Callable[..., dict[str, bytes]]


@pytest.fixture
def twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command twice in a folder: the second run leaves the first one's files, and writes as many of its own."""
    monkeypatch.chdir(tmp_path)

    def run_twice(*arguments: str) -> dict[str, bytes]:
        before = set(contents(tmp_path))
        assert cli.main(list(arguments)) == 0
        first = contents(tmp_path)
        assert cli.main(list(arguments)) == 0
        second = contents(tmp_path)
        assert {name: second[name] for name in first} == first
        assert len(second) - len(first) == len(first) - len(before)
        return {name: data for name, data in second.items() if name not in first}

    return run_twice


def test_generate_twice(twice: Run, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("generate", str(tiny_checkpoint), "--prompt", "a house", "--seeds", "0-1", "--precision", "float32")
    assert set(twice(*arguments)) == {f"glissando-out/{name}-2.png" for name in ("seed0000", "seed0001", "sheet")}
    assert "2 pictures and sheet-2.png in glissando-out" in capsys.readouterr().out
    before = contents(Path())
    assert cli.main([*arguments, "--psi", "0.5", "--overwrite"]) == 0
    after = contents(Path())
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {
        f"glissando-out/{name}.png" for name in ("seed0000", "seed0001", "sheet")
    }


def test_video_twice(twice: Run, tiny_checkpoint: Path) -> None:
    arguments = ("--prompt", "a house", "--seconds", "0.2", "--fps", "10", "--size", "32")
    assert set(twice("video", str(tiny_checkpoint), *arguments)) == {"glissando-2.mp4"}


def test_render_twice(twice: Run, tiny_checkpoint: Path, tmp_path: Path) -> None:
    arguments = ("--checkpoint", str(tiny_checkpoint), "--fps", "10", "--size", "32")
    scene = a_scene(tmp_path)
    assert set(twice("render", str(scene), *arguments)) == {"scene-render-2.mp4"}
    assert len(twice("render", str(scene), "--codec", "png", *arguments)) == 2


def test_data_check_twice(twice: Run, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for index in range(2):
        pixels = np.full((16, 16, 3), 80 * index, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{index}.png")
        (tmp_path / "pictures" / f"{index}.txt").write_text("a square")
    assert set(twice("data", "check", "pictures")) == {"data-check-2.png"}


def test_a_video_that_replaces_another_does_so_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(b"the old one")
    frame = np.zeros((16, 16, 3), np.uint8)
    with VideoWriter(path, 10, 32) as writer:
        for _ in range(10):
            writer.write(frame)
        assert path.read_bytes() == b"the old one"
        assert (tmp_path / "x.part.mp4").exists()
    assert path.read_bytes() != b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_video_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(b"the old one")
    writer = VideoWriter(path, 10, 32)
    writer.close()  # without a frame
    assert path.read_bytes() == b"the old one"


# Places in app/ that write a file under its own name, and why each may.
DIRECT: dict[str, str] = {
    "app/animations.py": "grows, whole after every frame; `app.video` names it",
    "app/muxing.py": "grows, playable after every piece; `app.video` names it",
    "app/takes.py": "grows; opened only where there is no such file",
    "app/files.py": "asks and writes beside",
    "app/downloads.py": "its own cache",
    "app/finding.py": "its own cache",
    "app/monitor/bench.py": "in a temporary folder",
    "app/monitor/summary_cache.py": "its own cache, written beside",
    "app/explorer/rendering/library.py": "its own cache",
}


def writes(tree: ast.AST) -> Iterator[int]:
    """The lines that open a file for writing by its name."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        if name in ("write_text", "write_bytes") or (
            name == "open" and any(set(text) <= set("wabx+t") and set(text) & set("wax") for text in texts)
        ):
            yield node.lineno


def test_every_place_that_writes_a_file_by_its_name_is_known() -> None:
    found = set()
    for path in sorted((ROOT / "app").rglob("*.py")):
        if any(writes(ast.parse(path.read_text(encoding="utf-8")))):
            found.add(str(path.relative_to(ROOT)))
    assert found == set(DIRECT), "write through app.files, or say here why not"
