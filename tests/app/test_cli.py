"""The command line: fast help, one clear line for every mistake, and files that say what they are."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from app import cli
from app.commands.arguments import MOST_SEEDS, parse_seeds
from app.commands.video import frame_count
from app.errors import UserError
from app.images import read_png
from app.muxing import whole_fragments
from app.video import VideoWriter
from core.engine import Engine
from core.request import RenderRequest

COMMANDS = ("explore", "generate", "video", "render", "import", "info", "train", "data", "evaluate", "bench")


def run(*arguments) -> int:
    return cli.main([str(argument) for argument in arguments])


def fails(capsys, *arguments) -> str:
    """Run what must end with exit code 2, and return its one line."""
    capsys.readouterr()
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert err.startswith("glissando: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err + out
    return err


def usage_error(capsys, *arguments) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_help_and_the_window_checks_import_neither_torch_nor_a_gui():
    code = (
        "import sys; from app import cli, display\n"
        "display.why_no_display(); display.missing_libraries()\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit as leave: assert leave.code == 0\n"
        "heavy = {'torch', 'open_clip', 'timm', 'imgui_bundle', 'OpenGL', 'av', 'PIL', 'training'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in COMMANDS)


@pytest.mark.parametrize(
    "command",
    [
        (),
        *((name,) for name in COMMANDS),
        ("train", "gan"),
        ("train", "clip"),
        ("data", "postcards"),
        ("data", "stickers"),
        ("evaluate", "postcards"),
        ("evaluate", "stickers"),
        ("bench", "engine"),
    ],
)
def test_every_command_explains_itself(capsys, command):
    with pytest.raises(SystemExit) as caught:
        run(*command, "--help")
    assert caught.value.code == 0
    assert "usage: " + " ".join(["glissando", *command]) in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit):
        run("--version")
    assert capsys.readouterr().out.startswith("Glissando 0.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-3", [0, 1, 2, 3]),
        ("7", [7]),
        ("-1", [-1]),
        ("-3--1", [-3, -2, -1]),
        ("-1-1", [-1, 0, 1]),
        ("0-3,7,-1,4294967296", [0, 1, 2, 3, 7, -1, 4294967296]),
        ("5,5,4-6", [5, 4, 6]),
        (" 1 , 2 - 3 ", [1, 2, 3]),
    ],
)
def test_seeds(text, expected):
    assert parse_seeds(text) == expected


@pytest.mark.parametrize(
    "text", ["", ",", "a", "1-", "1.5", "1--", "3-1", "1-2-3", f"0-{MOST_SEEDS}", "9" * 30, "0-999999999999"]
)
def test_what_are_no_seeds(text):
    with pytest.raises(UserError, match="--seeds: expected"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("seconds", "fps", "count"), [(10, 60, 600), (0.5, 30, 15), (1.01, 60, 61), (0.01, 60, 1), (1 / 3, 24, 8)]
)
def test_frame_counts(seconds, fps, count):
    assert frame_count(seconds, fps) == count


@pytest.mark.parametrize(
    ("seconds", "fps"), [(0, 60), (-1, 60), (float("nan"), 60), (float("inf"), 60), (1, 0), (0.001, 60), (1e9, 60)]
)
def test_lengths_that_cannot_be(seconds, fps):
    with pytest.raises(UserError, match="expected"):
        frame_count(seconds, fps)


# generate


def test_generate_writes_what_the_engine_renders(tmp_path, capsys, tiny_checkpoint):
    out = tmp_path / "new" / "folder"
    prompt = "snowy mountains, 日落 🏔️"
    # The checkpoint after the options, and seeds that start with a minus, as people type them.
    assert run("generate", "--prompt", prompt, "--seeds", "-1,0-2,4294967296", "--psi", 0.7, "--precision", "float32",
               "--out", out, tiny_checkpoint) == 0  # fmt: skip
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["seed-001.png", "seed0000.png", "seed0001.png", "seed0002.png", "seed4294967296.png", "sheet.png"]
    )
    engine = Engine.open(tiny_checkpoint, precision="float32")
    pixels = {}
    for name, seed in (("seed-001", -1), ("seed0001", 1), ("seed0000", 0), ("seed4294967296", 2**32)):
        with Image.open(out / f"{name}.png") as image:
            pixels[name] = np.asarray(image)
        assert np.array_equal(pixels[name], engine.render(RenderRequest(prompt=prompt, seed_x=seed, psi=0.7)).pixels)
        picture = read_png(out / f"{name}.png")
        assert picture.request is not None
        assert np.array_equal(pixels[name], engine.render(picture.request).pixels)
        assert picture.checkpoint["sha256"] == engine.info.sha256
        assert f"Seed: {seed % 2**32}, Size: 32x32, Model hash: {engine.info.sha256[:10]}" in picture.parameters
    assert np.array_equal(pixels["seed0000"], pixels["seed4294967296"])
    assert not np.array_equal(pixels["seed0000"], pixels["seed0001"])
    assert "5 pictures" in capsys.readouterr().out


def test_noise_modes_differ_and_repeat(tmp_path, tiny_checkpoint):
    pictures = {}
    for name, noise, seed in (
        ("a", "random", 1),
        ("b", "random", 1),
        ("c", "random", 2),
        ("d", "none", 0),
        ("e", "const", 0),
    ):
        assert run("generate", tiny_checkpoint, "--prompt", "sea", "--seeds", 3, "--noise", noise, "--noise-seed", seed,
                   "--out", tmp_path / name) == 0  # fmt: skip
        with Image.open(tmp_path / name / "seed0003.png") as image:
            pictures[name] = np.asarray(image)
    assert np.array_equal(pictures["a"], pictures["b"])
    for first, second in itertools.combinations("acde", 2):
        assert not np.array_equal(pictures[first], pictures[second]), (first, second)


@pytest.mark.parametrize("prompt", ["", "x" * 10_000, "雪山 🎨" * 50, "a\0b", "-- --seeds"])
def test_any_prompt_gives_a_picture(tmp_path, tiny_checkpoint, prompt):
    assert run("generate", tiny_checkpoint, f"--prompt={prompt}", "--seeds", 0, "--out", tmp_path) == 0
    assert read_png(tmp_path / "seed0000.png").request == RenderRequest(prompt=prompt)


def test_generate_follows_the_weights_of_a_prompt(tmp_path, tiny_checkpoint):
    pictures = {}
    for name, prompt in (("bare", "a house"), ("muted", "a (snowy:0) house"), ("more", "a (snowy:2) house")):
        out = tmp_path / name
        assert run("generate", tiny_checkpoint, "--prompt", prompt, "--seeds", 3, "--out", out) == 0
        picture = read_png(out / "seed0003.png")
        assert picture.request.prompt == prompt
        pictures[name] = np.asarray(Image.open(out / "seed0003.png")).tobytes()
    assert pictures["muted"] == pictures["bare"] != pictures["more"]


def test_generate_tells_each_mistake_in_one_line(tmp_path, capsys, tiny_checkpoint, unwritable):
    out = ("--out", tmp_path / "out")
    good = ("generate", tiny_checkpoint, "--prompt", "sea")
    assert "psi: expected a number from -10 to 10, got nan" in fails(capsys, *good, "--psi", "nan", *out)
    assert "psi: expected" in fails(capsys, *good, "--psi", "1e30", *out)
    assert "--seeds: expected numbers and ranges" in fails(capsys, *good, "--seeds", "0..3", *out)
    assert "noise_seed: expected" in fails(capsys, *good, "--noise-seed", "-5", *out)
    assert "expected a folder that can be written" in fails(capsys, *good, "--out", unwritable)
    assert "expected a folder that can be written" in fails(capsys, *good, "--out", tiny_checkpoint)
    assert "no such file" in fails(capsys, "generate", tmp_path / "absent.safetensors", "--prompt", "sea", *out)
    assert "got a folder" in fails(capsys, "generate", tmp_path, "--prompt", "sea", *out)
    assert "device" in fails(capsys, *good, "--device", "abacus", *out)
    for command in ("generate", "video"):
        text = fails(capsys, command, tiny_checkpoint, "--out", tmp_path / "x.mp4")
        assert "tiny takes a prompt: give --prompt; got neither --prompt nor --class" in text
        text = fails(capsys, command, tiny_checkpoint, "--prompt", "a", "--class", 3, "--out", tmp_path / "x.mp4")
        assert "got --prompt and --class" in text
    assert "expected text in UTF-8" in usage_error(capsys, "generate", tiny_checkpoint, "--prompt", "caf\udce9")
    assert "invalid choice: 'float8'" in usage_error(capsys, *good, "--precision", "float8")
    assert "unrecognized arguments" in usage_error(capsys, *good, "a-second-file")
    assert "unrecognized arguments" in usage_error(capsys, *good, "--sed", "3")


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        run("generate", tmp_path / "absent.safetensors", "--prompt", "sea", "--out", tmp_path, "--debug")
    with pytest.raises(ValueError, match="no such file"):
        run("--debug", "generate", tmp_path / "absent.safetensors", "--prompt", "sea", "--out", tmp_path)


def test_a_fault_of_ours_is_one_line_too(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("app.media.first_bytes", lambda path: {}["a\nb"])
    assert run("info", tmp_path) == 1
    err = capsys.readouterr().err
    assert err.startswith("glissando: unexpected KeyError")
    assert "--debug" in err
    assert err.count("\n") == 1


# video


def test_a_video_has_exactly_the_frames_it_should(tmp_path, capsys, decode, tiny_checkpoint):
    path = tmp_path / "x.mp4"
    assert run("video", tiny_checkpoint, "--prompt", "sea", "--prompt", "house", "--seconds", 0.7, "--fps", 30,
               "--loop", "--size", 64, "--seed", 5, "--precision", "float32", "--out", path) == 0  # fmt: skip
    pictures, times = decode(path)
    assert pictures.shape == (21, 64, 64, 3)
    assert times == pytest.approx([index / 30 for index in range(21)], abs=1e-4)
    engine = Engine.open(tiny_checkpoint, precision="float32")
    first = engine.render(RenderRequest(prompt="sea", seed_x=5)).pixels.repeat(2, axis=0).repeat(2, axis=1).astype(int)
    other = (
        engine.render(RenderRequest(prompt="house", seed_x=5)).pixels.repeat(2, axis=0).repeat(2, axis=1).astype(int)
    )

    def distance(picture, reference):
        return np.abs(picture.astype(int) - reference).mean()

    # It starts at the first prompt, is nearest to the second halfway, and comes back.
    assert distance(pictures[0], first) < distance(pictures[0], other)
    assert distance(pictures[10], other) < distance(pictures[10], first)
    assert distance(pictures[20], first) < distance(pictures[20], other)
    assert "21 frames, 0.7 s" in capsys.readouterr().out


def test_a_single_prompt_walks_over_the_seeds(tmp_path, decode, tiny_checkpoint):
    moving, still = tmp_path / "moving.mp4", tmp_path / "still.mp4"
    common = ("video", tiny_checkpoint, "--prompt", "sea", "--seconds", 0.5, "--fps", 20, "--size", 32)
    assert run(*common, "--out", moving) == 0
    assert run(*common, "--walk", 0, "--out", still) == 0
    change = {path: np.abs(np.diff(decode(path)[0].astype(int), axis=0)).mean() for path in (moving, still)}
    assert change[moving] > 5 * change[still] + 1


def test_ctrl_c_leaves_the_frames_so_far(tmp_path, capsys, decode, monkeypatch, tiny_checkpoint):
    path = tmp_path / "x.mp4"
    write = VideoWriter.write

    def interrupted(self, pixels):
        if self.frames == 9:
            raise KeyboardInterrupt
        write(self, pixels)

    monkeypatch.setattr(VideoWriter, "write", interrupted)
    assert run("video", tiny_checkpoint, "--prompt", "sea", "--size", 32, "--out", path) == 130
    assert len(decode(path)[0]) == 9
    out, err = capsys.readouterr()
    assert "Stopped early" in out
    assert "Traceback" not in err


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is a POSIX thing")
def test_a_killed_export_leaves_a_video_that_plays(tmp_path, decode, tiny_checkpoint):
    path = tmp_path / "x.mp4"
    command = [sys.executable, "-m", "app.cli", "video", tiny_checkpoint, "--prompt", "sea", "--prompt", "house",
               "--seconds", "3000", "--fps", "30", "--size", "64", "--walk", "3000", "--out", path]  # fmt: skip
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while not (path.is_file() and whole_fragments(path)[0] >= 2):
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    pictures, times = decode(path)
    assert len(pictures) >= 30
    assert times == pytest.approx([index / 30 for index in range(len(times))], abs=1e-4)
    assert np.abs(np.diff(pictures.astype(int), axis=0)).mean() > 0.1


def test_a_full_disk_is_one_line_and_what_fitted_plays(small_disk, capsys, decode, tiny_checkpoint):
    path = small_disk / "x.mp4"
    # What fills the disk: not the frames but another file, but for a few hundred kilobytes.
    (small_disk / "ballast").write_bytes(bytes(860_000))
    line = fails(capsys, "video", tiny_checkpoint, "--prompt", "sea", "--seconds", 60, "--fps", 30, "--size", 128,
                 "--walk", 1800, "--out", path)  # fmt: skip
    assert "no space left on device; what is in the file plays" in line
    assert len(decode(path)[0]) >= 15


def test_video_tells_each_mistake_in_one_line(tmp_path, capsys, tiny_checkpoint, unwritable):
    good = ("video", tiny_checkpoint, "--prompt", "sea")
    out = ("--out", tmp_path / "x.mp4")
    assert "--seconds: expected a number above 0, got nan" in fails(capsys, *good, "--seconds", "nan", *out)
    assert "--fps: expected 1 or more, got 0" in fails(capsys, *good, "--fps", "0", *out)
    assert "fps: expected frames per second from 1 to 240" in fails(capsys, *good, "--fps", "1000", *out)
    assert "size: expected pixels from 16 to 8192" in fails(capsys, *good, "--size", "2", *out)
    assert "psi: expected" in fails(capsys, *good, "--psi", "inf", *out)
    assert "walk: expected" in fails(capsys, *good, "--walk", "nan", *out)
    assert "ends in .mp4" in fails(capsys, *good, "--out", tmp_path / "x.gif")
    assert "cannot write it" in fails(capsys, *good, "--out", unwritable / "x.mp4")
    assert "cannot write it: is a directory" in fails(capsys, *good, "--out", _folder(tmp_path / "d.mp4"))
    assert "no such file" in fails(capsys, "video", tmp_path / "absent.safetensors", "--prompt", "sea", *out)
    assert not (tmp_path / "x.mp4").exists()


@pytest.mark.parametrize("seed", [2**32, -1, -(2**40)])
def test_any_seed_can_be_walked_from(tmp_path, decode, tiny_checkpoint, seed):
    path = tmp_path / "x.mp4"
    assert run("video", tiny_checkpoint, "--prompt", "sea", "--seed", seed, "--seconds", 0.05, "--size", 32,
               "--out", path) == 0  # fmt: skip
    assert len(decode(path)[0]) == 3


def _folder(path):
    path.mkdir()
    return path


# info


def test_info_on_a_checkpoint_needs_no_torch(tiny_checkpoint):
    code = "import sys; from app import cli; assert cli.main(sys.argv[1:]) == 0; assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code, "info", str(tiny_checkpoint), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert (values["family"], values["config"]["resolution"], values["images_seen"]) == ("stylegan_t", 32, 1000)
    assert "watercolor" in values["vocabulary"].split()


def test_info_on_a_picture(tmp_path, capsys, tiny_checkpoint):
    assert run("generate", tiny_checkpoint, "--prompt", "sea", "--seeds", 4, "--out", tmp_path) == 0
    capsys.readouterr()
    assert run("info", tmp_path / "seed0004.png") == 0
    text = capsys.readouterr().out
    assert "sea\n" in text
    assert "Steps: 1, Seed: 4, Size: 32x32" in text
    assert run("info", tmp_path / "seed0004.png", "--json") == 0
    assert json.loads(capsys.readouterr().out)["request"]["prompt"] == "sea"
    assert run("info", tmp_path / "sheet.png", "--json") == 0
    assert json.loads(capsys.readouterr().out)["request"]["prompt"] == "sea"


def test_info_tells_each_mistake_in_one_line(tmp_path, capsys):
    (tmp_path / "text").write_text("hello, this is no model")
    assert "expected a Glissando checkpoint" in fails(capsys, "info", tmp_path / "text")
    assert "no such file" in fails(capsys, "info", tmp_path / "absent")
    assert "got a folder" in fails(capsys, "info", tmp_path)
    assert "cannot read it" in fails(capsys, "info", "a\0b")


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise on Windows")
def test_a_reader_that_leaves_is_no_error(tiny_checkpoint):
    command = f"{sys.executable} -m app.cli info {tiny_checkpoint} --json | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
