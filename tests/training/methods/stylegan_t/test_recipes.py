"""Every recipe trains two steps on the CPU, with small stand-ins for its networks, by settings alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.checkpoints import load
from core.engine import Engine
from core.request import RenderRequest
from core.runlog import read_log
from tests.training.small import SHAPE, SMALL, train
from training.methods.stylegan_t.recipes import GAN_RECIPES, gan_recipe

STAND_INS = ("batch=4", "kimg=0.012", "log_steps=1", "grid_seeds=1", "prompts=a", "evaluate_kimg=0", "critic_kimg=0")
GROWN = {"grow": 32, "text-encoder": 16, "fine-tune": 16}
"""Side of the pictures of the recipes that start from a run of 16 px."""


@pytest.fixture(scope="module")
def start(small_data: Path, small_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("start") / "run"
    train(SMALL.changed(["logits=paper", "pixel_channels=0"]), small_data, small_clip, out)
    return out


@pytest.mark.parametrize("name", GAN_RECIPES)
def test_a_recipe_trains_two_steps(name: str, start: Path, small_data: Path, small_clip: Path, tmp_path: Path) -> None:
    recipe = gan_recipe(name)
    features = f"run:{small_clip}" if name == "fine-tune" else "clip"
    settings = [*STAND_INS, f"features={features}", "taps=0,1"]
    if name in GROWN:
        settings += ["frozen_to=16"] if name == "grow" else []
    else:
        settings += ["resolution=16", *SHAPE]
    clip = recipe.clip if name == "fine-tune" else small_clip
    settings += [f"clip={clip}"]
    if recipe.regresses:  # with latents: test_paired.py
        settings += ["paired=0", "paired_kimg=0", "choices="]
    begin = start if name in ("grow", "text-encoder") else start / "latest.safetensors"
    out = tmp_path / "run"
    latest = train(recipe.changed(settings), small_data, clip, out, start=begin if name in GROWN else None)

    rows = read_log(out / "log.jsonl", "train")
    assert len(rows) >= 2
    names = {"loss_d", "loss_g"} | ({"guidance"} if recipe.guidance and recipe.taps_every == 1 else set())
    assert all(np.isfinite(row[figure]) for row in rows for figure in names)
    side = GROWN.get(name, 16)
    assert load(latest).header.config["resolution"] == side
    assert Engine.open(latest).render(RenderRequest(prompt="a red square")).pixels.shape == (side, side, 3)


def test_the_papers_numbers() -> None:
    lite = gan_recipe("lite-64")
    assert (lite.batch, lite.learning_rate_g, lite.learning_rate_d, lite.guidance) == (2048, 2e-3, 2e-3, 0.2)
    assert (lite.blur_sigma, lite.augment, lite.taps) == (32.0, ("color", "translation", "cutout"), (0, 1, 2, 3, 4))
    assert lite.ema_half_life == 10 / 32
    text = gan_recipe("text-encoder")
    assert (text.phase, text.guidance, text.learning_rate_g) == ("text", 50.0, 3e-6)
    assert gan_recipe("grow").frozen_to == 64
