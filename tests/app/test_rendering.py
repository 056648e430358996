"""`glissando render`: live equals offline, loops close, interrupted exports go on, models are found by their hash."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from app import cli
from app.document.file import read_scene_file, save_scene_file
from app.document.playback import request_at
from app.document.scene import Scene
from app.finding import Hashes, find_checkpoint
from app.media import read_media
from app.rendering import ExportSettings, export_source
from app.sources import closed, open_source
from app.takes import read_take
from app.vectors import kept_path
from core.engine import Engine
from core.request import Mix, Push, RenderRequest
from core.vectors import Vector, save_vectors
from tests.app.explorer.fakes import make_session, settle, wait_until
from tests.app.test_cli import fails

PSI = RenderRequest(psi=0.7)


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Iterator[Engine]:
    """As the window opens it, but on two threads."""
    before = torch.get_num_threads()
    yield Engine.open(tiny_checkpoint, threads=2)
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLISSANDO_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("GLISSANDO_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "config"


def run(*arguments) -> int:
    return cli.main([str(argument) for argument in arguments])


def frames_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.fixture
def performance(tmp_path, tiny_checkpoint):
    """A second's play in the window with the real engine, as the window opens it but on two threads: the take, and
    every frame that was shown, with its time.
    """
    now = [0.0]
    shown: list[tuple[float, np.ndarray]] = []
    session = make_session(
        tmp_path,
        tiny_checkpoint,
        open_engine=lambda path, report: Engine.open(path, threads=2),
        clock=lambda: now[0],
    )
    try:
        settle(session)
        session.export.recording.toggle()
        shown.append((0.0, session.rendering.frame.pixels))
        session.playback.transport.toggle()
        for step in range(1, 25):
            now[0] = step * 0.05
            if step == 6:
                session.history.step("prompt", lambda scene: replace(scene, prompt="a house", crossfade=0.3))
            if step == 12:
                session.history.step("noise", lambda scene: replace(scene, noise="random", noise_seed=5))
            if step == 18:
                session.history.step("psi", lambda scene: replace(scene, psi=0.2))
            session.dispatch()
            count = session.rendering.frame_count

            def arrived(count=count) -> bool:
                session.collect()
                return session.rendering.frame_count > count

            wait_until(arrived)
            shown.append((now[0], session.rendering.frame.pixels))
        now[0] += 0.05
        session.export.recording.toggle()
        wait_until(lambda: session.tick() or session.export.recording.recorder is None)
        assert [message.text for message in session.messages.lines if message.level == "error"] == []
    finally:
        session.close()
        assert session.rendering.thread.close(timeout=10.0)
    (take,) = (tmp_path / "out").glob("*.take.jsonl")
    return take, shown


def test_live_equals_offline(tmp_path, performance, engine):
    path, shown = performance
    take = read_take(path)
    assert take.times == pytest.approx([seconds for seconds, _ in shown])
    assert len({pixels.tobytes() for _, pixels in shown}) >= len(shown) - 2  # a fade begins where it comes from
    for request, (_, pixels) in zip(take.requests, shown, strict=True):
        np.testing.assert_array_equal(engine.render(request).pixels, pixels)
    # The same through the command, in another process's words: a lossless video at the rate it was played.
    assert run("render", path, "--fps", 20, "--size", 32, "--out", tmp_path / "x.mkv") == 0
    np.testing.assert_array_equal(frames_of(tmp_path / "x.mkv"), np.stack([pixels for _, pixels in shown]))
    picture = read_media(tmp_path / "x.mkv")
    assert picture.request == take.requests[0]
    assert picture.checkpoint["sha256"] == engine.info.sha256
    assert picture.video["from"] == "take"
    assert take.header.arithmetic.threads == 2
    assert take.header.arithmetic.plain is False


def test_a_take_from_another_machine_renders_as_this_one_can(tmp_path, performance, engine, capsys):
    path, shown = performance
    first, rest = path.read_text().split("\n", 1)
    path.write_text(first.replace('"device":"cpu"', '"device":"cuda:9"') + "\n" + rest)
    assert run("render", path, "--fps", 20, "--size", 32, "--out", tmp_path / "x.mkv") == 0
    assert (
        "not as it was played, so pictures differ a little: device cuda:9: this machine has" in capsys.readouterr().err
    )
    assert len(frames_of(tmp_path / "x.mkv")) == len(shown)
    # Asked for by name, it is said to nobody.
    assert run("render", path, "--fps", 20, "--size", 32, "--device", "cpu", "--out", tmp_path / "y.mkv") == 0
    assert "played" not in capsys.readouterr().err


def test_rate_and_speed_pick_what_was_on_screen(tmp_path, performance, engine):
    path, _ = performance
    take = read_take(path)
    for fps, speed, count in ((20, 2.0, 13), (60, 1.0, 75), (10, 0.5, 25)):
        settings = ExportSettings(codec="ffv1", fps=str(fps), size=32, speed=speed)
        assert export_source(engine, open_source(path), tmp_path / "x.mkv", settings) == count
        expected = [engine.render(take.at(index * speed / fps)).pixels for index in range(count)]
        np.testing.assert_array_equal(frames_of(tmp_path / "x.mkv"), np.stack(expected))


def scene_file(folder: Path, checkpoint: Path, engine: Engine, **values) -> Path:
    scene = Scene(prompt="snowy mountains", psi=0.7, checkpoint=str(checkpoint), loop_seconds=2.0, **values)
    save_scene_file(folder / "x.json", scene, engine.info)
    return folder / "x.json"


def test_a_scene_s_play_renders(tmp_path, tiny_checkpoint, engine):
    path = scene_file(tmp_path, tiny_checkpoint, engine, path_size=2.0)
    scene = read_scene_file(path).scene
    assert run("render", path, "--fps", 5, "--size", 32, "--codec", "ffv1") == 0
    expected = [engine.render(request_at(scene, index / 5)).pixels for index in range(10)]
    np.testing.assert_array_equal(frames_of(tmp_path / "x-render.mkv"), np.stack(expected))


def test_enlarging_is_as_on_screen_unless_said(tmp_path, tiny_checkpoint, engine):
    path = scene_file(tmp_path, tiny_checkpoint, engine, path_size=0.0, smooth=True)
    first = engine.render(read_scene_file(path).scene.request()).pixels
    for flags, filter_ in (([], "smooth"), (["--sharp"], "sharp"), (["--smooth"], "smooth")):
        assert run("render", path, "--fps", 1, "--size", 64, "--out", tmp_path / "x.mkv", "--overwrite", *flags) == 0
        method = Image.Resampling.BICUBIC if filter_ == "smooth" else Image.Resampling.NEAREST
        expected = np.asarray(Image.fromarray(first).resize((64, 64), method))
        np.testing.assert_array_equal(frames_of(tmp_path / "x.mkv")[0], expected)


# Loops


def test_a_closed_play_ends_where_it_begins_and_never_jumps(engine):
    def at(seconds: float) -> RenderRequest:
        turned = (1.0, 0.0, seconds / 50, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
        return replace(PSI, prompt="a house", seed_x=seconds, noise_strength=0.5 + seconds / 10, transform=turned)

    loop = closed(at, 4.0, 1.0)
    assert loop(4.0) == at(0.0) == loop(0.0)
    assert loop(3.0) == at(3.0)
    assert loop(2.5) == at(2.5)
    assert loop(3.5).origin is not None
    pictures = [engine.render(loop(index / 40)).pixels.astype(int) for index in range(161)]
    steps = [np.abs(a - b).mean() for a, b in itertools.pairwise(pictures)]
    np.testing.assert_array_equal(pictures[-1], pictures[0])
    way = np.abs(pictures[120] - pictures[0]).mean()
    assert way > 4 * np.median(steps)  # a cut would be seen
    assert max(steps[120:]) < 0.5 * way


def test_the_shortest_loop_fades_for_half_of_it():
    loop = closed(lambda seconds: replace(PSI, seed_x=seconds), 0.5, 1.0)
    assert loop(0.2).origin is None
    assert loop(0.3).origin is not None
    assert loop(0.5) == loop(0.0)


# Interruptions


def test_a_folder_of_pictures_goes_on(tmp_path, tiny_checkpoint, engine, capsys):
    path = scene_file(tmp_path, tiny_checkpoint, engine, path_size=2.0)
    out = tmp_path / "frames"
    assert run("render", path, "--fps", 6, "--size", 48, "--out", out) == 0
    names = sorted(file.name for file in out.iterdir())
    assert names == [f"{index:06d}.png" for index in range(12)]
    before = {name: (out / name).read_bytes() for name in names}
    # What an interrupted export leaves: some are missing, one is torn, one is another picture, one has another size.
    (out / "000003.png").unlink()
    (out / "000005.png").write_bytes(before["000005.png"][:200])
    shutil.copy(out / "000001.png", out / "000007.png")
    shutil.copy(out / "000001.png", tmp_path / "kept.png")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(out / "000009.png")
    stamps = {name: (out / name).stat().st_mtime_ns for name in names[:3]}
    assert "expected an empty folder" in fails(capsys, "render", path, "--fps", 6, "--size", 48, "--out", out)
    assert run("render", path, "--fps", 6, "--size", 48, "--out", out, "--resume") == 0
    assert "8 were there already" in capsys.readouterr().out
    assert {name: (out / name).read_bytes() for name in names} == before
    assert {name: (out / name).stat().st_mtime_ns for name in names[:3]} == stamps
    # Each is the picture that its metadata asks for.
    picture = read_media(out / "000004.png")
    scene = read_scene_file(path).scene
    assert picture.request == request_at(scene, 4 / 6)
    assert Scene.from_json(picture.scene) == replace(scene, checkpoint="")
    assert picture.time == pytest.approx(4 / 6)
    assert "--resume: only a folder" in fails(capsys, "render", path, "--codec", "gif", "--resume")


@pytest.mark.parametrize("how", ["terminate", "reader gone"])
def test_an_interrupted_export_plays(tmp_path, tiny_checkpoint, engine, how):
    path = scene_file(tmp_path, tiny_checkpoint, engine, path_size=2.0)
    scene = json.loads(path.read_text())
    path.write_text(json.dumps(scene | {"loop_seconds": 600.0}))
    command = [sys.executable, "-m", "app.cli", "render", str(path), "--out", str(tmp_path / "x.mp4")]
    with subprocess.Popen([*command, "--progress-json"], stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        for line in process.stdout:
            said = json.loads(line)
            if said.get("done", 0) > 60:
                assert said["of"] == 36_000
                break
        if how == "terminate":
            process.send_signal(signal.SIGTERM)
        else:
            process.stdout.close()
        assert process.wait(timeout=120) == (cli.EXIT_INTERRUPTED if how == "terminate" else 0)
    assert len(frames_of(tmp_path / "x.mp4")) > 60


# Models


@pytest.fixture
def pushed(tmp_path, config, tiny_checkpoint, engine):
    """A scene pushed along a direction that was renamed since, and from a saved latent; and the engine that knows
    both.
    """
    rng = np.random.default_rng(0)
    direction = Vector(name="snow", kind="direction", values=rng.normal(size=engine.info.w_dim).astype(np.float32))
    latent = Vector(name="place", kind="latent", values=rng.normal(size=engine.info.w_dim).astype(np.float32))
    save_vectors(kept_path(engine.info.sha256), [replace(direction, name="winter"), latent], engine.info.sha256)
    mixes, pushes = (Mix(latent=latent.id, first=2),), (Push(direction=direction.id, amount=3.0),)
    path = scene_file(tmp_path, tiny_checkpoint, engine, mixes=mixes, pushes=pushes)
    knowing = Engine.open(tiny_checkpoint, precision="float32")
    knowing.register({vector.id: vector.values for vector in (direction, latent)})
    return path, knowing


def test_saved_directions_and_latents_are_rendered(tmp_path, pushed):
    path, knowing = pushed
    assert run("render", path, "--fps", 2, "--size", 32, "--precision", "float32", "--out", tmp_path / "x.mkv") == 0
    expected = [knowing.render(open_source(path).at(index / 2)).pixels for index in range(4)]
    np.testing.assert_array_equal(frames_of(tmp_path / "x.mkv"), np.stack(expected))


def test_a_scene_s_video_has_them_too(tmp_path, pushed):
    path, knowing = pushed
    request = request_at(read_scene_file(path).scene, 0.0)
    assert run("video", "--scene", path, "--fps", 4, "--size", 32, "--out", tmp_path / "x.mp4") == 0
    first = frames_of(tmp_path / "x.mp4")[0].astype(int)
    with_them, without = (knowing.render(each).pixels for each in (request, replace(request, mixes=(), pushes=())))
    assert 3 * np.abs(first - with_them).mean() < np.abs(first - without).mean()


def test_the_model_is_found_by_its_hash(tmp_path, config, tiny_checkpoint, make_checkpoint, engine, capsys):
    path = scene_file(tmp_path, tmp_path / "gone.safetensors", engine)
    other = make_checkpoint(tmp_path / "other.safetensors", seed=3)
    line = fails(capsys, "render", path, "--fps", 2)
    assert "its model 'tiny'" in line
    assert engine.info.sha256[:10] in line
    assert run("render", path, "--fps", 2, "--checkpoint", other, "--size", 32, "--out", tmp_path / "o.mkv") == 0
    library = tmp_path / "library"
    library.mkdir(exist_ok=True)
    shutil.copy(tiny_checkpoint, library / "renamed.safetensors")
    config.mkdir(exist_ok=True)
    (config / "settings.json").write_text(json.dumps({"library_dirs": [str(library)], "recents": [str(other)]}))
    assert run("render", path, "--fps", 2, "--size", 32, "--out", tmp_path / "x.mkv") == 0
    assert read_media(tmp_path / "x.mkv").checkpoint["sha256"] == engine.info.sha256
    # Each file was read once: what is kept is believed until the file changes.
    hashes = Hashes(config / "hashes.json")
    found = find_checkpoint(engine.info.sha256, [], [library], hashes)
    assert found == library / "renamed.safetensors"
    shutil.copy(other, found)
    assert find_checkpoint(engine.info.sha256, [], [library], hashes) is None


def test_damaged_hashes_are_made_again(tmp_path, tiny_checkpoint, engine):
    for text in ("", "[]", '{"x": 1}', "[" * 100_000):
        (tmp_path / "hashes.json").write_text(text)
        assert find_checkpoint(engine.info.sha256, [tiny_checkpoint], [], Hashes(tmp_path / "hashes.json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.take.jsonl"], "no such file"),
        (["absent.json"], "no such file"),
        (["{}", "--fps", "0"], "fps: expected frames per second from 1 to 240"),
        (["{}", "--fps", "abc"], "fps: expected a number or a fraction"),
        (["{}", "--fps", "1/0"], "fps: expected a number or a fraction"),
        (["{}", "--codec", "gif", "--fps", "60"], "from 1 to 50 for gif, got 60"),
        (["{}", "--speed", "0"], "speed: expected a number from 0.01 to 100, got 0"),
        (["{}", "--speed", "nan"], "speed: expected a number"),
        (["{}", "--size", "3"], "size: expected pixels from 16"),
        (["{}", "--out", "x.avi"], "expected a name that ends in"),
        (["{}", "--out", "x.mp4", "--codec", "gif"], "expected a name that ends in .gif"),
    ],
)
def test_mistakes_are_told_before_the_model_loads(tmp_path, tiny_checkpoint, engine, capsys, arguments, message):
    path = scene_file(tmp_path, tiny_checkpoint, engine)
    assert message in fails(capsys, "render", *[str(path) if part == "{}" else part for part in arguments])


@pytest.mark.parametrize(
    "text", ["", "[]", '{"scene": 99}', '{"scene": 2, "made_with": 3}', '{"scene": 2, "x": 1}', "[" * 100_000, "\xff"]
)
def test_what_is_no_scene_is_one_error(tmp_path, capsys, text):
    (tmp_path / "x.json").write_text(text, encoding="latin-1")
    assert "expected a scene" in fails(capsys, "render", tmp_path / "x.json")
