"""`glissando evaluate quality`, `curve` and `coco` from the command line: figures, files, and one line for mistakes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from app import cli
from core.perception import clip_towers as towers
from core.perception.clip import ClipHeader, save_clip
from tests.training.datasets.makers import write_shards
from training.metrics.plot import HEIGHT, WIDTH, Dot, Words, curve_drawing, ticks


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    last = err.splitlines()[-1]
    assert last.startswith("glissando: ")
    assert "Traceback" not in err
    return last


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLISSANDO_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "data" / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
        path.with_suffix(".txt").write_text(f"picture {number}\n")
    return tmp_path / "data"


@pytest.fixture
def clip(tmp_path: Path) -> str:
    vision = {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 2}
    text = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    torch.manual_seed(0)
    header = ClipHeader(embed_dim=16, vision_cfg=vision, text_cfg=text)
    save_clip(tmp_path / "clip.safetensors", towers.build_clip(16, vision, text), header)
    return f"clip={tmp_path / 'clip.safetensors'}"


def test_quality_prints_a_table_and_writes_the_same_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_checkpoint: Path, data: Path, clip: str
) -> None:
    out = tmp_path / "new" / "figures.json"
    chosen = ("--metrics", "fid,kid,clip,ppl", "--features", clip, "--clip", clip, "--ppl-distance", "features")
    done = run("evaluate", "quality", tiny_checkpoint, "--data", data, *chosen, "--pictures", 20, "--json", out)
    assert done == 0
    figures = json.loads(out.read_text(encoding="utf-8"))
    printed = capsys.readouterr().out
    assert f"{figures['fid']:.4f}" in printed
    assert f"{figures['clip']:.4f}" in printed
    # 20 pictures for 16 features are few, and that is said.
    assert "Warning: FID: 20 generated pictures are few for 16 features" in printed
    assert str(tmp_path) not in json.dumps(figures["features"])


def test_shards_and_folders_are_mixed_by_weight(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_checkpoint: Path, data: Path, clip: str
) -> None:
    shards, out = write_shards(tmp_path / "shards", [9, 15]), tmp_path / "figures.json"
    chosen = ("--metrics", "kid", "--features", clip, "--pictures", 20, "--json", out)
    places = ("--data", f"{shards}=0.5", "--data", data)
    assert run("evaluate", "quality", tiny_checkpoint, *places, *chosen) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["reals"] == 24 + 12
    again = (*chosen, "--overwrite")
    message = fails(capsys, "evaluate", "quality", tiny_checkpoint, "--data", tmp_path / "no.tar", *again)
    assert "no.tar: " in message


def test_curve_writes_a_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_checkpoint: Path, data: Path, clip: str
) -> None:
    out = tmp_path / "plots"
    chosen = ("--features", clip, "--clip", clip, "--pictures", 20, "--psi", "0.2,1", "--out", out)
    assert run("evaluate", "curve", tiny_checkpoint, "--data", data, *chosen) == 0
    assert "curve.json, curve.svg, curve.png" in capsys.readouterr().out
    assert [point["psi"] for point in json.loads((out / "curve.json").read_text())["curve"]] == [0.2, 1.0]
    with Image.open(out / "curve.png") as picture:
        assert picture.size == (2 * WIDTH, 2 * HEIGHT)
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 50
    drawing = ElementTree.parse(out / "curve.svg").getroot()
    words = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"psi 0.2", "psi 1", "FID (lower is better)", "tiny, 20 pictures"} <= set(words)
    assert len(list(drawing.iter("{http://www.w3.org/2000/svg}circle"))) == 2


def test_coco_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_checkpoint: Path, data: Path, clip: str
) -> None:
    document = {
        "images": [{"id": n, "file_name": f"{n:02d}.png"} for n in range(24)],
        "annotations": [{"image_id": n, "caption": f"picture {n}"} for n in range(24)],
    }
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps(document))
    chosen = ("--features", clip, "--clip", clip, "--pictures", 24, "--size", 16)
    coco = ("evaluate", "coco", tiny_checkpoint, "--images", data, "--captions", captions, *chosen)
    assert run(*coco) == 0
    assert "24 pictures at 16 px" in capsys.readouterr().out
    assert "--pictures" in fails(capsys, *coco, "--pictures", 30)
    assert "size: expected 8 to 256" in fails(capsys, *coco, "--size", 512)


def test_the_documentation_has_commands_that_the_program_takes() -> None:
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    block = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[0]
    for line in block.splitlines():
        assert callable(cli.build_parser().parse_args(shlex.split(line)[1:]).run)
    from training.metrics.quality import METRICS

    assert all(f"| `{name}` |" in text for name in METRICS)


def test_each_mistake_is_told_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tiny_checkpoint: Path,
    data: Path,
    clip: str,
    unwritable: Path,
) -> None:
    quality = ("evaluate", "quality", tiny_checkpoint, "--data", data, "--features", clip)
    assert "cannot write it" in fails(capsys, *quality, "--json", unwritable / "x.json")
    assert "some of fid, kid" in fails(capsys, *quality, "--metrics", "fid,beauty")
    assert "pictures: expected" in fails(capsys, *quality, "--pictures", 0)
    assert "no such file" in fails(capsys, *quality, "--features", f"inception={tmp_path / 'absent.pth'}")
    assert "expected inception" in fails(capsys, *quality, "--features", "eyes")
    assert "expected open_clip:MODEL/TAG" in fails(capsys, *quality, "--metrics", "clip", "--clip", "eyes")
    assert "no such folder" in fails(capsys, *quality, "--data", tmp_path / "absent")
    assert "no such file" in fails(capsys, "evaluate", "quality", tmp_path / "absent", "--data", data)
    curve = ("evaluate", "curve", tiny_checkpoint, "--data", data, "--features", clip, "--clip", clip)
    assert "numbers between commas" in fails(capsys, *curve, "--psi", "0.5,high")
    assert "at least two" in fails(capsys, *curve, "--psi", "1", "--out", tmp_path)
    assert "cannot write it" in fails(capsys, *curve, "--out", unwritable)


def test_ticks_are_round_and_enclose() -> None:
    assert ticks(0.13, 0.91) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(12.0, 47.0) == pytest.approx([10, 20, 30, 40, 50])
    for low, high in ((5.0, 5.0), (0.0, 0.0), (-3e-4, 2e-4)):
        found = ticks(low, high)
        assert found[0] <= low <= high <= found[-1]
        assert found[-1] > found[0]


def test_everything_in_the_plot_is_on_the_page() -> None:
    points = [{"psi": psi, "clip": 0.2 + 0.1 * psi, "fid": 30 - 20 * psi} for psi in (-1.0, 0.0, 0.5, 0.75, 1.0)]
    shapes = curve_drawing(points, "title")
    dots = [shape for shape in shapes if isinstance(shape, Dot)]
    assert len(dots) == 5
    assert all(0 < dot.x < WIDTH and 0 < dot.y < HEIGHT for dot in dots)
    # A higher CLIP score is further right, a lower FID further down.
    assert dots[-1].x > dots[0].x
    assert dots[-1].y > dots[0].y
    assert all(0 < words.x < WIDTH and 0 < words.y < HEIGHT for words in shapes if isinstance(words, Words))
    with pytest.raises(ValueError, match="finite"):
        curve_drawing([*points, {"psi": 1.0, "clip": float("nan"), "fid": 1.0}], "title")
