"""Feature maps of every family: each layer that a generator names can be heard, and is as large as it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.checkpoints import CheckpointError
from core.engine import Engine, EngineError
from core.layer_view import LayerView
from core.request import RenderRequest
from tests.core.test_engine_families import CONFIGS, write

REQUEST = RenderRequest(prompt="sea", seed_x=3.0)


@pytest.fixture(params=[*CONFIGS, "stylegan_t"])
def path(request: pytest.FixtureRequest, tmp_path: Path, tiny_checkpoint: Path) -> Path:
    return tiny_checkpoint if request.param == "stylegan_t" else write(tmp_path / "m.safetensors", request.param)


@pytest.fixture(params=["float32", "auto"])
def engine(request: pytest.FixtureRequest, path: Path) -> Engine:
    """By name, float32 is the plain synthesis, which is looked into as it is; else the weights are read again."""
    return Engine.open(path, device="cpu", precision=request.param)


def test_every_layer_has_the_shape_that_it_says(engine: Engine) -> None:
    for layer in engine.info.layers:
        maps = engine.features(REQUEST, layer.name)
        assert maps.dtype == np.float32
        assert maps.shape == (layer.channels, *layer.size), layer.name
        assert maps.std() > 0, layer.name
    types = engine.layer_types()
    assert list(types) == [layer.name for layer in engine.info.layers]
    assert set(types.values()) <= {"float32", engine.info.precision}


def test_a_layer_shows_the_request_it_was_asked_for(engine: Engine) -> None:
    last = engine.info.layers[-1].name
    first = engine.features(REQUEST, last)
    assert np.array_equal(first, engine.features(REQUEST, last))
    assert not np.array_equal(first, engine.features(RenderRequest(prompt="sea", seed_x=4.0), last))
    quiet = engine.features(RenderRequest(prompt="sea", seed_x=3.0, noise="none"), last)
    assert np.array_equal(first, quiet) != engine.info.has_noise


def test_looking_in_leaves_the_pictures_as_they_are(engine: Engine) -> None:
    before = engine.render(REQUEST).pixels
    for layer in engine.info.layers:
        engine.features(REQUEST, layer.name)
    assert np.array_equal(engine.render(REQUEST).pixels, before)


def test_what_a_layer_puts_out_is_kept_from_the_one_after_it(tiny_checkpoint: Path) -> None:
    """Layers write into their input; what was heard before them stays."""
    from core.checkpoints import load
    from core.engine import load_generator

    engine = Engine.open(tiny_checkpoint, device="cpu", precision="float32")
    generator = load_generator(load(tiny_checkpoint))
    with torch.inference_mode():
        ws = engine.ws(REQUEST)
        x = generator.get_submodule("input")(ws[:, 0])
        heard = LayerView(generator, torch.float32).maps("input", ws)
    assert np.array_equal(heard, x[0].numpy())


def test_the_last_layer_is_the_picture_where_rgb_is_one(tmp_path: Path) -> None:
    engine = Engine.open(write(tmp_path / "m.safetensors", "fastgan"), device="cpu", precision="float32")
    rgb = engine.features(REQUEST, "synthesis.to_big")
    expected = np.clip(np.round(rgb * 127.5 + 127.5), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    assert np.array_equal(engine.render(REQUEST).pixels, expected)


def test_half_precision_is_named(tiny_checkpoint: Path) -> None:
    engine = Engine.open(tiny_checkpoint, device="cpu", precision="bfloat16")
    types = engine.layer_types()
    assert types["input"] == types["blocks.0.to_rgb"] == "float32"
    assert types["blocks.0.layers.0"] == "bfloat16"


def test_what_cannot_be_looked_into(tmp_path: Path) -> None:
    path = write(tmp_path / "m.safetensors", "stylegan2")
    engine = Engine.open(path, device="cpu", precision="auto")
    with pytest.raises(EngineError, match="layer: model has none of the name 'mapping'"):
        engine.features(REQUEST, "mapping")
    write(path, "stylegan3")
    with pytest.raises(CheckpointError, match="the file has changed since it was opened"):
        engine.features(REQUEST, engine.info.layers[0].name)
