"""Settings by name, in sections, through TOML, and as runs from before there was TOML have them."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from training.config import SECTIONS
from training.datasets.config import DataConfig, SourceSpec
from training.errors import RunError
from training.methods.stylegan_t.config import StyleGANTConfig
from training.methods.stylegan_t.recipes import GAN_RECIPES, gan_recipe
from training.runs.config_file import RunFile, read_run, read_settings_file, to_toml, write_run

CONFIG = StyleGANTConfig(
    prompts=('he said "no"', "back\\slash\ttab\x7f", "Ein Häuschen 🏠", "a, b"),
    taps=(0, 3),
    kimg=1e-7,
    learning_rate_g=3e-6,
    pairs=False,
    diversity=0.0,
    reconstruction=0.0,
)


def test_every_setting_stands_in_one_section() -> None:
    sections = StyleGANTConfig.sections()
    assert tuple(sections) == SECTIONS
    places = [name for names in sections.values() for name in names]
    assert sorted(places) == sorted(field.name for field in dataclasses.fields(StyleGANTConfig))
    assert "batch" in sections["trainer"]


def test_dotted_and_plain_names_mean_the_same() -> None:
    dotted = CONFIG.changed(["trainer.batch=256", "discriminator.taps=0,1", "trainer.pairs=true", "text.clip=x"])
    plain = CONFIG.changed(["batch=256", "taps=0,1", "pairs=true", "clip=x"])
    assert dotted == plain
    assert (dotted.batch, dotted.taps, dotted.pairs, dotted.clip) == (256, (0, 1), True, "x")
    with pytest.raises(ValueError, match="unknown 'model.batch'; did you mean trainer.batch"):
        StyleGANTConfig.field_name("model.batch")
    with pytest.raises(ValueError, match="unknown 'optim.batch'"):
        CONFIG.changed(["optim.batch=3"])
    with pytest.raises(ValueError, match="pairs: expected a value like false, got 'yes'"):
        CONFIG.changed(["pairs=yes"])


@pytest.mark.parametrize("name", GAN_RECIPES)
def test_a_run_is_what_its_toml_says(name: str, tmp_path: Path) -> None:
    start = {"name": "a", "sha256": "0" * 64, "images_seen": 7, "notes": {"config": {"taps": [1]}, "ü": None}}
    run = RunFile(config=replace(gan_recipe(name), clip="/somewhere"), data=DataConfig.of("/data"), start=start)
    write_run(tmp_path, run)
    assert read_run(tmp_path) == run
    document = tomllib.loads((tmp_path / "config.toml").read_text(encoding="utf-8"))
    assert list(document) == ["run", *SECTIONS, "start"]
    assert document["trainer"]["batch"] == gan_recipe(name).batch


def test_text_and_numbers_go_through_toml(tmp_path: Path) -> None:
    write_run(tmp_path, RunFile(config=CONFIG, data=DataConfig.of('C:\\pictures "old"')))
    assert read_run(tmp_path) == RunFile(config=CONFIG, data=DataConfig.of('C:\\pictures "old"'))
    values = {"a": [1, -2], "b": 1e22, "c": -0.0, "d": True, "e": [], "f": "\n\x00", "g": math.inf, "h": 5.0}
    read = tomllib.loads(to_toml({"t": values}))["t"]
    assert read == values
    assert {name: type(value) for name, value in read.items()} == {n: type(v) for n, v in values.items()}
    with pytest.raises(TypeError, match="got NoneType"):
        to_toml({"t": {"a": None}})


def test_a_run_from_before_goes_on_as_it_was(tmp_path: Path) -> None:
    saved = {
        "config": {"preset": "nano", "batch": 16, "kimg": 400.0, "features": "clip", "taps": [4], "critic_steps": 1},
        "data": "/pictures",
        "clip": "/clip",
        "start": {"name": "postcards-32", "sha256": "4b", "images_seen": 200_000, "notes": {}},
    }
    (tmp_path / "config.json").write_text(json.dumps(saved), encoding="utf-8")
    run = read_run(tmp_path)
    assert (run.data, run.config.clip, run.config.encoder, run.start) == (
        DataConfig.of("/pictures"),
        "/clip",
        "clip",
        saved["start"],
    )
    assert run.config == StyleGANTConfig(features="clip", clip="/clip", encoder="clip", critic_steps=1)
    # What came later must not change it.
    assert (
        run.config.pairs,
        run.config.prepared,
        run.config.logits,
        run.config.augment_target,
        run.config.frozen_to,
    ) == (
        True,
        True,
        "plain-term",
        0.0,
        0,
    )
    write_run(tmp_path, replace(run, config=run.config.changed(["kimg=500"])))
    assert read_run(tmp_path).config.kimg == 500


def test_a_file_of_wishes_changes_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "wishes.toml"
    path.write_text(
        'batch = 8\n"loss.guidance" = 1\n[run]\nrecipe = "lite-64"\ndata = "pictures"\n[trainer]\nkimg = 2\n', "utf-8"
    )
    wishes = read_settings_file(path)
    assert wishes.run == {"recipe": "lite-64", "data": "pictures"}
    config = gan_recipe("lite-64").updated(wishes.settings)
    assert config == replace(gan_recipe("lite-64"), batch=8, guidance=1.0, kimg=2.0)
    write_run(tmp_path, RunFile(config=config, data=DataConfig.of("pictures"), start={"notes": {}}))
    again = read_settings_file(tmp_path / "config.toml")
    assert gan_recipe("postcards").updated(again.settings) == config
    assert again.data == wishes.data == DataConfig.of("pictures")


def test_data_of_several_sources_go_through_toml(tmp_path: Path) -> None:
    places = (SourceSpec(place="/a b"), SourceSpec(place='/"c".zip', weight=2.5, template="a {}"))
    data = DataConfig(sources=places, mirror=True, memory_gb=0.5)
    write_run(tmp_path, RunFile(config=CONFIG, data=data))
    assert read_run(tmp_path).data == data
    assert read_settings_file(tmp_path / "config.toml").data == data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch = ", "expected TOML"),
        ("[data]\nmirror = true", "data: expected the sources"),
        ("[run]\nspeed = 'x'", r"\[run\]: unknown speed"),
        ("[run]\ndata = 3", r"expected \[run\] with text values"),
        ("[optim]\nbatch = 3", r"unknown table \[optim\]"),
        ("[model]\nbatch = 3", "did you mean trainer.batch"),
        ("batch = 'many'", "batch: expected a value like 16, got 'many'"),
        ("batch = true", "batch: expected a value like 16, got True"),
        ("batch = 2.5", "batch: expected a value like 16, got 2.5"),
        ("taps = ['a']", "taps: expected a value like"),
        ("batch = 0", "batch: expected a whole number from 1"),
    ],
)
def test_a_file_of_wishes_says_what_is_wrong_with_it(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wishes.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        CONFIG.updated(read_settings_file(path).settings)


def test_a_folder_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected the folder of a GAN run"):
        read_run(tmp_path)
    with pytest.raises(RunError, match="cannot read it"):
        read_settings_file(tmp_path / "absent.toml")
    (tmp_path / "config.toml").write_text("[run]\n", encoding="utf-8")
    with pytest.raises(RunError, match="could not read it"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 0}, "resolution: expected a number of pixels; 0 goes with preset 'start'"),
        ({"growth": 2}, "growth: .* goes with resolution 0"),
        ({"pairs": False, "diversity": 1.0}, "diversity: .* needs pairs"),
        ({"pairs": False, "diversity": 0.0, "reconstruction": 1.0}, "reconstruction: .* pairs"),
        ({"phase": "text", "reconstruction": 1.0}, "reconstruction: expected 0 in the text phase"),
        ({"phase": "both"}, "phase: expected one of generator, text"),
        ({"logits": "plain"}, "logits: expected one of"),
        ({"crops": 1.5}, "crops: expected a number from 0 to 1"),
        ({"clip": "start", "guidance": 0.1}, "guidance: a checkpoint has no image tower"),
        ({"clip": "start", "guidance": 0.0, "features": "clip"}, "features: a checkpoint has no image tower"),
        (
            {"clip": "start", "guidance": 0.0, "features": "timm:x", "metrics_kimg": 1.0, "metrics": ("fid", "clip")},
            "metrics_clip: a checkpoint has no image tower",
        ),
        ({"features": "dino"}, "features: expected 'clip', 'timm:...', 'open_clip:...', 'run:...'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(StyleGANTConfig(reconstruction=0.0), **changes)  # type: ignore[arg-type]
