"""open_clip models as the run's CLIP and as feature networks: small ones of random weights, read from a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from safetensors.torch import save_file

from core.checkpoints import load
from core.engine import Engine
from core.perception.clip import load_clip
from core.perception.clip_published import PublishedClip, open_published
from core.perception.feature_networks import open_feature_network
from core.perception.features import FeatureError
from core.perception.text_tower import build_tower, bundled_spec, load_tower, save_tower
from core.request import RenderRequest
from core.text import TextEncoderError, load_text_encoder
from tests.training.small import SMALL, train

TEXT = {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
MODELS: dict[str, dict[str, Any]] = {
    "test-small": {
        "embed_dim": 24,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 4, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": TEXT,
    },
    "test-timm": {
        "embed_dim": 24,
        "vision_cfg": {
            "timm_model_name": "test_vit",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 160,
        },
        "text_cfg": TEXT,
    },
    "test-residual": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": TEXT,
    },
    "test-tokenizer": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {**TEXT, "hf_tokenizer_name": "somebody/something"},
    },
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of random weights for models that open_clip is told of."""
    folder = tmp_path_factory.mktemp("models")
    for name, config in MODELS.items():
        (folder / f"{name}.json").write_text(json.dumps(config), encoding="utf-8")
    open_clip.add_model_config(folder)
    files = {}
    for name in MODELS:
        torch.manual_seed(0)
        model = open_clip.create_model(name, force_custom_text=True)
        files[name] = folder / f"{name}.safetensors"
        save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, files[name])
    return files


@pytest.fixture(scope="module")
def small(weights: dict[str, Path]) -> PublishedClip:
    return open_published(f"open_clip:test-small={weights['test-small']}")


def plain(weights: dict[str, Path], name: str) -> Any:
    return open_clip.create_model(name, pretrained=str(weights[name]), force_custom_text=True).eval()


@pytest.mark.parametrize("name", ["test-small", "test-timm"])
def test_embeddings_are_open_clips_own(name: str, weights: dict[str, Path]) -> None:
    model, reference = open_published(f"open_clip:{name}={weights[name]}"), plain(weights, name)
    size, prompts = model.image_size, ["a red square", "", "a much longer caption than twenty tokens " * 4]
    x = torch.rand(2, 3, size, size)
    normalise = open_clip.image_transform(size, is_train=False).transforms[-1]
    with torch.no_grad():
        torch.testing.assert_close(model.encode_image(x * 2 - 1), reference.encode_image(normalise(x), normalize=True))
        tokens = open_clip.get_tokenizer(name)(prompts)
        torch.testing.assert_close(
            model.encode_text(prompts), reference.encode_text(tokens, normalize=True), rtol=1e-4, atol=1e-5
        )
    assert model.encode_text([]).shape == (0, 24)


def test_taps_are_the_blocks_tokens_with_the_class_token_added(small: PublishedClip, weights: dict[str, Path]) -> None:
    visual = plain(weights, "test-small").visual
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
        tokens = [visual._embeds(((x + 1) / 2 - mean) / std)]
        for block in visual.transformer.resblocks:
            tokens.append(block(tokens[-1]))
        taps = small.features(x).taps
    assert small.tap_blocks == (0, 1, 2, 3, 4)
    assert small.tap_channels == (32,) * 5
    for tap, expected in zip(taps, tokens, strict=True):
        torch.testing.assert_close(tap, (expected[:, 1:] + expected[:, :1]).transpose(1, 2), rtol=1e-4, atol=1e-5)


def test_a_timm_tower_and_a_feature_network_without_text(weights: dict[str, Path]) -> None:
    network = open_feature_network(f"open_clip:test-timm={weights['test-timm']}")
    assert isinstance(network, PublishedClip)
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    taps = network.features(x).taps
    depth = len(timm.create_model("test_vit").blocks)
    assert len(taps) == len(network.tap_channels) <= depth + 1
    sum(tap.square().mean() for tap in taps).backward()  # type: ignore[union-attr]
    assert x.grad is not None
    assert all(parameter.grad is None for parameter in network.parameters())
    # A tokenizer from elsewhere matters to prompts alone.
    assert open_feature_network(f"open_clip:test-tokenizer={weights['test-tokenizer']}").image_size == 32
    with pytest.raises(FeatureError, match="hf_tokenizer_name"):
        open_published(f"open_clip:test-tokenizer={weights['test-tokenizer']}")


