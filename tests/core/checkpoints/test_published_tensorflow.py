"""TensorFlow's StyleGAN and StyleGAN2 files become ours."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from core.checkpoints import load
from core.checkpoints.importing import describe_published, export_part, import_file
from core.checkpoints.pickles import Published, PublishedError, PublishedNetwork
from core.checkpoints.published import convert
from core.models import stylegan1, stylegan2, stylegan2_tf
from tests.core.checkpoints.conftest import LIMITS
from tests.core.checkpoints.lookalikes import SOURCE, EasyDict, Network, dumps
from tests.core.checkpoints.published_models import assert_same_pictures
from tests.core.models.test_stylegan1 import TINY as TINY_1
from tests.core.models.test_stylegan1 import tensorflow as variables_1
from tests.core.models.test_stylegan2_tf import TINY as TINY_2
from tests.core.models.test_stylegan2_tf import tensorflow as variables_2

Variables = dict[str, Tensor]

STYLEGAN1 = ("G_style", "G_synthesis")
STYLEGAN2 = ("G_main", "G_synthesis_stylegan2")


def stylegan1_variables(**changes: Any) -> Variables:
    found = variables_1(stylegan1.Config(**TINY_1), **changes)
    return {name: values.float() for name, values in found.items()}


def stylegan2_variables(**changes: Any) -> Variables:
    found = variables_2(stylegan2.Config(**(TINY_2 | changes)))
    return {name: values.float() for name, values in found.items()}


def file_of(variables: Variables, functions: tuple[str, str], **options: Any) -> bytes:
    """(G, D, Gs) with the variables in Gs, where the authors' networks have them."""

    def network(name: str, function: str, chosen: Callable[[str], bool], **parts: Network) -> Network:
        # Scalars come as numpy's own.
        arrays = [(key, values.numpy() if values.ndim else np.float32(values)) for key, values in variables.items()]
        return Network(
            {
                "version": 4,
                "name": name,
                "static_kwargs": EasyDict(options, resolution=16),
                "components": EasyDict(parts),
                "build_module_src": SOURCE,
                "build_func_name": function,
                "variables": [(key, array) for key, array in arrays if chosen(key)],
            }
        )

    def mapping(name: str) -> bool:
        return name.startswith(("Dense", "LabelEmbed"))

    parts = {
        "synthesis": network("G_synthesis", functions[1], lambda name: not mapping(name) and name != "dlatent_avg"),
        "mapping": network("G_mapping", "G_mapping", mapping),
    }
    whole = network("Gs", functions[0], lambda name: name in ("lod", "dlatent_avg"), **parts)
    critic = network("D", "D_basic", lambda name: name == "lod")
    return dumps((whole, critic, whole))


@pytest.mark.parametrize(
    ("growing", "options"), [(True, {}), (False, {"fused_scale": True, "blur_filter": [1, 2, 1], "structure": "auto"})]
)
def test_stylegan(published: Callable[[bytes], Published], growing: bool, options: dict[str, Any]) -> None:
    variables = stylegan1_variables(growing=growing)
    config, state = stylegan1.from_tensorflow(variables, options)
    model = stylegan1.Generator(config).eval().requires_grad_(False)
    model.load_state_dict(state)
    file = published(file_of(variables, STYLEGAN1, **options))
    assert file.dropped == ("G", "D")
    conversion = convert(file)
    assert (conversion.kind, conversion.family, conversion.classes) == ("StyleGAN", "stylegan1", 0)
    smaller = {f"synthesis/ToRGB_lod{level}/{part}" for level in (1, 2) for part in ("weight", "bias")}
    assert set(conversion.dropped) == {"lod", "synthesis/lod"} | (smaller if growing else set())
    assert conversion.assumed == ("options that the file does not set as the published functions have them",)
    assert_same_pictures(conversion, model)


@pytest.mark.parametrize(
    ("synthesis", "changes"),
    [
        ("G_synthesis_stylegan2", {}),
        ("G_synthesis_stylegan2", {"architecture": "resnet"}),
        ("G_synthesis", {"architecture": "orig", "c_dim": 3, "embed_features": 4, "conv_clamp": 256.0}),
    ],
)
def test_stylegan2(published: Callable[[bytes], Published], synthesis: str, changes: dict[str, Any]) -> None:
    variables = stylegan2_variables(**changes)
    options = {"conv_clamp": changes.get("conv_clamp"), "mapping_lrmul": 0.01}
    config, state = stylegan2_tf.from_tensorflow(variables, options)
    model = stylegan2.Generator(config).eval().requires_grad_(False)
    model.load_state_dict(state)
    conversion = convert(published(file_of(variables, ("G_main", synthesis), **options)))
    assert (conversion.kind, conversion.family) == ("StyleGAN2", "stylegan2")
    assert conversion.classes == changes.get("c_dim", 0)
    assert conversion.config["conv_clamp"] == changes.get("conv_clamp")
    assert_same_pictures(conversion, model)


