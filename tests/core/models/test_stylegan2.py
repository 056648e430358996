"""The generator against plain float64 formulas written here from the paper, and the names of published files."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch

from core.models.layers import modulated_conv2d
from core.models.stylegan2 import Block, Config, Convolution, Generator, ToRGB
from core.request import SynthesisOptions
from tests.core.models.formulas import Array, correlate, plain_up_convolution, plain_upsample

TINY: dict[str, Any] = {
    "resolution": 16,
    "z_dim": 5,
    "w_dim": 7,
    "mapping_layers": 2,
    "base_channels": 64,
    "max_channels": 6,
}


def build(seed: int = 0, **changes: Any) -> Generator:
    """A tiny generator in float64 with every parameter moved away from its neutral start."""
    torch.manual_seed(seed)
    generator = Generator(Config(**(TINY | changes))).double().eval().requires_grad_(False)
    for name, tensor in generator.state_dict().items():
        if name.endswith("noise_strength"):
            tensor.uniform_(0.2, 0.8)
        elif name.endswith("w_avg"):
            tensor.normal_()
        elif name.endswith("bias"):
            tensor.add_(torch.randn_like(tensor) * (30 if name.startswith("mapping.fc") else 0.3))
    return generator


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


# --- the plain formulas ---------------------------------------------------------------------------------------------


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x) * math.sqrt(2)


def dense(state: dict[str, Array], name: str, x: Array, multiplier: float = 1.0) -> Array:
    y = state[f"{name}.weight"] * multiplier @ x / math.sqrt(len(x))
    return y + state[f"{name}.bias"] * multiplier


def unit(x: Array) -> Array:
    return x / np.sqrt((x**2).mean() + 1e-8)


def plain_mapping(state: dict[str, Array], z: Array, c: Array | None, layers: int) -> Array:
    x = unit(z)
    if c is not None:
        x = np.concatenate([x, unit(dense(state, "mapping.embed", c))])
    for index in range(layers):
        x = leaky(dense(state, f"mapping.fc{index}", x, 0.01))
    return x


def plain_convolution(
    state: dict[str, Array], name: str, x: Array, w: Array, *, up: bool, gain: float, clamp: float
) -> Array:
    kernel = state[f"{name}.weight"] * dense(state, f"{name}.affine", w)[None, :, None, None]
    kernel = kernel / np.sqrt((kernel**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
    y = plain_up_convolution(x, kernel) if up else correlate(x, kernel, 1)
    if f"{name}.noise_const" in state:
        y = y + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]
    return np.clip(leaky(y + state[f"{name}.bias"][:, None, None]) * gain, -clamp * gain, clamp * gain)


def plain_generator(generator: Generator, ws: Array) -> Array:
    """[3, H, W] from [num_ws, W] with constant noise."""
    state = {name: tensor.numpy() for name, tensor in generator.state_dict().items()}
    config = generator.config
    clamp = config.conv_clamp or np.inf
    rgb: Array | None = None
    index = 0
    for resolution in config.resolutions:
        name = f"synthesis.b{resolution}"
        gain = 1.0
        if resolution == 4:
            x = state[f"{name}.const"]
        else:
            before = x
            gain = math.sqrt(0.5) if config.architecture == "resnet" else 1.0
            x = plain_convolution(state, f"{name}.conv0", x, ws[index], up=True, gain=1.0, clamp=clamp)
            index += 1
        x = plain_convolution(state, f"{name}.conv1", x, ws[index], up=False, gain=gain, clamp=clamp)
        index += 1
        if resolution > 4 and config.architecture == "resnet":
            kernel = state[f"{name}.skip.weight"] / math.sqrt(len(before))
            x = x + plain_upsample(correlate(before, kernel, 0)) * math.sqrt(0.5)
        if rgb is not None:
            rgb = plain_upsample(rgb)
        if config.architecture == "skip" or resolution == config.resolution:
            style = dense(state, f"{name}.torgb.affine", ws[index]) / math.sqrt(len(x))
            y = correlate(x, state[f"{name}.torgb.weight"] * style[None, :, None, None], 0)
            y = np.clip(y + state[f"{name}.torgb.bias"][:, None, None], -clamp, clamp)
            rgb = y if rgb is None else rgb + y
    assert rgb is not None
    return rgb


# --- numbers --------------------------------------------------------------------------------------------------------


def test_parameters_at_1024() -> None:
    with torch.device("meta"):
        generator = Generator(Config())
    assert generator.num_ws == 18
    assert generator.output_size == (1024, 1024)
    assert generator.config.channels == (512, 512, 512, 512, 512, 256, 128, 64, 32)
    total = 8 * 512 * 513 + 512 * 16
    before = 0
    for c in generator.config.channels:
        for inputs in (before, c) if before else (c,):
            total += 513 * inputs + 9 * inputs * c + c + 1  # style, kernel, bias, strength of the noise
        total += 513 * c + 3 * c + 3
        before = c
    assert sum(p.numel() for p in generator.parameters()) == total == 30_370_060


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_names_and_shapes_are_those_of_published_files(architecture: str) -> None:
    generator = build(architecture=architecture, c_dim=3)
    layer = {"weight", "bias", "affine.weight", "affine.bias"}
    convolution = layer | {"noise_const", "noise_strength", "resample_filter"}
    expected = {"mapping.w_avg", "synthesis.b4.const"}
    expected |= {f"mapping.{name}.{part}" for name in ("embed", "fc0", "fc1") for part in ("weight", "bias")}
    for resolution in (4, 8, 16):
        block = f"synthesis.b{resolution}"
        expected.add(f"{block}.resample_filter")
        for name in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
            expected |= {f"{block}.{name}.{part}" for part in convolution}
        if architecture == "skip" or resolution == 16:
            expected |= {f"{block}.torgb.{part}" for part in layer}
        if architecture == "resnet" and resolution > 4:
            expected |= {f"{block}.skip.{part}" for part in ("weight", "resample_filter")}
    state = generator.state_dict()
    assert set(state) == expected
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes["mapping.embed.weight"] == (7, 3)
    assert shapes["mapping.fc0.weight"] == (7, 12)
    assert shapes["synthesis.b4.const"] == (6, 4, 4)
    assert shapes["synthesis.b16.conv0.weight"] == (4, 6, 3, 3)
    assert shapes["synthesis.b16.conv0.affine.weight"] == (6, 7)
    assert shapes["synthesis.b16.conv0.noise_const"] == (16, 16)
    assert shapes["synthesis.b16.conv0.noise_strength"] == ()
    assert shapes["synthesis.b16.torgb.weight"] == (3, 4, 1, 1)
    row = np.array([1, 3, 3, 1]) / 8
    for name, tensor in state.items():
        if name.endswith("resample_filter"):
            assert np.array_equal(tensor.numpy(), np.outer(row, row))


def test_no_noise_no_tensors_for_it() -> None:
    generator = build(use_noise=False)
    assert not [name for name in generator.state_dict() if "noise" in name]
    assert not generator.has_noise
    ws = randn(1, generator.num_ws, 7)
    got = generator.synthesis(ws, SynthesisOptions(noise="random"), dtype=torch.float64)
    assert np.allclose(got[0].numpy(), plain_generator(generator, ws[0].numpy()), atol=1e-10)


# --- the whole ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"conv_clamp": 0.7},
        {"architecture": "resnet"},
        {"architecture": "resnet", "conv_clamp": 0.7},
        {"architecture": "orig"},
        {"size": (3, 5)},
        {"block_channels": (5, 3, 8), "img_channels": 1},
        {"resolution": 4},
    ],
)
def test_pictures(changes: dict[str, Any]) -> None:
    generator = build(**changes)
    ws = randn(2, generator.num_ws, 7)
    got = generator.synthesis(ws, dtype=torch.float64)
    assert got.shape == (2, generator.config.img_channels, *generator.output_size)
    for i in range(2):
        assert np.allclose(got[i].numpy(), plain_generator(generator, ws[i].numpy()), atol=1e-10)
    single = generator.synthesis(ws[:, 0], dtype=torch.float64)
    same = ws[:, :1].expand(-1, generator.num_ws, -1)
    assert torch.equal(single, generator.synthesis(same, dtype=torch.float64))


@pytest.mark.parametrize(
    "changes", [{}, {"c_dim": 3}, {"c_dim": 3, "embed_features": 4, "mapping_features": 6, "mapping_layers": 3}]
)
def test_mapping_and_truncation(changes: dict[str, Any]) -> None:
    generator = build(**changes)
    state = {name: tensor.numpy() for name, tensor in generator.state_dict().items()}
    z = randn(2, 5) * 3
    c = torch.tensor([[0, 1, 0], [0.5, 0.5, 0]], dtype=torch.float64) if "c_dim" in changes else None
    layers = generator.config.mapping_layers
    w = np.stack([plain_mapping(state, z[i].numpy(), None if c is None else c[i].numpy(), layers) for i in range(2)])
    assert generator.conditioning == ("none" if c is None else "class")
    average = state["mapping.w_avg"].copy()
    for psi, cutoff in ((1.0, None), (0.5, None), (0.5, 2), (-1.0, 0), (0.0, 6)):
        ws = generator.map(z, c, psi, cutoff).numpy()
        assert ws.shape == (2, 6, 7)
        for layer in range(6):
            moved = cutoff is None or layer < cutoff
            expected = average + psi * (w - average) if moved else w
            assert np.allclose(ws[:, layer], expected, atol=1e-12)
    picture = generator(z, c, psi=0.5)
    assert torch.equal(picture, generator.synthesis(generator.map(z, c, 0.5)))
    generator.mapping.update_average(generator.mapping(z, c))
    assert np.allclose(generator.mapping.w_avg.numpy(), 0.995 * average + 0.005 * w.mean(axis=0), atol=1e-12)


def test_what_does_not_fit() -> None:
    plain, classes = build(), build(c_dim=3)
    with pytest.raises(ValueError, match=r"label: expected \[2, 3\], got none"):
        classes.map(randn(2, 5))
    with pytest.raises(ValueError, match=r"label: expected \[2, 3\], got \[2, 4\]"):
        classes.map(randn(2, 5), randn(2, 4))
    with pytest.raises(ValueError, match="label: expected none"):
        plain.map(randn(2, 5), randn(2, 3))
    assert plain.map(randn(2, 5), randn(2, 0)).shape == (2, 6, 7)
    with pytest.raises(ValueError, match=r"z: expected \[N, 5\], got \[2, 4\]"):
        plain.map(randn(2, 4))
    for cutoff in (-1, 7):
        with pytest.raises(ValueError, match="cutoff: expected a number of layers from 0 to 6"):
            plain.map(randn(2, 5), None, 0.5, cutoff)
    with pytest.raises(ValueError, match="w: expected 6 styles, got 5"):
        plain.synthesis(randn(2, 5, 7))


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_which_layer_takes_which_w(architecture: str) -> None:
    generator = build(architecture=architecture)
    taken: dict[str, int] = {}
    for name, module in generator.named_modules():
        if isinstance(module, Convolution | ToRGB):
            module.register_forward_hook(lambda m, args, out, name=name: taken.update({name: int(args[1][0, 0])}))
    marks = torch.arange(6.0, dtype=torch.float64)[None, :, None].expand(1, -1, 7).contiguous()
    generator.synthesis(marks, dtype=torch.float64)
    order = {"b4.conv1": 0, "b4.torgb": 1, "b8.conv0": 1, "b8.conv1": 2, "b8.torgb": 3}
    order |= {"b16.conv0": 3, "b16.conv1": 4, "b16.torgb": 5}
    if architecture == "resnet":
        order = {name: index for name, index in order.items() if name in ("b16.torgb",) or "conv" in name}
    assert taken == {f"synthesis.{name}": index for name, index in order.items()}


def test_noise_modes() -> None:
    generator = build()
    w = randn(2, 7)

    def drawn(mode: str, seed: int = 0) -> torch.Tensor:
        source = torch.Generator().manual_seed(seed)
        return generator.synthesis(w, SynthesisOptions(noise=mode), generator=source, dtype=torch.float64)

    assert torch.equal(drawn("const"), drawn("const", 1))
    assert torch.equal(drawn("random"), drawn("random"))
    assert not torch.allclose(drawn("random"), drawn("random", 1), atol=0.01)
    assert not torch.allclose(drawn("const"), drawn("none"), atol=0.01)
    for module in generator.modules():
        if isinstance(module, Convolution):
            module.noise_const.zero_()
    assert torch.equal(drawn("const"), drawn("none"))
    # One plane a sample, the same for every channel, and not the same for two samples.
    block = generator.synthesis.b4
    assert isinstance(block, Block)
    layer = block.conv1
    layer.weight.zero_()
    layer.bias.zero_()
    field = layer(randn(2, 6, 4, 4), w, SynthesisOptions(noise="random"), torch.Generator().manual_seed(3))
    expected = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(3)).double() * layer.noise_strength
    assert np.allclose(field.numpy(), leaky(expected.expand(-1, 6, -1, -1).numpy()), atol=1e-12)


def test_equal_requests_are_equal_beside_any_neighbour() -> None:
    generator = build().float()
    w, others = torch.randn(1, 7), torch.randn(2, 7) * 5
    first, second = (generator.synthesis(torch.cat([w, other[None]])) for other in others)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    generator = build(architecture="resnet", conv_clamp=256.0).float()
    w = torch.randn(2, 7)
    full, half = generator.synthesis(w), generator.synthesis(w, dtype=dtype)
    assert half.dtype == torch.float32
    assert float((half - full).square().mean().sqrt() / full.std()) < (0.005 if dtype == torch.float16 else 0.04)


@pytest.mark.parametrize("up", [False, True])
def test_gradients_of_the_modulated_convolution(up: bool) -> None:
    torch.manual_seed(0)
    x, weight, style = (randn(*shape).requires_grad_() for shape in ((2, 2, 2, 2), (1, 2, 3, 3), (2, 2)))
    gain = torch.tensor(0.7, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, weight, style: modulated_conv2d(x, weight, style, up=up, input_gain=gain), (x, weight, style)
    )


def test_gradients_reach_everything() -> None:
    for architecture in ("skip", "resnet", "orig"):
        generator = build(architecture=architecture, c_dim=2).requires_grad_(True)
        rgb = generator.synthesis(generator.map(randn(2, 5), randn(2, 2)), dtype=torch.float64)
        rgb.square().sum().backward()
        assert [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 48}, "resolution: expected a power of two from 4 to 2048, got 48"),
        ({"architecture": "unet"}, "architecture: expected one of skip, resnet, orig, got 'unet'"),
        ({"z_dim": 0}, "z_dim: expected an integer from 1 to 8192, got 0"),
        ({"c_dim": -1}, "c_dim: expected"),
        ({"w_dim": True}, "w_dim: expected"),
        ({"mapping_features": 0}, "mapping_features: expected"),
        ({"conv_clamp": 0.0}, "conv_clamp: expected a number above 0"),
        ({"conv_clamp": math.nan}, "conv_clamp: expected"),
        ({"size": (4,)}, "size: expected two integers"),
        ({"size": 4}, "size: expected two integers"),
        ({"block_channels": (1, 2)}, "block_channels: expected 3 numbers"),
        ({"block_channels": (1, 2, 0)}, "block_channels: expected an integer"),
        ({"base_channels": 8}, "base_channels: expected at least the resolution, 16, got 8"),
        ({"use_noise": 1}, "use_noise: expected true or false, got 1"),
    ],
)
def test_configs_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**(TINY | changes))


def test_configs_survive_json() -> None:
    config = Config(**TINY, size=(2, 4), block_channels=(3, 2, 1))
    assert Config(**json.loads(json.dumps(asdict(config)))) == config