def test_what_cannot_be_had_names_the_file(
    weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FeatureError, match="open_clip has no model called 'ViT-Gigantic'"):
        open_published("open_clip:ViT-Gigantic/openai")
    with pytest.raises(FeatureError, match="no weights 'mine' for ViT-B-32: .*laion2b"):
        open_published("open_clip:ViT-B-32/mine")
    with pytest.raises(FeatureError, match="take ViT-B-32-quickgelu/openai"):
        open_published("open_clip:ViT-B-32/openai")
    with pytest.raises(FeatureError, match="absent.safetensors: no such file"):
        open_published(f"open_clip:ViT-B-32={tmp_path / 'absent.safetensors'}")
    with pytest.raises(FeatureError, match="not the weights of test-small"):
        open_published(f"open_clip:test-small={weights['test-timm']}")
    with pytest.raises(FeatureError, match="test-residual: expected an image tower that is a Vision Transformer"):
        open_published(f"open_clip:test-residual={weights['test-residual']}")
    monkeypatch.setenv("GLISSANDO_TEXT_WEIGHTS", str(tmp_path))
    with pytest.raises(FeatureError, match="ViT-L-14-quickgelu.openai.safetensors"):
        open_published("open_clip:ViT-L-14-quickgelu/openai")


def test_a_run_on_a_published_clip_and_its_text_phase(
    weights: dict[str, Path], small: PublishedClip, small_data: Path, tmp_path: Path
) -> None:
    clip = f"open_clip:test-small={weights['test-small']}"
    config = replace(SMALL, guidance_crop=8, kimg=0.008)
    train(config, small_data, clip, tmp_path / "first")
    second = replace(config, phase="text", learning_rate_g=1e-2)
    latest = train(second, small_data, clip, tmp_path / "second", start=tmp_path / "first")
    header = load(latest).header
    assert header.text == {"kind": "bundled", "embed_dim": 24, "text_cfg": TEXT, "quick_gelu": True}
    assert header.notes["config"]["clip"] == "open_clip:test-small=test-small.safetensors"
    assert Engine.open(latest).render(RenderRequest(prompt="a red square")).pixels.shape == (16, 16, 3)
    # The tower as the explorer reads it is the tower as it was trained.
    text = load(latest).part("text")
    encoder = load_text_encoder(header.text, {name: tensor.float() for name, tensor in text.items()})
    tuned = build_tower(header.text, text)
    torch.testing.assert_close(encoder.encode(["a red square"]), tuned(["a red square"]), rtol=1e-4, atol=1e-5)
    assert (tuned(["a red square"]) - small.encode_text(["a red square"])).abs().max() > 1e-3


def test_a_published_tower_is_named_where_it_was_not_changed(weights: dict[str, Path]) -> None:
    clip = plain(weights, "test-small")
    named = PublishedClip(clip, MODELS["test-small"], tag="openai", name="ViT-L-14-quickgelu/openai")
    assert named.text_spec() == {"kind": "open_clip", "model": "ViT-L-14-quickgelu", "pretrained": "openai"}
    assert named.text_state_dict() == {}
    assert named.tower.text_spec()["kind"] == "bundled"


def test_a_tower_is_kept_beside_the_run(small_clip: Path, tmp_path: Path) -> None:
    tower = load_clip(small_clip).tower
    save_tower(tmp_path / "text.safetensors", tower)
    again = load_tower(tmp_path / "text.safetensors")
    prompts = ["a red square", "something longer to be read", ""]
    assert torch.equal(again(prompts), tower(prompts))
    torch.testing.assert_close(tower(prompts), load_clip(small_clip).encode_text(prompts))
    (tmp_path / "text.safetensors").write_bytes(b"torn")
    with pytest.raises(TextEncoderError, match="expected the text tower"):
        load_tower(tmp_path / "text.safetensors")
    spec = tower.text_spec()
    with pytest.raises(TextEncoderError, match="text tower"):
        build_tower(spec, {"ln_final.weight": torch.zeros(3)})
    with pytest.raises(TextEncoderError, match="not one of CLIP's own"):
        bundled_spec(8, {"width": 8, "hf_model_name": "x"})
