"""Projected GAN's FastGAN files become ours, spectral normalisation included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.checkpoints import load
from core.checkpoints.importing import import_file
from core.checkpoints.pickles import Published, PublishedError
from core.checkpoints.published import Conversion, convert
from tests.core.checkpoints.conftest import LIMITS
from tests.core.checkpoints.published_fastgan import CLASSES, FAST_256, fastgan_model, fastgan_shell
from tests.core.checkpoints.published_models import assert_same_pictures, edited, file_of, saved


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("FastGAN", {}),
        ("FastGAN-lite", FAST_256 | {"lite": True}),
        ("FastGAN", CLASSES),
        ("FastGAN-lite", CLASSES | {"lite": True}),
    ],
)
def test_fastgan(imported: Callable[[nn.Module], Conversion], kind: str, changes: dict[str, Any]) -> None:
    model = fastgan_model(**changes)
    conversion = imported(fastgan_shell(model))
    assert (conversion.kind, conversion.family) == (kind, "fastgan")
    assert conversion.classes == changes.get("c_dim", 0)
    assert conversion.dropped == conversion.assumed == ()
    assert_same_pictures(conversion, model)


def test_layers_that_no_picture_sees(imported: Callable[[nn.Module], Conversion]) -> None:
    model = fastgan_model()
    file, larger = fastgan_shell(model), fastgan_shell(fastgan_model(**FAST_256))
    for name in ("feat_256", "se_256"):
        file.get_submodule("synthesis").add_module(name, larger.get_submodule(f"synthesis.{name}"))
    conversion = imported(file)
    assert conversion.dropped == ("synthesis.feat_256", "synthesis.se_256")
    assert_same_pictures(conversion, model)


def test_a_checkpoint_of_it(tmp_path: Path) -> None:
    path = tmp_path / "fast.pkl"
    path.write_bytes(file_of(fastgan_shell(fastgan_model(lite=True))))
    report = import_file(path, tmp_path / "out.safetensors", limits=LIMITS)
    assert (report.kind, report.size, report.classes) == ("FastGAN-lite", (128, 128), 0)
    checkpoint = load(report.path)
    assert checkpoint.part("generator")["synthesis.feat_8.2.num_batches_tracked"].dtype == torch.int64
    assert checkpoint.header.class_names == ()


HOOK = "an object of torch.nn.utils.spectral_norm.SpectralNorm"


def test_each_fault_has_its_message(published: Callable[[bytes], Published]) -> None:
    file = published(file_of(fastgan_shell(fastgan_model(**CLASSES))))
    convolution = "synthesis.feat_8.conv1"
    assert HOOK in file.content.children["synthesis"].children["to_big"].hooks  # type: ignore[union-attr]
    for path, value, message in [
        ("synthesis.to_big.hooks", ("an object of somebody.Hook",), "synthesis.to_big: expected no hooks, got an obj"),
        ("synthesis.feat_8.bn1.hooks", (HOOK,), "synthesis.feat_8.bn1: expected no hooks without weight_orig"),
        ("hooks", (HOOK,), "the generator: expected no hooks without weight_orig"),
        (f"{convolution}.weight_u", None, f"lacks tensor {convolution}.weight_u"),
        (f"{convolution}.weight_v", torch.ones(2), "expected vectors of 8 and 45, got [8] and [2]"),
        (f"{convolution}.weight_v", torch.zeros(45), "expected finite values after spectral normalisation"),
        (f"{convolution}.weight_v", torch.ones(45).double(), "expected the type of torch.float32, got torch.float64"),
        (f"{convolution}.weight_orig", torch.ones(3), "weight_orig: expected 2 or 4 dimensions, got [3]"),
        (f"{convolution}.weight_orig", None, f"{convolution}: expected no hooks without weight_orig"),
        (f"{convolution}.padding", (0, 0), f"{convolution}.padding: expected [1, 1], got [0, 0]"),
        (f"{convolution}.groups", 2, f"{convolution}.groups: expected 1, got 2"),
        ("synthesis.init.init.0.transposed", False, "synthesis.init.init.0.transposed: expected True, got False"),
        ("synthesis.feat_8.up.mode", "bilinear", "synthesis.feat_8.up.mode: expected 'nearest', got 'bilinear'"),
        ("synthesis.feat_8.bn1.eps", 1e-3, "synthesis.feat_8.bn1.eps: expected 1e-05, got 0.001"),
        ("synthesis.feat_8.bn1.stored_var", None, "synthesis.feat_8.bn1.stored_var: expected [8], got no such tensor"),
        ("synthesis.feat_8.bn1.spare", torch.ones(2), "synthesis.feat_8.bn1.spare: expected no such tensor"),
        ("synthesis.embed.max_norm", 1.0, "synthesis.embed.max_norm: expected None, got 1.0"),
        ("synthesis.embed", None, "synthesis.feat_8.1.weight: expected [8, 5, 3, 3], got no such tensor"),
        ("synthesis.init", None, "synthesis.init.init.0.weight: expected it, got none"),
        ("synthesis", None, "expected a generator of FastGAN"),
        ("c_dim", 0, "c_dim: expected the number of classes"),
        ("c_dim", 5, "c_dim: expected at most embed_classes, 4, got 5"),
        ("c_dim", "three", "c_dim: expected a number, got 'three'"),
    ]:
        with pytest.raises(PublishedError) as caught:
            convert(edited(file, path, value))
        assert message in str(caught.value), path
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600


def test_state_dicts(published: Callable[[bytes], Published]) -> None:
    model = fastgan_model(lite=True)
    conversion = convert(published(saved(fastgan_shell(model).state_dict())))
    assert conversion.kind == "FastGAN-lite"
    assert len(conversion.assumed) == 1
    assert_same_pictures(conversion, model)
    classes = fastgan_shell(fastgan_model(lite=True, **CLASSES)).state_dict()
    with pytest.raises(PublishedError, match="does not say how many of its 4 were learned. Import the .pkl"):
        convert(published(saved(classes)))
