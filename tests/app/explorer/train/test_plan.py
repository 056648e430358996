"""What the Train panel is to train: as words for the trainer, and kept between sessions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app import cli
from app.explorer.storage.settings import Settings, SettingsStore
from app.explorer.train.plan import RECIPES, DataSource, TrainingPlan, pairs
from training.datasets.config import SourceSpec


def words(**fields: Any) -> list[str]:
    return TrainingPlan(recipe="tiny", out="/runs/new", **fields).arguments()[2:]


def test_the_recipes_are_the_trainers() -> None:
    from training.methods.stylegan_t.recipes import GAN_RECIPES

    assert set(RECIPES) == set(GAN_RECIPES)


def test_one_source_is_what_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert words(sources=(DataSource(place=" ~/cats=2 "),)) == ["--data=/home/ada/cats=2"]
    assert words(sources=(DataSource(), DataSource(place="cats", weight=3.0), DataSource(place=" "))) == ["--data=cats"]
    # A folder of nobody is a folder's name.
    assert TrainingPlan(out="~nobody-of-that-name/run").run == Path("~nobody-of-that-name/run")
    assert not TrainingPlan(out="/" + "x" * 5000).resumes


@pytest.mark.parametrize(
    ("place", "weight"),
    [
        ("cats", 1.0),
        ("cats", 2.5),
        ("a=b", 1.0),
        ("year=2024", 1.0),
        ("year=2024", 0.01),
        ("cats.zip", 100.0),
        ("https://example.org/{00000..00099}.tar", 0.3333),
        ("https://example.org/a.tar?key=7", 1.0),
    ],
)
def test_the_trainer_reads_a_source_as_it_was_meant(place: str, weight: float) -> None:
    source = DataSource(place=place, weight=weight)
    assert words(sources=(source, DataSource(place="dogs")))[0] == f"--data={source.argument}"
    assert SourceSpec.parse(source.argument) == SourceSpec(place=place, weight=weight)


def test_an_address_that_takes_no_weight() -> None:
    with pytest.raises(ValueError, match="an address with a query takes no weight"):
        words(sources=(DataSource(place="https://example.org/a.tar?key=7", weight=2.0), DataSource(place="dogs")))


def test_settings_are_words(tmp_path: Path) -> None:
    text = "kimg=50  trainer.batch=16 'prompts=a house,a sea' mirror=true crop=random features=C:\\nets"
    settings = ["--set=kimg=50", "--set=trainer.batch=16", "--set=prompts=a house,a sea"]
    assert words(settings=text) == [*settings, "--mirror", "--crop=random", "--set=features=C:\\nets"]
    (tmp_path / "config.toml").touch()
    # What says how pictures are read was settled when the run began.
    assert TrainingPlan(out=str(tmp_path), settings=text).arguments() == [
        f"--resume={tmp_path}",
        *settings,
        "--set=features=C:\\nets",
    ]
    assert words(settings="mirror=false") == []
    with pytest.raises(ValueError, match="mirror: expected a value like true, got 'x'"):
        words(settings="mirror=x")
    with pytest.raises(ValueError, match="a quote is not closed"):
        pairs("prompts='a house")


def test_the_command_line_takes_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = TrainingPlan(
        recipe="lite-64",
        sources=(DataSource(place="-cats", weight=2.0), DataSource(place="dogs=1")),
        clip="open_clip:A/b",
        start="/runs/old",
        out="-new",
        settings="kimg=3 mirror=true resize=lanczos 'template=a photo of a {}' batch",
    )
    taken: list[Any] = []
    monkeypatch.setattr("app.commands.train.run_gan", lambda args: taken.append(args) or 0)
    assert cli.main(["train", "gan", *plan.arguments()]) == 0
    (args,) = taken
    assert (args.recipe, args.out, args.clip, args.start) == (
        "lite-64",
        Path("-new"),
        "open_clip:A/b",
        Path("/runs/old"),
    )
    assert args.data == ["-cats=2", "dogs=1=1"]
    assert args.set == ["kimg=3", "batch"]
    assert (args.mirror, args.resize, args.template) == (True, "lanczos", "a photo of a {}")


@pytest.mark.parametrize(
    "fields",
    [
        {"recipe": "none"},
        {"sources": ()},
        {"sources": (DataSource(),) * 101},
        {"clip": "\0"},
        {"out": "\ud800"},
        {"settings": "\0"},
    ],
)
def test_what_can_be_no_plan(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        TrainingPlan(**fields)


@pytest.mark.parametrize("weight", [0.0, -1.0, 101.0, float("nan"), float("inf")])
def test_what_can_be_no_weight(weight: float) -> None:
    with pytest.raises(ValueError, match="weight: expected"):
        DataSource(place="cats", weight=weight)


def test_it_is_kept_with_the_settings(tmp_path: Path) -> None:
    plan = TrainingPlan(
        recipe="grow",
        sources=(DataSource(place="/cats 🐈"), DataSource(place="dogs", weight=2.0)),
        clip="c",
        start="s",
        out="o",
        settings="kimg=1",
    )
    store = SettingsStore(tmp_path)
    assert store.save_settings(Settings(theme="light", training=plan)) is None
    assert store.load_settings() == (Settings(theme="light", training=plan), None)


@pytest.mark.parametrize(
    "training",
    [
        5,
        None,
        {"recipe": "none"},
        {"recipe": ["tiny"]},
        {"sources": []},
        {"sources": [{"place": 5}]},
        {"sources": [{"place": "x", "weight": 1e999}]},
        {"sources": [{"place": "x", "weight": 0}]},
        {"sources": [{"place": "x", "run": "rm"}]},
        {"out": "a\0b"},
        {"out": "\ud800"},
        {"from_the_future": 1},
    ],
)
def test_a_damaged_plan_costs_nothing_else(tmp_path: Path, training: object) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"theme": "light", "training": training}))
    settings, problem = SettingsStore(tmp_path).load_settings()
    assert settings == Settings(theme="light")
    assert problem is not None
    assert problem.startswith("Some settings start afresh: ")
