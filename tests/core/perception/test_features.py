"""Feature networks by name: where taps are taken, and what is said when weights cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from core.perception.feature_networks import open_feature_network
from core.perception.features import FeatureError, resize, spread_taps
from core.perception.timm_vit import TimmViT

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture(scope="module")
def network() -> TimmViT:
    torch.manual_seed(0)
    vit = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=32, depth=4, num_heads=2, num_classes=0
    )
    return TimmViT(vit, *IMAGENET)


def test_taps_are_spread_over_the_depth() -> None:
    assert spread_taps(12) == (0, 3, 6, 9, 12)  # StyleGAN-T's for DINO ViT-S/16
    assert spread_taps(6) == (0, 2, 3, 5, 6)
    assert spread_taps(4) == (0, 1, 2, 3, 4)
    assert spread_taps(2) == (0, 1, 2)
    with pytest.raises(ValueError, match="at least 1 layer"):
        spread_taps(0)


def test_a_timm_vit_gives_tokens_with_the_class_token_added(network: TimmViT) -> None:
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    features = network.features(x)
    assert features.embedding is None
    assert network.tap_blocks == (0, 1, 2, 3, 4)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in IMAGENET)
    vit = network.vit
    tokens = [vit._pos_embed(vit.patch_embed(((x + 1) / 2 - mean) / std))]
    for block in vit.blocks:
        tokens.append(block(tokens[-1]))
    for tap, expected, channels in zip(features.taps, tokens, network.tap_channels, strict=True):
        assert tap.shape == (2, channels, 16)
        torch.testing.assert_close(tap, (expected[:, 1:] + expected[:, :1]).transpose(1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "before", "classy"),
    [
        ("vit_tiny_patch16_224", 1, True),
        ("deit_tiny_distilled_patch16_224", 2, True),
        ("vit_tiny_patch16_224.registers", 5, True),
        ("vit_tiny_patch16_224.average", 0, False),
        ("eva02_tiny_patch14_224", 1, True),
        ("beit_base_patch16_224", 1, True),
        ("xcit_nano_12_p16_224", 0, False),
    ],
)
def test_any_vit_has_taps_of_its_patches(name: str, before: int, classy: bool) -> None:
    """Networks of timm with register tokens, without a class token, with positions of their own."""
    torch.manual_seed(0)
    model, _, kind = name.partition(".")
    options: dict[str, Any] = {"registers": {"reg_tokens": 4}, "average": {"class_token": False, "global_pool": "avg"}}
    if model.startswith(("vit", "deit", "beit")):
        options[kind] = options.get(kind, {}) | {"depth": 4, "embed_dim": 24, "num_heads": 2}
    vit = timm.create_model(model, num_classes=0, **options.get(kind, {}))
    network = TimmViT(vit, *IMAGENET)
    taps = network.features(torch.rand(1, 3, 32, 32)).taps
    assert network.prefix == before
    assert len(taps) == 5
    for tap, channels in zip(taps, network.tap_channels, strict=True):
        assert tap.shape == (1, channels, vit.patch_embed.num_patches)
    if classy:
        tokens: list[torch.Tensor] = []
        hook = vit.blocks[-1].register_forward_hook(lambda _block, _args, out: tokens.append(out))
        last = network.features(torch.rand(1, 3, 32, 32)).taps[-1]
        hook.remove()
        torch.testing.assert_close(last, (tokens[0][:, before:] + tokens[0][:, :1]).transpose(1, 2))


def test_gradients_reach_the_pictures_and_not_the_weights(network: TimmViT) -> None:
    network.train()
    assert not network.training
    x = torch.rand(1, 3, 64, 48, requires_grad=True)
    sum(tap.square().mean() for tap in network(x).taps).backward()
    assert x.grad is not None
    assert (x.grad != 0).float().mean() > 0.9
    assert all(p.grad is None for p in network.parameters())


def test_weights_can_come_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    name = "vit_tiny_patch16_224"
    vit = timm.create_model(name, pretrained=False)
    file = tmp_path / "model.safetensors"
    save_file(vit.state_dict(), file)
    network = open_feature_network(f"timm:{name}={file}")
    assert isinstance(network, TimmViT)
    assert network.image_size == 224
    assert torch.equal(network.vit.blocks[3].mlp.fc1.weight, vit.blocks[3].mlp.fc1.weight)


def test_weights_that_cannot_be_had_name_the_file_and_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no network\nmore lines")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(FeatureError) as error:
        open_feature_network("timm:vit_small_patch16_224.dino")
    assert "timm/vit_small_patch16_224.dino" in str(error.value)
    assert "timm:vit_small_patch16_224.dino=PATH/model.safetensors" in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(FeatureError, match="no such file"):
        open_feature_network(f"timm:vit_small_patch16_224.dino={tmp_path / 'missing.safetensors'}")
    with pytest.raises(FeatureError, match="timm has no model called 'vit_gigantic'"):
        open_feature_network("timm:vit_gigantic")


def test_a_damaged_file_and_a_network_that_is_no_vit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"not weights")
    with pytest.raises(FeatureError, match="cannot get the weights of vit_tiny_patch16_224 from the file"):
        open_feature_network(f"timm:vit_tiny_patch16_224={file}")
    resnet = timm.create_model("test_resnet", num_classes=0)
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: resnet)
    with pytest.raises(FeatureError, match="expected a Vision Transformer, got timm's ResNet"):
        open_feature_network("timm:resnet18")


def test_pictures_are_averaged_when_larger_and_untouched_when_they_fit() -> None:
    x = torch.rand(1, 3, 8, 8)
    assert resize(x, 8) is x
    torch.testing.assert_close(resize(x, 4), x.view(1, 3, 4, 2, 4, 2).mean(dim=(3, 5)))
    assert resize(x[:, :, :4, :6], 8).shape == (1, 3, 8, 8)
