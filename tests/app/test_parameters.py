"""Pictures of other programs: their `parameters` text."""

from __future__ import annotations

import pytest

from app.images import parameters_text
from app.parameters import Parameters, read_parameters
from core.request import RenderRequest
from tests.app.test_images import INFO

FOREIGN = """a lighthouse at dusk, (masterpiece:1.2), oil painting
Negative prompt: blurry, low quality,
Steps: 3, badly drawn
Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 2834760194, Size: 512x768, Model hash: 6ce0161689, \
Model: v1-5-pruned-emaonly, Denoising strength: 0.4, Hires upscale: 2, Lora hashes: "x: 0123, y: 4567", Version: v1.6.0
"""


def test_a_foreign_picture_gives_prompt_and_seed():
    read = read_parameters(FOREIGN)
    assert read == Parameters(prompt="a lighthouse at dusk, (masterpiece:1.2), oil painting", seed=2834760194)
    assert read.place == (94.0, 28347601.0)


@pytest.mark.parametrize(
    ("text", "prompt", "seed"),
    [
        ("", "", None),
        ("only words, and: a colon", "only words, and: a colon", None),
        ("two\nlines\nSteps: 1, Seed: 7, Size: 1x1", "two\nlines", 7),
        ("Steps: 1, Seed: 7, Size: 1x1", "", 7),
        ("x\nSteps: 1, Seed: -1, Size: 1x1", "x", 2**32 - 1),
        ("x\nSteps: 1, Seed: 123456789012345678901, Size: 1x1", "x", 123456789012345678901 % 2**32),
        ("x\nSteps: 1, Seed: 1e5, Size: 1x1", "x", None),
        ('x\nNegative prompt: y\nSteps: 1, Seed: 3, Model: "a, b"', "x", 3),
    ],
)
def test_forms(text, prompt, seed):
    read = read_parameters(text)
    assert (read.prompt, read.seed) == (prompt, seed)


@pytest.mark.parametrize("request_", [
    RenderRequest(prompt="a house, and: a tree", seed_x=7, seed_y=2, psi=0.7),
    RenderRequest(prompt="", seed_x=1.5, seed_y=-0.25),
])  # fmt: skip
def test_our_own_come_back(request_):
    read = read_parameters(parameters_text(request_, INFO, width=64, height=64))
    assert read.prompt == request_.prompt
    assert read.place == (request_.seed_x, request_.seed_y)
    assert read.psi == request_.psi
