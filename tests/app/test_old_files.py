"""Files that commit 9109db3 wrote (tests/app/saved) are still read, and written so that it could read them again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.document.file import read_scene_file, save_scene_file
from app.document.parts import SceneKeyframe, Snapshot, Track, TrackPoint
from app.document.scene import Scene
from app.explorer.storage.settings import SettingsStore
from app.images import read_png
from app.live.settings import LiveSettings
from app.takes import TakeRecorder, read_take
from core import values
from core.request import IDENTITY_TRANSFORM, Mix, Push, RenderRequest

SAVED = Path(__file__).parent / "saved"
TURNED = (0.0, -1.0, 0.25, 1.0, 0.0, -0.125, 0.0, 0.0, 1.0)
FAR = RenderRequest(prompt="far hills", seed_x=900.0, noise="none", transform=TURNED)
CONTROLS: dict[str, Any] = {
    "prompt": "sea at dusk",
    "prompt_b": "snow 山",
    "prompt_c": "c",
    "prompt_d": "d",
    "label": 1,
    "label_b": 2,
    "label_c": 3,
    "label_d": 4,
    "blend": 0.25,
    "blend_y": 0.5,
    "seed_x": 3.5,
    "seed_y": -2.0,
    "psi": 0.7,
    "cutoff": 6,
    "layer_psi": (0.5, None, 1.25),
    "mixes": (Mix(first=2, stop=5, amount=0.5, prompt="b", seed_x=4.0), Mix(latent="face@12ab"), Mix(label=3)),
    "pushes": (Push(direction="snow@ab12", amount=-2.0, first=1, stop=9),),
    "noise": "random",
    "noise_seed": 77,
    "noise_strength": 4.5,
    "transform": TURNED,
    "origin": FAR,
    "arrived": 0.75,
}
REQUEST = RenderRequest(**CONTROLS)
SCENE = Scene(
    **CONTROLS,
    crossfade=0.5,
    path="noise",
    path_size=2.5,
    path_seed=9,
    path_loops=False,
    loop_seconds=12.0,
    zoom=3,
    smooth=True,
    snapshots=(Snapshot(name="one", request=REQUEST, mark="A"), Snapshot(name="two", request=FAR, mark="B")),
    morph_seconds=2.5,
    morph_easing="ease-in",
    compare="wipe",
    wipe=0.25,
    keyframes=(
        SceneKeyframe(time=0.0, request=FAR),
        SceneKeyframe(time=2.0, request=replace(FAR, noise_strength=2.0), easing="hold"),
    ),
    tracks=(
        Track(
            control="noise_strength",
            points=(TrackPoint(time=0.0, value=0.5), TrackPoint(time=3.0, value=1.5, easing="linear")),
        ),
        Track(control="input_turn", points=(TrackPoint(time=1.0, value=45.0),)),
        Track(control="direction_1", points=(TrackPoint(time=1.0, value=-1.5),)),
    ),
    duration=6.0,
    loop=False,
    bpm=90.0,
    beats_per_bar=3,
    snap=True,
    unit="beats",
    quick_prompts=("a house", ""),
)


def still_written(old: Any, new: Any) -> bool:
    """Whether `new` says all that `old` says, perhaps with more fields."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(key in new and still_written(value, new[key]) for key, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(still_written, old, new))
    return bool(old == new)


def test_a_scene_file(tmp_path: Path) -> None:
    old = read_scene_file(SAVED / "scene.json")
    assert old.scene == SCENE
    assert old.made_with is not None
    assert (old.made_with.name, old.made_with.sha256) == ("postcards-64", "ab" * 32)
    save_scene_file(tmp_path / "scene.json", old.scene)
    data = json.loads((SAVED / "scene.json").read_text())
    del data["made_with"]
    assert still_written(data, json.loads((tmp_path / "scene.json").read_text()))


def test_a_take(tmp_path: Path) -> None:
    old = read_take(SAVED / "performance.take.jsonl")
    assert old.times == (0.0, 0.5, 1.0, 1.25)
    assert old.requests == (
        REQUEST,
        replace(REQUEST, noise_strength=0.25),
        replace(REQUEST, noise="const", transform=IDENTITY_TRANSFORM),
        FAR,
    )
    assert (old.duration, old.torn, old.header.smooth) == (2.0, False, True)
    assert Scene.from_json(old.scene) == SCENE
    recorder = TakeRecorder(tmp_path / "again.take.jsonl", old.header, SCENE.to_json())
    for time, request in zip(old.times, old.requests, strict=True):
        recorder.offer(time, request)
    recorder.stop(old.duration)
    recorder.close()
    lines = [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (SAVED / "performance.take.jsonl", tmp_path / "again.take.jsonl")
    ]
    assert still_written(*lines)


def test_settings(tmp_path: Path) -> None:
    shutil.copy(SAVED / "settings.json", tmp_path)
    data = json.loads((SAVED / "settings.json").read_text())
    store = SettingsStore(tmp_path)
    settings, problem = store.load_settings()
    assert problem is None
    assert (settings.output_dir, settings.theme, settings.text_scale) == ("/pictures", "light", 1.25)
    assert settings.live == values.from_json(LiveSettings, data["live"], "live")
    assert [mapping.control for mapping in settings.live.mappings] == ["noise_strength", "input_scale", "psi"]
    assert settings.live.triggers[0].action == "surprise"
    assert store.save_settings(settings) is None
    assert still_written(data, json.loads((tmp_path / "settings.json").read_text()))


def test_a_picture() -> None:
    old = read_png(SAVED / "picture.png")
    assert old.request == REQUEST
    assert old.time == 1.5
    assert old.scene is not None
    assert Scene.from_json(old.scene) == SCENE
