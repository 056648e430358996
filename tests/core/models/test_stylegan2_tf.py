"""StyleGAN2 from TensorFlow's variables, against plain float64 formulas in their layout."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from core.models.stylegan2 import Config, Generator
from core.models.stylegan2_tf import from_tensorflow
from tests.core.models.formulas import Array, correlate, insert_zeros, low_pass, plain_upsample

TINY: dict[str, Any] = {
    "resolution": 16,
    "z_dim": 5,
    "w_dim": 7,
    "mapping_layers": 2,
    "mapping_features": 6,
    "block_channels": (4, 3, 2),
}


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64)


def tensorflow(config: Config) -> dict[str, torch.Tensor]:
    """Random variables of a `Gs` with these shapes, under their published names."""
    torch.manual_seed(0)
    embed = config.embed_features or 0
    widths = [config.z_dim + embed, *[config.mapping_features or 0] * (config.mapping_layers - 1), config.w_dim]
    variables = {"lod": torch.tensor(0.0), "dlatent_avg": randn(config.w_dim)}
    if config.c_dim:
        variables |= {"LabelEmbed/weight": randn(config.c_dim, embed), "LabelEmbed/bias": randn(embed)}
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        variables[f"Dense{index}/weight"] = randn(inputs, outputs) * 100
        variables[f"Dense{index}/bias"] = randn(outputs) * 30

    def layer(scope: str, kernel: int, inputs: int, outputs: int) -> None:
        variables[f"{scope}/weight"] = randn(kernel, kernel, inputs, outputs)
        variables[f"{scope}/bias"] = randn(outputs)
        variables[f"{scope}/mod_weight"] = randn(config.w_dim, inputs)
        variables[f"{scope}/mod_bias"] = randn(inputs) * 0.3

    before, index = config.channels[0], 0
    variables["4x4/Const/const"] = randn(1, before, 4, 4)
    for resolution, channels in zip(config.resolutions, config.channels, strict=True):
        scope = f"{resolution}x{resolution}"
        if config.architecture == "resnet" and resolution > 4:
            variables[f"{scope}/Skip/weight"] = randn(1, 1, before, channels)
        for name in ("Conv",) if resolution == 4 else ("Conv0_up", "Conv1"):
            layer(f"{scope}/{name}", 3, before, channels)
            variables[f"{scope}/{name}/noise_strength"] = randn()
            variables[f"noise{index}"] = randn(1, 1, resolution, resolution)
            before, index = channels, index + 1
        if config.architecture == "skip" or resolution == config.resolution:
            layer(f"{scope}/ToRGB", 1, channels, 3)
    return variables


# --- the plain formulas, on their variables -------------------------------------------------------------------------


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x) * math.sqrt(2)


def unit(x: Array) -> Array:
    return x / np.sqrt((x**2).mean() + 1e-8)


def plain_mapping(variables: dict[str, Array], z: Array, c: Array | None) -> Array:
    x = unit(z)
    if c is not None:
        y = c @ variables["LabelEmbed/weight"] / math.sqrt(len(c)) + variables["LabelEmbed/bias"]
        x = np.concatenate([x, unit(y)])
    for index in range(2):
        weight, bias = (variables[f"Dense{index}/{part}"] * 0.01 for part in ("weight", "bias"))
        x = leaky(x @ weight / math.sqrt(len(x)) + bias)
    return x


def modulated(variables: dict[str, Array], scope: str, w: Array, *, demodulate: bool) -> Array:
    """[K, K, I, O]."""
    weight = variables[f"{scope}/weight"]
    weight = weight / math.sqrt(weight[..., 0].size)
    style = w @ variables[f"{scope}/mod_weight"] / math.sqrt(len(w)) + variables[f"{scope}/mod_bias"] + 1
    weight = weight * style[:, None]
    return weight / np.sqrt((weight**2).sum(axis=(0, 1, 2)) + 1e-8) if demodulate else weight


def up(x_IHW: Array, weight_KKIO: Array) -> Array:
    """Zeros between the pixels, a correlation with the kernel, the low-pass filter. Even sizes make it lean: what is
    upsampled spans one pixel less than twice the size.
    """
    size = weight_KKIO.shape[0]
    y = correlate(insert_zeros(x_IHW), weight_KKIO.transpose(3, 2, 0, 1), size - 1)
    y = y[:, :-1, :-1]  # the last zeros
    before = (3 - size) // 2 + 1
    return low_pass(np.pad(y, ((0, 0), (before, before), (before, before))))


def plain_synthesis(variables: dict[str, Array], ws: Array, config: Config) -> Array:
    clamp = config.conv_clamp or math.inf
    index = 0
    rgb: Array | None = None
    x = variables["4x4/Const/const"][0]
    for resolution in config.resolutions:
        scope = f"{resolution}x{resolution}"
        before = x
        for name in ("Conv",) if resolution == 4 else ("Conv0_up", "Conv1"):
            kernel = modulated(variables, f"{scope}/{name}", ws[index], demodulate=True)
            x = up(x, kernel) if name == "Conv0_up" else correlate(x, kernel.transpose(3, 2, 0, 1), 1)
            x = x + variables[f"noise{index}"][0] * variables[f"{scope}/{name}/noise_strength"]
            x = np.clip(leaky(x + variables[f"{scope}/{name}/bias"][:, None, None]), -clamp, clamp)
            index += 1
        if f"{scope}/Skip/weight" in variables:
            weight = variables[f"{scope}/Skip/weight"] / math.sqrt(len(before))
            x = (x + plain_upsample(correlate(before, weight.transpose(3, 2, 0, 1), 0))) / math.sqrt(2)
        if rgb is not None:
            rgb = plain_upsample(rgb)
        if f"{scope}/ToRGB/weight" in variables:
            kernel = modulated(variables, f"{scope}/ToRGB", ws[index], demodulate=False)
            y = correlate(x, kernel.transpose(3, 2, 0, 1), 0) + variables[f"{scope}/ToRGB/bias"][:, None, None]
            y = np.clip(y, -clamp, clamp)
            rgb = y if rgb is None else rgb + y
    assert rgb is not None
    return rgb


# --- tests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"architecture": "resnet"},
        {"architecture": "orig"},
        {"conv_clamp": 0.7},
        {"c_dim": 3, "embed_features": 4},
        {"resolution": 4, "block_channels": (4,)},
    ],
)
def test_pictures_of_a_tensorflow_file(changes: dict[str, Any]) -> None:
    config = Config(**(TINY | changes))
    variables = tensorflow(config)
    options = {"conv_clamp": config.conv_clamp} if "conv_clamp" in changes else {"resample_kernel": [1, 3, 3, 1]}
    got, state = from_tensorflow(variables, options)
    assert got == config
    generator = Generator(got).double().requires_grad_(False)
    generator.load_state_dict(state)
    arrays = {name: tensor.numpy() for name, tensor in variables.items()}
    z, c = randn(1, 5) * 3, torch.tensor([[0.0, 1, 0]]).double() if config.c_dim else None
    w = plain_mapping(arrays, z[0].numpy(), None if c is None else c[0].numpy())
    average = arrays["dlatent_avg"]
    assert np.allclose(generator.map(z, c, 0.5)[0].numpy(), average + 0.5 * (w - average), atol=1e-12)
    ws = randn(1, generator.num_ws, 7)
    picture = generator.synthesis(ws, dtype=torch.float64)[0].numpy()
    # Their weights are scaled by the fan-in before the demodulation, ours are not: its epsilon differs.
    assert np.allclose(picture, plain_synthesis(arrays, ws[0].numpy(), config), rtol=0, atol=1e-5)
    assert picture.std() > 0.01


@pytest.mark.parametrize(
    "name",
    ["dlatent_avg", "Dense1/bias", "4x4/Const/const", "8x8/Conv0_up/mod_weight", "noise2", "16x16/ToRGB/bias"],
)
def test_a_missing_variable_is_named(name: str) -> None:
    variables = tensorflow(Config(**TINY))
    del variables[name]
    with pytest.raises(ValueError, match=f"variables: expected {name}, got none"):
        from_tensorflow(variables)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"LabelConcat/weight": (2, 5)}, {}, "expected no others, got LabelConcat/weight"),
        ({"8x8/Skip/weight": (1, 1, 4, 3)}, {}, "expected no others, got 8x8/Skip/weight"),
        ({"noise9": (1, 1, 4, 4)}, {}, "expected no others, got noise9"),
        ({"noise2": (1, 1, 4, 4)}, {}, r"noise_const: expected \[8, 8\], got \[4, 4\]"),
        ({"8x8/Conv1/bias": (9,)}, {}, r"synthesis.b8.conv1.bias: expected \[3\], got \[9\]"),
        ({"lod": ()}, {}, "lod: expected 0"),
        ({"24x24/Conv1/weight": (1,)}, {}, "resolution: expected a power of two from 4 to 2048, got 24"),
        ({}, {"resample_kernel": [1, 2, 1]}, r"resample_kernel: expected \[1, 3, 3, 1\], got \[1, 2, 1\]"),
        ({}, {"nonlinearity": "relu"}, "nonlinearity: expected 'lrelu', got 'relu'"),
    ],
)
def test_what_is_not_such_a_file(changes: dict[str, Any], options: dict[str, Any], message: str) -> None:
    variables = tensorflow(Config(**TINY)) | {name: torch.ones(shape) for name, shape in changes.items()}
    with pytest.raises(ValueError, match=message):
        from_tensorflow(variables, options)
