"""Prompts, weights and blends of a model whose text encoder is the sentence encoder beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.checkpoints import CheckpointError, Header, load, save
from core.engine import Engine
from core.latents import blend_embeddings
from core.models import registry
from core.request import RenderRequest
from core.text import EncoderFileError, Standardisation
from core.text.encoder import WEIGHTS_VARIABLE
from core.text.sentence import SentenceEncoder, statistics_tensors

CAPTIONS = ["a red cat", "a blue dog", "a house by the sea", "a tulip in the snow", "two cars at night"]
CONFIG = {
    "resolution": 16,
    "text_dim": 384,
    "z_dim": 8,
    "base_channels": 256,
    "max_channels": 16,
    "convs_per_block": 1,
    "norm_groups": 4,
}


def write(path: Path, change: Callable[[dict[str, torch.Tensor]], None] = lambda tensors: None) -> Path:
    encoder = SentenceEncoder.open()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = registry.build("stylegan_t", CONFIG).state_dict()
    tensors = {f"generator.{name}": tensor for name, tensor in state.items()}
    statistics = statistics_tensors(Standardisation.of(encoder.encode(CAPTIONS)))
    tensors |= {f"text.{name}": tensor for name, tensor in statistics.items()}
    change(tensors)
    header = Header(
        name="sentence",
        family="stylegan_t",
        config=CONFIG,
        text=encoder.spec(),
        images_seen=1,
        vocabulary=("a", "cat", "dog"),
        licence="Apache-2.0",
    )
    save(path, header, tensors)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sentence") / "sentence.safetensors")


@pytest.fixture(scope="module")
def engine(path: Path) -> Engine:
    return Engine.open(path, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def rows() -> Callable[[str], torch.Tensor]:
    encoder = SentenceEncoder.open()
    return lambda text: encoder.encode([text])[0]


@pytest.fixture(scope="module")
def standardise() -> Standardisation:
    return Standardisation.of(SentenceEncoder.open().encode(CAPTIONS))


def condition(engine: Engine, **request: object) -> torch.Tensor:
    """[384]: what the generator was given of the text."""
    return engine.ws(RenderRequest(**request))[0, 0, CONFIG["z_dim"] :]


def test_the_generator_gets_the_standardised_embedding(engine: Engine, rows, standardise: Standardisation) -> None:
    for prompt in ("a red cat", "an automobile", ""):
        assert torch.allclose(condition(engine, prompt=prompt), standardise(rows(prompt)), atol=2e-4)
    assert engine.render(RenderRequest(prompt="a red cat")).pixels.shape == (16, 16, 3)
    assert engine.info.knows_english


def test_blends_are_on_the_sphere_and_standardised_last(engine: Engine, rows, standardise: Standardisation) -> None:
    a, b, c, d = map(rows, CAPTIONS[:4])
    between = blend_embeddings(a, b, 0.25)
    assert torch.allclose(
        condition(engine, prompt=CAPTIONS[0], prompt_b=CAPTIONS[1], blend=0.25), standardise(between), atol=2e-4
    )
    below = blend_embeddings(c, d, 0.25)
    prompts = dict(zip(("prompt", "prompt_b", "prompt_c", "prompt_d"), CAPTIONS[:4], strict=True))
    assert torch.allclose(
        condition(engine, **prompts, blend=0.25, blend_y=0.5),
        standardise(blend_embeddings(between, below, 0.5)),
        atol=2e-4,
    )


def test_weights_act_on_what_a_word_adds(engine: Engine, rows, standardise: Standardisation) -> None:
    whole, without = rows("a red cat"), rows("a cat")
    assert torch.allclose(condition(engine, prompt="a (red:0) cat"), standardise(without), atol=2e-4)
    more = F.normalize(whole + 0.5 * (whole - without), dim=0)
    assert torch.allclose(condition(engine, prompt="a (red:1.5) cat"), standardise(more), atol=2e-4)


def test_words_are_compared_by_unit_vectors(engine: Engine) -> None:
    found = engine.embeddings(["puppy", "dog", "castle"])
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2]


def test_a_checkpoint_without_its_encoder_says_where_to_get_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.text.minilm.resources.files", lambda package: Path("/no/such/folder"))
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    with pytest.raises(EncoderFileError, match=r"needs the file minilm-l6-int8\.safetensors"):
        Engine.open(path)
    assert load(path).header.text["kind"] == "minilm", "the file itself is read as ever"


def test_tensors_that_do_not_belong_are_the_checkpoints_fault(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"lacks tensors text\.\*"):
        write(tmp_path / "none.safetensors", lambda t: (t.pop("text.mean"), t.pop("text.std")))
    half = write(tmp_path / "half.safetensors", lambda tensors: tensors.pop("text.std"))
    with pytest.raises(CheckpointError, match=r"half\.safetensors: .*text\.std is missing"):
        Engine.open(half)
    flat = write(tmp_path / "flat.safetensors", lambda tensors: tensors["text.std"].zero_())
    with pytest.raises(CheckpointError, match="every std above 0"):
        Engine.open(flat)
