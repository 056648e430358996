"""StyleGAN-XL's files become ours: stems and generators that grew, with and without classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from core.checkpoints.pickles import Published, PublishedError
from core.checkpoints.published import Conversion, convert
from core.models import stylegan_xl
from tests.core.checkpoints import published_models as models
from tests.core.checkpoints.lookalikes import EasyDict
from tests.core.checkpoints.published_models import assert_same_pictures, edited, file_of, saved
from tests.core.models.test_stylegan_xl import TINY, grown

NAMES = ("L0_12_4", "L1_12_4", "L7_36_5", "L8_34_6", "L9_34_3")
GROWN: dict[str, Any] = {"layers": grown(), "names": NAMES, "input": stylegan_xl.Config(**TINY).input_spec}


@pytest.mark.parametrize(
    ("changes", "kwargs"),
    [
        ({}, {}),
        ({"c_dim": 3}, {"synthesis_kwargs": EasyDict(channel_base=65536)}),
        (GROWN | {"c_dim": 2}, {"path_stem": "stem.pkl", "head_layers": [3], "up_factor": [2]}),
        (GROWN, {"path_stem": "stem.pkl", "synthesis_kwargs": EasyDict(head_layers=[3])}),
    ],
)
def test_stylegan_xl(
    imported: Callable[[nn.Module], Conversion], changes: dict[str, Any], kwargs: dict[str, Any]
) -> None:
    model = models.stylegan_xl_model(**changes)
    conversion = imported(models.stylegan3_shell(model, **kwargs))
    assert (conversion.kind, conversion.family) == ("StyleGAN-XL", "stylegan_xl")
    assert conversion.classes == changes.get("c_dim", 0)
    assert conversion.size == ((32, 34) if "layers" in changes else (16, 16))
    assert conversion.config["embed_classes"] == 6  # the table is kept without classes too
    assert conversion.assumed == conversion.dropped == ()
    assert_same_pictures(conversion, model)


def test_each_fault_has_its_message(published: Callable[[bytes], Published]) -> None:
    model = models.stylegan_xl_model(**GROWN, c_dim=2)
    file = published(file_of(models.stylegan3_shell(model, path_stem="stem.pkl")))
    for path, value, message in [
        ("mapping.embed_proj.activation", "relu", "mapping.embed_proj.activation: expected 'lrelu', got 'relu'"),
        ("mapping.embed.max_norm", 1.0, "mapping.embed.max_norm: expected None, got 1.0"),
        ("mapping.embed", None, "mapping.embed: expected a module, got none among"),
        ("mapping.embed_proj", None, "lacks tensors mapping.embed_proj.weight, mapping.embed_proj.bias"),
        ("mapping.embed_proj.bias", None, "lacks tensors mapping.embed_proj.bias"),
        ("mapping.w_avg", torch.ones(3, 7), "tensor mapping.w_avg: expected shape [2, 7], got [3, 7]"),
        ("mapping.c_dim", 0, "has spare tensors mapping.embed_proj.weight"),
        ("mapping.c_dim", 7, "c_dim: expected at most embed_classes, 6, got 7"),
        ("mapping.z_dim", 10**400, "mapping.z_dim: expected a number, got 1000000"),
        ("mapping.embed_proj.bias_gain", 10**400, "mapping.embed_proj.bias_gain: expected 1.0, got 1000000"),
        ("mapping.fc0.bias_gain", 0.5, "bias_gain: expected the same for all layers"),
        ("synthesis.L7_36_5.magnitude_ema", None, "lacks tensors synthesis.L7_36_5.magnitude_ema"),
        ("synthesis.L7_36_5.other", torch.ones(2), "has spare tensors synthesis.L7_36_5.other"),
        ("synthesis.L7_36_5.in_cutoff", "low", "synthesis.L7_36_5.in_cutoff: expected a number, got 'low'"),
        ("synthesis.L7_36_5.up_taps", 8, "taps for each step: expected the same for all layers"),
        ("synthesis.L7_36_5.padding", [1, 1, 1, 1], "synthesis.L7_36_5.padding: expected"),
        ("synthesis.L7_36_5.in_size", torch.ones(9), "synthesis.L7_36_5.in_size: expected width and height"),
        ("synthesis.layer_names", list(NAMES[:2]), "synthesis: expected a last layer of 3 channels, got 4"),
        ("synthesis.layer_names", ["L0"], "synthesis.L0: expected a module"),
        ("hooks", ("an object of somebody.Hook",), "the generator: expected no hooks, got an object of somebody.Hook"),
    ]:
        with pytest.raises(PublishedError) as caught:
            convert(edited(file, path, value))
        assert message in str(caught.value), path
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600


@pytest.mark.parametrize("classes", [0, 3])
def test_state_dicts_of_stems(published: Callable[[bytes], Published], classes: int) -> None:
    rule = {"z_dim": 16, "w_dim": 16, "base_channels": 64, "max_channels": 3, "embed_classes": 4, "embed_features": 5}
    config = stylegan_xl.Config(c_dim=classes, **rule)
    model = models.stirred(lambda: stylegan_xl.Generator(config))
    conversion = convert(published(saved(model.state_dict())))
    assert (conversion.kind, conversion.classes) == ("StyleGAN-XL", classes)
    assert "mapping at a learning rate of 0.01" in conversion.assumed
    assert_same_pictures(conversion, model)


def test_state_dicts_of_grown_generators(published: Callable[[bytes], Published]) -> None:
    model = models.stylegan_xl_model(**GROWN, z_dim=16, w_dim=16, c_dim=2)
    with pytest.raises(PublishedError, match="expected .*StyleGAN3's published schedule, got .* Import the .pkl that"):
        convert(published(saved(model.state_dict())))
