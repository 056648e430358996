"""R3GAN's files become ours: plain modules by the names of their classes, none of which is ever imported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints import load
from core.checkpoints.importing import import_file
from core.checkpoints.pickles import Published, PublishedError
from core.checkpoints.published import convert
from tests.core.checkpoints.conftest import LIMITS
from tests.core.checkpoints.published_models import assert_same_pictures, edited, saved
from tests.core.checkpoints.published_r3gan import CLASSES, r3gan_file, r3gan_model, r3gan_shell

Read = Callable[[bytes], Published]


@pytest.mark.parametrize("changes", [{}, CLASSES, {"blocks": 1}])
def test_a_generator(published: Read, changes: dict[str, Any]) -> None:
    model = r3gan_model(**changes)
    conversion = convert(published(r3gan_file(r3gan_shell(model))))
    assert (conversion.kind, conversion.family) == ("R3GAN", "r3gan")
    assert conversion.classes == changes.get("c_dim", 0)
    assert conversion.size == (16, 16)
    assert conversion.dropped == conversion.assumed == ()
    assert_same_pictures(conversion, model)


def test_a_state_dict_of_it(published: Read) -> None:
    model = r3gan_model(**CLASSES)
    state = {name: tensor.detach() for name, tensor in r3gan_shell(model).state_dict().items()}
    assert_same_pictures(convert(published(saved(state))), model)


def test_a_checkpoint_of_it(tmp_path: Path) -> None:
    path = tmp_path / "r3gan.pkl"
    path.write_bytes(r3gan_file(r3gan_shell(r3gan_model())))
    report = import_file(path, tmp_path / "out.safetensors", limits=LIMITS)
    assert (report.kind, report.size, report.classes) == ("R3GAN", (16, 16), 0)
    assert load(report.path).header.config["groups"] == [2, 4, 2]


BLOCK = "Model.MainLayers.1.Layers.2"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("Model.MainLayers.1.Layers.0.Resampler.Kernel", torch.ones(4, 4), "Resampler.Kernel: expected the filter"),
        (f"{BLOCK}.LinearLayer2.Layer.weight", None, "lacks tensors MainLayers.1.Layers.2.LinearLayer2.Layer.weight"),
        (f"{BLOCK}.NonLinearity1.Bias", torch.zeros(3), r"NonLinearity1.Bias: expected shape \[16\], got \[3\]"),
        ("Model.MainLayers.0.Layers.0.Spare", torch.zeros(3), "spare tensors MainLayers.0.Layers.0.Spare"),
        ("Model.MainLayers.2.Layers.2", None, "blocks of every stage"),
    ],
)
def test_variants_are_refused_by_name(published: Read, path: str, value: Any, message: str) -> None:
    file = published(r3gan_file(r3gan_shell(r3gan_model())))
    with pytest.raises(PublishedError, match=message):
        convert(edited(file, path, value))