def test_a_checkpoint_of_it_and_its_discriminator(tmp_path: Path) -> None:
    path, critic = tmp_path / "cats.pkl", tmp_path / "d.safetensors"
    path.write_bytes(file_of(stylegan2_variables(), STYLEGAN2))
    values = describe_published(path, limits=LIMITS)
    assert (values["kind"], values["class"], values["parts"]) == ("StyleGAN2", "G_main", ["synthesis", "mapping"])
    report = import_file(path, tmp_path / "out.safetensors", limits=LIMITS)
    assert (report.kind, report.family, report.size) == ("StyleGAN2", "stylegan2", (16, 16))
    assert report.dropped == ("G", "D", "lod", "synthesis/lod")
    assert load(report.path).header.family == "stylegan2"
    header = export_part(path, "D", critic, limits=LIMITS)
    assert (header["class_name"], header["tensors"]) == ("D_basic", 1)
    assert list(safetensors.torch.load_file(critic)) == ["lod"]


def edited(file: Published, part: str, section: str, name: str, value: Any) -> Published:
    """A copy of what was read, with something in a section of the network or of a part of it set; None deletes."""
    content = copy.deepcopy(file.content)
    assert isinstance(content, PublishedNetwork)
    values = getattr(content.components[part] if part else content, section)
    values.pop(name, None)
    if value is not None:
        values[name] = value
    return replace(file, content=content)


def test_each_fault_has_its_message(published: Callable[[bytes], Published]) -> None:
    first = published(file_of(stylegan1_variables(), STYLEGAN1))
    second = published(file_of(stylegan2_variables(), STYLEGAN2))
    for part, section, name, value, message in [
        ("", "variables", "dlatent_avg", None, "variables: expected dlatent_avg, got none of that name"),
        ("", "variables", "dlatent_avg", torch.full((7,), torch.inf), "dlatent_avg holds values that are not finite"),
        ("", "variables", "lod", torch.tensor(2.0), "expected one lod, got another as synthesis/lod"),
        ("mapping", "variables", "Dense1/bias", None, "variables: expected Dense1/bias, got none of that name"),
        ("mapping", "variables", "Dense9/bias", torch.ones(3), "variables: expected no others, got Dense9/bias"),
        ("mapping", "variables", "Dense1/bias", torch.ones(3).bool(), "Dense1/bias: expected floating point of 16 or"),
        ("synthesis", "variables", "4x4/Const/const", torch.ones(0, 4, 4, 4), "got torch.float32 [0, 4, 4, 4]"),
        ("synthesis", "variables", "noise2", torch.ones(1, 1, 4, 4), "noise_const: expected [8, 8], got [4, 4]"),
        ("", "static_kwargs", "mapping_lrmul", "small", "mapping_lrmul: expected a number above 0, got 'small'"),
        ("", "static_kwargs", "mapping_lrmul", 10**400, "mapping_lrmul: expected a number above 0"),
        ("mapping", "static_kwargs", "mapping_nonlinearity", "relu", "mapping_nonlinearity: expected 'lrelu', got 'r"),
        ("synthesis", "static_kwargs", "nonlinearity", "x" * 2000, "nonlinearity: expected 'lrelu', got 'xxx"),
        ("", "components", "mapping", None, "expected a network of mapping and synthesis, got synthesis"),
    ]:
        for file, kind in ((first, "StyleGAN"), (second, "StyleGAN2")):
            with pytest.raises(PublishedError) as caught:
                convert(edited(file, part, section, name, value))
            assert message in str(caught.value), (kind, name)
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 600
    for file, part, name, value, message in [
        (first, "", "label_size", 10, "label_size: expected 0, got 10"),
        (first, "synthesis", "fused_scale", "never", "fused_scale: expected True, False or 'auto', got 'never'"),
        (first, "synthesis", "blur_filter", torch.ones(3, 9), "blur_filter: expected [1, 2, 1], got"),
        (second, "synthesis", "resample_kernel", [1, 2, 1], "resample_kernel: expected [1, 3, 3, 1], got [1, 2, 1]"),
        (second, "", "conv_clamp", [1], "conv_clamp: expected a number above 0, got [1]"),
    ]:
        with pytest.raises(PublishedError) as caught:
            convert(edited(file, part, "static_kwargs", name, value))
        assert message in str(caught.value), name


@pytest.mark.parametrize("functions", [("G_paper", "G_synthesis"), ("G_main", "G_synthesis_stylegan_revised")])
def test_other_networks(published: Callable[[bytes], Published], functions: tuple[str, str]) -> None:
    file = published(file_of(stylegan2_variables(), functions))
    with pytest.raises(
        PublishedError, match=f"TensorFlow generator of StyleGAN or StyleGAN2, got .* by {functions[0]}"
    ):
        convert(file)
