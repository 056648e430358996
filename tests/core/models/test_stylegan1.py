"""The generator against plain float64 formulas in TensorFlow's layout, and the conversion from it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.models.stylegan1 import Config, Generator, adaptive_instance_norm, blur, from_tensorflow, up_convolution
from core.request import SynthesisOptions
from tests.core.models.formulas import Array, correlate, insert_zeros

TINY: dict[str, Any] = {
    "resolution": 16,
    "z_dim": 5,
    "w_dim": 7,
    "mapping_layers": 2,
    "mapping_features": 6,
    "block_channels": (4, 3, 2),
}


def build(seed: int = 0, **changes: Any) -> Generator:
    """A tiny generator in float64 with every parameter moved away from its neutral start."""
    torch.manual_seed(seed)
    generator = Generator(Config(**(TINY | changes))).double().eval().requires_grad_(False)
    for name, tensor in generator.state_dict().items():
        if not name.endswith("weight"):
            tensor.add_(torch.randn_like(tensor) * (30 if name.startswith("mapping.fc") else 0.3))
    return generator


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64)


# --- TensorFlow's layout, and the plain formulas on it --------------------------------------------------------------


def tensorflow(config: Config, *, growing: bool = True) -> dict[str, torch.Tensor]:
    """Random variables of a `Gs` with these shapes, under their published names."""
    torch.manual_seed(0)
    widths = [config.z_dim, *[config.mapping_features or config.w_dim] * (config.mapping_layers - 1), config.w_dim]
    variables = {"lod": torch.tensor(0.0), "dlatent_avg": randn(config.w_dim)}
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        variables[f"Dense{index}/weight"] = randn(inputs, outputs) * 100
        variables[f"Dense{index}/bias"] = randn(outputs) * 30
    before, index = config.channels[0], 0
    for resolution, channels in zip(config.resolutions, config.channels, strict=True):
        scope = f"{resolution}x{resolution}"
        for name in ("Const", "Conv") if resolution == 4 else ("Conv0_up", "Conv1"):
            if name == "Const":
                variables["4x4/Const/const"] = randn(1, channels, 4, 4)
            else:
                variables[f"{scope}/{name}/weight"] = randn(3, 3, before, channels)
            variables[f"{scope}/{name}/Noise/weight"] = randn(channels)
            variables[f"{scope}/{name}/bias"] = randn(channels)
            variables[f"{scope}/{name}/StyleMod/weight"] = randn(config.w_dim, 2 * channels)
            variables[f"{scope}/{name}/StyleMod/bias"] = randn(2 * channels) * 0.3
            variables[f"noise{index}"] = randn(1, 1, resolution, resolution)
            before, index = channels, index + 1
        level = int(math.log2(config.resolution // resolution))
        if growing or not level:
            variables[f"ToRGB_lod{level}/weight"] = randn(1, 1, channels, 3)
            variables[f"ToRGB_lod{level}/bias"] = randn(3)
    return variables


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x)


def plain_mapping(variables: dict[str, Array], z: Array) -> Array:
    x = z / np.sqrt((z**2).mean() + 1e-8)
    for index in range(2):
        weight = variables[f"Dense{index}/weight"] * (math.sqrt(2) / math.sqrt(len(x)) * 0.01)
        x = leaky(x @ weight + 0.01 * variables[f"Dense{index}/bias"])
    return x


def their_convolution(x_IHW: Array, weight_KKIO: Array) -> Array:
    return correlate(x_IHW, weight_KKIO.transpose(3, 2, 0, 1), weight_KKIO.shape[0] // 2)


def fused_up_convolution(x_IHW: Array, weight_33IO: Array) -> Array:
    """The kernel spread to 4 x 4 taps, and each input pixel adding it to the picture at its place."""
    spread = np.zeros((4, 4, *weight_33IO.shape[2:]))
    for i in range(2):
        for j in range(2):
            spread[i : i + 3, j : j + 3] += weight_33IO
    _, height, width = x_IHW.shape
    y = np.zeros((weight_33IO.shape[3], 2 * height + 2, 2 * width + 2))
    for i in range(4):
        for j in range(4):
            part = np.einsum("io,ihw->ohw", spread[i, j], x_IHW)
            y[:, i : i + 2 * height : 2, j : j + 2 * width : 2] += part
    return y[:, 1:-1, 1:-1]


def plain_blur(x_CHW: Array) -> Array:
    kernel = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]) / 16
    return np.concatenate([correlate(channel[None], kernel[None, None], 1) for channel in x_CHW])


def plain_adain(x: Array, scale: Array, shift: Array) -> Array:
    x = x - x.mean(axis=(1, 2), keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=(1, 2), keepdims=True) + 1e-8)
    return x * scale[:, None, None] + shift[:, None, None]


def plain_synthesis(variables: dict[str, Array], ws: Array, resolution: int, *, fused_from: float) -> Array:
    index = 0

    def epilogue(x: Array, scope: str) -> Array:
        nonlocal index
        x = x + variables[f"noise{index}"][0] * variables[f"{scope}/Noise/weight"][:, None, None]
        x = leaky(x + variables[f"{scope}/bias"][:, None, None])
        style = ws[index] @ variables[f"{scope}/StyleMod/weight"] / math.sqrt(len(ws[index]))
        scale, shift = (style + variables[f"{scope}/StyleMod/bias"]).reshape(2, -1)
        index += 1
        return plain_adain(x, scale + 1, shift)

    x = epilogue(variables["4x4/Const/const"][0], "4x4/Const")
    for step in range(int(math.log2(resolution)) - 1):
        side = 4 << step
        for name in ("Conv",) if side == 4 else ("Conv0_up", "Conv1"):
            scope = f"{side}x{side}/{name}"
            weight = variables[f"{scope}/weight"]
            weight = weight * (math.sqrt(2) / math.sqrt(weight[..., 0].size))
            if name != "Conv0_up":
                x = their_convolution(x, weight)
            elif side >= fused_from:
                x = plain_blur(fused_up_convolution(x, weight))
            else:
                x = plain_blur(their_convolution(x.repeat(2, axis=1).repeat(2, axis=2), weight))
            x = epilogue(x, scope)
    rgb = their_convolution(x, variables["ToRGB_lod0/weight"] / math.sqrt(len(x)))
    return rgb + variables["ToRGB_lod0/bias"][:, None, None]


# --- operations -----------------------------------------------------------------------------------------------------


def test_operations() -> None:
    torch.manual_seed(0)
    x, weight = randn(2, 3, 4, 5), randn(2, 3, 3, 3)
    scale, shift = randn(2, 3), randn(2, 3)
    up, smooth, styled = up_convolution(x, weight), blur(x), adaptive_instance_norm(x, scale, shift)
    assert up.shape == (2, 2, 8, 10)
    for i in range(2):
        twice = x[i].numpy().repeat(2, axis=1).repeat(2, axis=2)
        assert np.allclose(up[i].numpy(), correlate(twice, weight.numpy(), 1), atol=1e-12)
        assert np.allclose(smooth[i].numpy(), plain_blur(x[i].numpy()), atol=1e-12)
        assert np.allclose(styled[i].numpy(), plain_adain(x[i].numpy(), scale[i].numpy(), shift[i].numpy()), atol=1e-12)
    nearest = F.conv2d(F.interpolate(x, scale_factor=2), weight, padding=1)
    assert torch.allclose(up, nearest, atol=1e-12)
    flat = adaptive_instance_norm(torch.ones(1, 3, 4, 4), torch.ones(1, 3), shift[:1].float())
    assert torch.equal(flat, shift[:1, :, None, None].float().expand(1, 3, 4, 4))  # no spread: epsilon keeps it finite
    big = adaptive_instance_norm(torch.full((1, 1, 2, 2), 6e4).half(), torch.ones(1, 1), torch.zeros(1, 1))
    assert big.dtype == torch.float16
    assert torch.equal(big, torch.zeros_like(big))


def test_their_two_upsamplings_differ_by_half_a_turn() -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(2, 3, 4)), rng.normal(size=(3, 3, 2, 3))
    twice = x.repeat(2, axis=1).repeat(2, axis=2)
    assert np.allclose(fused_up_convolution(x, weight), their_convolution(twice, weight[::-1, ::-1]))
    # And the zeros of a transposed convolution, filled by a 2 x 2 box, are the repeated pixels.
    box = np.pad(insert_zeros(x), ((0, 0), (1, 0), (1, 0)))
    assert np.array_equal(box[:, 1:, 1:] + box[:, :-1, 1:] + box[:, 1:, :-1] + box[:, :-1, :-1], twice)


@pytest.mark.parametrize("operation", ["up", "adain"])
def test_gradients_of_the_operations(operation: str) -> None:
    torch.manual_seed(0)
    if operation == "up":
        given = tuple(randn(*shape).requires_grad_() for shape in ((1, 2, 2, 3), (2, 2, 3, 3)))
        assert torch.autograd.gradcheck(lambda x, weight: blur(up_convolution(x, weight)), given)
    else:
        given = tuple(randn(*shape).requires_grad_() for shape in ((2, 2, 2, 3), (2, 2), (2, 2)))
        assert torch.autograd.gradcheck(adaptive_instance_norm, given)


# --- TensorFlow's files ---------------------------------------------------------------------------------------------


def converted(config: Config, fused: bool | str) -> tuple[Generator, dict[str, torch.Tensor]]:
    variables = tensorflow(config)
    got, state = from_tensorflow(variables, {"fused_scale": fused, "truncation_psi": 0.7})
    assert got == config
    generator = Generator(got).double().requires_grad_(False)
    generator.load_state_dict(state)
    return generator, variables


@pytest.mark.parametrize(("fused", "fused_from"), [(False, math.inf), (True, 0), ("auto", 128)])
def test_pictures_of_a_tensorflow_file(fused: bool | str, fused_from: float) -> None:
    config = Config(**TINY)
    if fused == "auto":  # where it begins
        config = Config(**(TINY | {"resolution": 128, "block_channels": (3, 2, 2, 2, 1, 2)}))
    generator, variables = converted(config, fused)
    arrays = {name: tensor.numpy() for name, tensor in variables.items()}
    z = randn(2, 5) * 3
    w = np.stack([plain_mapping(arrays, one.numpy()) for one in z])
    ws = generator.map(z, None, 0.7, 2).numpy()
    average = arrays["dlatent_avg"]
    assert ws.shape == (2, 2 * len(config.channels), 7)
    assert np.allclose(ws[:, :2], (average + 0.7 * (w - average))[:, None], atol=1e-12)
    assert np.allclose(ws[:, 2:], w[:, None], atol=1e-12)
    ws = randn(1, generator.num_ws, 7)
    got = generator.synthesis(ws, dtype=torch.float64)[0].numpy()
    expected = plain_synthesis(arrays, ws[0].numpy(), config.resolution, fused_from=fused_from)
    assert got.shape == (3, *generator.output_size)
    assert np.allclose(got, expected, rtol=0, atol=1e-9)
    assert expected.std() > 0.01


def test_the_same_file_by_component() -> None:
    config = Config(**TINY)
    variables = tensorflow(config, growing=False)
    parts = {
        (f"G_mapping/{n}" if n.startswith("Dense") else f"G_synthesis/{n}" if n not in ("dlatent_avg", "lod") else n): t
        for n, t in variables.items()
    }
    state, other = from_tensorflow(variables)[1], from_tensorflow(parts)[1]
    assert state.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in state.items())
    from_tensorflow(variables | {"G_synthesis/lod": torch.tensor(0.0)})
    with pytest.raises(ValueError, match="variables: expected one noise1, got another as G_synthesis/noise1"):
        from_tensorflow(variables | {"G_synthesis/noise1": randn(1, 1, 4, 4)})


@pytest.mark.parametrize(
    "name", ["dlatent_avg", "Dense0/bias", "4x4/Const/const", "8x8/Conv0_up/weight", "noise3", "8x8/Conv1/Noise/weight"]
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
        ({"ToRGB_lod3/weight": (1, 1, 4, 3)}, {}, "expected no others, got ToRGB_lod3/weight"),
        ({"Dense3/weight": (7, 7)}, {}, "expected no others, got Dense3/weight"),
        ({"noise2": (8, 8)}, {}, r"noise2: expected 4 dimensions, got \[8, 8\]"),
        ({"noise2": (1, 1, 4, 4)}, {}, r"b8.conv0.noise_const: expected \[8, 8\], got \[4, 4\]"),
        ({"8x8/Conv1/weight": (3, 3, 3, 9)}, {}, "synthesis.b8"),
        ({"lod": ()}, {}, "lod: expected 0, a generator that has grown"),
        ({"24x24/Conv1/weight": (1,)}, {}, "resolution: expected a power of two from 4 to 2048, got 24"),
        ({}, {"use_pixel_norm": True}, "use_pixel_norm: expected False, got True"),
        ({}, {"blur_filter": (1, 3, 3, 1)}, r"blur_filter: expected \[1, 2, 1\]"),
        ({}, {"fused_scale": "never"}, "fused_scale: expected True, False or 'auto', got 'never'"),
    ],
)
def test_what_is_not_such_a_file(changes: dict[str, Any], options: dict[str, Any], message: str) -> None:
    variables = tensorflow(Config(**TINY)) | {name: torch.ones(shape) for name, shape in changes.items()}
    with pytest.raises(ValueError, match=message):
        from_tensorflow(variables, options)
    with pytest.raises(ValueError, match="expected blocks such as 4x4/Const/const, got none"):
        from_tensorflow({"Dense0/weight": torch.ones(2, 2)})


# --- numbers, noise, precision ----------------------------------------------------------------------------------------


def test_what_does_not_fit() -> None:
    generator = build()
    with pytest.raises(ValueError, match="label: expected none"):
        generator.map(randn(2, 5), randn(2, 3))
    with pytest.raises(ValueError, match="w: expected 6 styles, got 5"):
        generator.synthesis(randn(2, 5, 7))


def test_parameters_at_1024() -> None:
    with torch.device("meta"):
        generator = Generator(Config())
    assert generator.num_ws == 18
    assert generator.config.channels == (512, 512, 512, 512, 256, 128, 64, 32, 16)
    total = 8 * 512 * 513 + 512 * 16 + 3 * 16 + 3
    before = 0
    for c in generator.config.channels:
        for inputs in (before, c) if before else (0, c):
            total += 9 * inputs * c + 2 * c + 513 * 2 * c  # kernel, bias and noise, style
        before = c
    assert sum(p.numel() for p in generator.parameters()) == total
    assert round(total / 1e6, 1) == 26.2


def test_noise_modes() -> None:
    generator = build()
    w = randn(2, 7)

    def drawn(mode: Any, seed: int = 0) -> torch.Tensor:
        source = torch.Generator().manual_seed(seed)
        return generator.synthesis(w, SynthesisOptions(noise=mode), generator=source, dtype=torch.float64)

    assert torch.equal(drawn("const"), drawn("const", 1))
    assert torch.equal(drawn("random"), drawn("random"))
    assert not torch.allclose(drawn("random"), drawn("random", 1), atol=0.01)
    assert not torch.allclose(drawn("const"), drawn("none"), atol=0.01)
    for name, tensor in generator.state_dict().items():
        if name.endswith("noise_const"):
            tensor.zero_()
    assert torch.equal(drawn("const"), drawn("none"))


def test_equal_requests_are_equal_beside_any_neighbour() -> None:
    generator = build().float()
    w, others = torch.randn(1, 7), torch.randn(2, 7) * 5
    first, second = (generator.synthesis(torch.cat([w, other[None]])) for other in others)
    assert torch.equal(first[0], second[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    generator = build().float()
    w = torch.randn(2, 7)
    full, half = generator.synthesis(w), generator.synthesis(w, dtype=dtype)
    assert half.dtype == torch.float32
    assert float((half - full).square().mean().sqrt() / full.std()) < (0.01 if dtype == torch.float16 else 0.06)


def test_gradients_of_the_whole() -> None:
    generator = build(resolution=8, block_channels=(2, 2))
    ws = randn(1, 4, 7).requires_grad_()
    assert torch.autograd.gradcheck(lambda ws: generator.synthesis(ws, dtype=torch.float64)[..., ::3, ::3], (ws,))


def test_gradients_reach_everything() -> None:
    generator = build().requires_grad_(True)
    before = generator.synthesis.input.const.clone()
    generator.synthesis(generator.map(randn(2, 5)), dtype=torch.float64).square().sum().backward()
    assert [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert torch.equal(generator.synthesis.input.const, before)  # nothing worked in place on it


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 48}, "resolution: expected a power of two from 4 to 2048, got 48"),
        ({"z_dim": 0}, "z_dim: expected an integer from 1 to 8192, got 0"),
        ({"mapping_features": 0}, "mapping_features: expected"),
        ({"mapping_lr_multiplier": 0.0}, "mapping_lr_multiplier: expected a number above 0"),
        ({"block_channels": (1, 2)}, "block_channels: expected 3 numbers"),
        ({"block_channels": (1, 2, 0)}, "block_channels: expected an integer"),
        ({"block_channels": None, "base_channels": 8}, "base_channels: expected at least the resolution, 16, got 8"),
    ],
)
def test_configs_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**(TINY | changes))


def test_configs_survive_json() -> None:
    config = Config(**TINY)
    assert Config(**json.loads(json.dumps(asdict(config)))) == config
