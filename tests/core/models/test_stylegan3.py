"""The generator against plain float64 formulas written here from the paper, the schedule, and published names."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.models.filtered_lrelu import lowpass_filter, radial_filter
from core.models.stylegan3 import Config, Generator, InputSpec, Layer, LayerSpec
from core.request import SynthesisOptions
from tests.core.models.formulas import stirred

Array = NDArray[np.float64]

TINY: dict[str, Any] = {
    "resolution": 16,
    "z_dim": 5,
    "w_dim": 7,
    "base_channels": 32,
    "max_channels": 4,
    "num_layers": 4,
    "margin": 2,
    "first_cutoff": 1.0,
    "first_stopband": 2**1.1,
}
R: dict[str, Any] = {"kernel": 1, "radial": True}


def build(seed: int = 0, **changes: Any) -> Generator:
    """A tiny generator in float64 with every parameter moved away from its neutral start."""
    torch.manual_seed(seed)
    generator = Generator(Config(**(TINY | changes))).double().eval().requires_grad_(False)
    stirred(generator)
    return generator


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


# --- the plain formulas ---------------------------------------------------------------------------------------------


def dense(state: dict[str, Array], name: str, x: Array) -> Array:
    return state[f"{name}.weight"] @ x / math.sqrt(len(x)) + state[f"{name}.bias"]


def full_correlation(x_IHW: Array, kernel_OIKK: Array) -> Array:
    size = kernel_OIKK.shape[-1]
    x = np.pad(x_IHW, ((0, 0), (size - 1, size - 1), (size - 1, size - 1)))
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    y = np.zeros((len(kernel_OIKK), height, width))
    for i in range(size):
        for j in range(size):
            y += np.einsum("oi,ihw->ohw", kernel_OIKK[:, :, i, j], x[:, i : i + height, j : j + width])
    return y


def filtered(x_CHW: Array, kernel: Array) -> Array:
    """True convolution where the filter fits; [taps] on both axes or [taps, taps]."""
    kernel = np.outer(kernel, kernel) if kernel.ndim == 1 else kernel
    windows = np.lib.stride_tricks.sliding_window_view(x_CHW, kernel.shape, axis=(1, 2))
    return np.einsum("chwij,ij->chw", windows, kernel[::-1, ::-1])


def plain_input(state: dict[str, Array], spec: InputSpec, w: Array, transform: Array) -> Array:
    c, s, x, y = (lambda t: t / math.hypot(t[0], t[1]))(dense(state, "synthesis.input.affine", w))
    rotate = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    shift = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
    move = rotate @ shift @ state["synthesis.input.transform"] @ transform
    freqs, phases = state["synthesis.input.freqs"], state["synthesis.input.phases"]
    height, width = spec.size
    features = np.zeros((len(phases), height, width))
    for row in range(height):
        for column in range(width):
            # One pixel is 1 / rate; the middle of the picture is the origin.
            place = np.array([(column + 0.5 - width / 2) / spec.rate, (row + 0.5 - height / 2) / spec.rate, 1.0])
            features[:, row, column] = np.sin(2 * np.pi * (freqs @ (move @ place)[:2] + phases))
    seen = np.linalg.norm(freqs @ move[:2, :2], axis=1)
    features *= np.clip(1 - (seen - spec.bandwidth) / (spec.rate / 2 - spec.bandwidth), 0, 1)[:, None, None]
    return np.einsum("oi,ihw->ohw", state["synthesis.input.weight"] / math.sqrt(len(phases)), features)


def plain_layer(state: dict[str, Array], name: str, layer: LayerSpec, x: Array, w: Array, clamp: float) -> Array:
    weight = state[f"{name}.weight"]
    style = dense(state, f"{name}.affine", w)
    if layer.rgb:
        kernel = weight * style[None, :, None, None] / math.sqrt(weight[0].size)
    else:
        kernel = weight / np.sqrt((weight**2).mean(axis=(1, 2, 3), keepdims=True))
        kernel = kernel * (style / math.sqrt((style**2).mean()))[None, :, None, None]
        kernel = kernel / np.sqrt((kernel**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
    y = full_correlation(x, kernel / math.sqrt(state[f"{name}.magnitude_ema"]))
    y = y + state[f"{name}.bias"][:, None, None]
    if layer.rgb:
        return np.clip(y, -clamp, clamp)
    rate = 2 * max(layer.in_rate, layer.out_rate)
    up, down = int(rate / layer.in_rate), int(rate / layer.out_rate)
    up_filter, down_filter = state[f"{name}.up_filter"], state[f"{name}.down_filter"]
    zeros = np.zeros((len(y), y.shape[1] * up, y.shape[2] * up))
    zeros[:, ::up, ::up] = y
    pads = []
    for inputs, outputs in zip(layer.in_size, layer.out_size, strict=True):
        total = (outputs - 1) * down + 1 - (inputs + layer.kernel - 1) * up + len(up_filter) + len(down_filter) - 2
        pads.append((math.floor((total + up) / 2), total - math.floor((total + up) / 2)))
    y = np.pad(zeros, ((0, 0), *((max(low, 0), max(high, 0)) for low, high in pads)))
    (top, bottom), (left, right) = ((max(-low, 0), max(-high, 0)) for low, high in pads)
    y = y[:, top : y.shape[1] - bottom, left : y.shape[2] - right]
    y = filtered(y, up_filter) * up**2
    y = np.clip(np.where(y > 0, y, 0.2 * y) * math.sqrt(2), -clamp, clamp)
    return filtered(y, down_filter)[:, ::down, ::down]


def plain_generator(generator: Generator, ws: Array, transform: Array) -> Array:
    state = {name: tensor.numpy() for name, tensor in generator.state_dict().items()}
    config = generator.config
    x = plain_input(state, config.input_spec, ws[0], transform)
    for index, layer in enumerate(config.layer_specs):
        name = f"synthesis.L{index}_{layer.out_size[1]}_{layer.out_channels}"
        x = plain_layer(state, name, layer, x, ws[index + 1], config.conv_clamp or np.inf)
        assert x.shape == (layer.out_channels, *layer.out_size)
    return x * config.output_scale


# --- the schedule ---------------------------------------------------------------------------------------------------

T_1024 = "36_512 36_512 52_512 52_512 84_512 148_512 148_512 276_323 276_203 532_128 1044_81 1044_51 1044_32 1024_32"
R_1024 = "36_1024 36_1024 52_1024 52_1024 84_1024 148_1024 148_1024 276_645 276_406 532_256 1044_161 1044_102 1044_64"
T_256 = "36_512 36_512 36_512 52_512 52_512 84_512 84_512 148_512 148_512 148_362 276_256 276_181 276_128 256_128"


@pytest.mark.parametrize(
    ("config", "layers", "parameters"),
    [
        (Config(), f"{T_1024} 1024_3", 22_313_167),
        (Config(kernel=1, radial=True, base_channels=65536, max_channels=1024), f"{R_1024} 1024_64 1024_3", 15_093_151),
        (Config(resolution=256), f"{T_256} 256_3", 28_472_133),
    ],
)
def test_published_shapes(config: Config, layers: str, parameters: int) -> None:
    with torch.device("meta"):
        generator = Generator(config)
    names = [f"L{index}_{rest}" for index, rest in enumerate(layers.split())]
    assert list(generator.synthesis.layers) == names
    assert generator.num_ws == 16
    assert generator.output_size == (config.resolution, config.resolution)
    expected = {"mapping.w_avg", *(f"synthesis.input.{x}" for x in ("weight", "freqs", "phases", "transform"))}
    dense_layers = ["mapping.fc0", "mapping.fc1", "synthesis.input.affine"]
    for name in names:
        dense_layers.append(f"synthesis.{name}.affine")
        expected |= {f"synthesis.{name}.{part}" for part in ("weight", "bias", "magnitude_ema")}
        if name != names[-1]:
            expected |= {f"synthesis.{name}.up_filter", f"synthesis.{name}.down_filter"}
    expected |= {f"{name}.{part}" for name in dense_layers for part in ("weight", "bias")}
    state = generator.state_dict()
    assert set(state) == expected
    total = 2 * 512 * 513 + 4 * 513 + generator.config.input_spec.channels**2
    before = generator.config.input_spec.channels
    for name in names:
        channels = int(name.split("_")[2])
        kernel = 1 if name == names[-1] else config.kernel
        assert state[f"synthesis.{name}.weight"].shape == (channels, before, kernel, kernel)
        assert state[f"synthesis.{name}.magnitude_ema"].shape == ()
        total += 513 * before + kernel**2 * before * channels + channels
        before = channels
    assert sum(p.numel() for p in generator.parameters()) == total == parameters


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        (Config(resolution=256, base_channels=16384), 23.3),
        (Config(resolution=256, base_channels=32768, max_channels=1024, kernel=1, radial=True), 15.8),
    ],
)
def test_parameters_as_the_paper_counts_them(config: Config, millions: float) -> None:
    # Its ablation is at 256 px, with half the channels of the fine layers.
    with torch.device("meta"):
        generator = Generator(config)
    assert round(sum(p.numel() for p in generator.parameters()) / 1e6, 1) == millions


def test_bands_of_the_schedule() -> None:
    layers = Config().layer_specs
    for index, layer in enumerate(layers):
        share = min(index / 12, 1.0)
        cutoff, stopband = 2 * 256**share, 2**2.1 * (512 * 2**0.3 / 2**2.1) ** share
        assert layer.out_cutoff == pytest.approx(cutoff)
        assert layer.out_rate in (16, 32, 64, 128, 256, 512, 1024)
        assert layer.out_rate >= min(2 * stopband, 1024) > layer.out_rate / 2
        assert layer.out_half_width == pytest.approx(max(stopband, layer.out_rate / 2) - cutoff)
        before = layers[max(index - 1, 0)]
        for name in ("rate", "cutoff", "half_width"):
            assert getattr(layer, f"in_{name}") == getattr(before, f"out_{name}")
        assert layer.critical == (index >= 12)
    assert Config().input_spec == InputSpec(channels=512, size=(36, 36), rate=16.0, bandwidth=2.0)


def test_filters_of_a_layer() -> None:
    # Layer 1 of R at 1024: 16 to 16 pixels a side, at 32 in between; the last layer with filters is critical.
    config = Config(**(TINY | R | {"num_layers": 14, "resolution": 64, "base_channels": 256}))
    spec = config.layer_specs[1]
    layer = Layer(spec, config)
    rate = 2 * spec.out_rate
    up = lowpass_filter(12, cutoff=spec.in_cutoff, half_width=spec.in_half_width, rate=rate)
    down = radial_filter(12, cutoff=spec.out_cutoff, half_width=spec.out_half_width, rate=rate)
    assert torch.equal(layer.up_filter, up)
    assert torch.equal(layer.down_filter, down)
    assert Layer(config.layer_specs[-2], config).down_filter.ndim == 1
    rgb = Layer(config.layer_specs[-1], config)
    assert rgb.up_filter is None
    assert rgb.down_filter is None


# --- the whole ------------------------------------------------------------------------------------------------------


def turn(degrees: float, x: float = 0.0, y: float = 0.0, zoom: float = 1.0) -> Array:
    c, s = math.cos(math.radians(degrees)) * zoom, math.sin(math.radians(degrees)) * zoom
    return np.array([[c, -s, x], [s, c, y], [0, 0, 1.0]])


@pytest.mark.parametrize("changes", [{}, {"conv_clamp": 0.4}, R])
def test_pictures(changes: dict[str, Any]) -> None:
    generator = build(**changes)
    generator.synthesis.input.transform.copy_(torch.tensor(turn(10, 0.05)))
    ws = randn(2, generator.num_ws, 7)
    for i, transform in enumerate((turn(25, 0.1, -0.3), turn(0, zoom=1.5))):
        options = SynthesisOptions(transform=tuple(transform.flat))
        got = generator.synthesis(ws, options, dtype=torch.float64)
        assert got.shape == (2, 3, 16, 16)
        expected = plain_generator(generator, ws[i].numpy(), transform)
        assert np.allclose(got[i].numpy(), expected, rtol=0, atol=1e-10)
        if "conv_clamp" not in changes:
            assert expected.std() > 0.01


def test_layers_given_one_by_one() -> None:
    # Oblong, and the second layer reads other bands than the first one wrote, as grown files have it.
    rule = Config(**TINY).layer_specs
    layers = [rule[0], replace(rule[1], in_cutoff=1.3, in_half_width=1.9), *rule[2:]]
    widths = [26, 26, 27, 28, 29, 29]
    wide = tuple(
        replace(layer, in_size=(layer.in_size[0], before), out_size=(layer.out_size[0], after))
        for layer, before, after in zip(layers, widths, widths[1:], strict=False)
    )
    generator = build(layers=wide)
    assert generator.output_size == (16, 29)
    ws = randn(1, generator.num_ws, 7)
    got = generator.synthesis(ws, dtype=torch.float64)
    assert got.shape == (1, 3, 16, 29)
    assert np.allclose(got[0].numpy(), plain_generator(generator, ws[0].numpy(), np.eye(3)), rtol=0, atol=1e-10)
    config = generator.config
    assert Config(**json.loads(json.dumps(asdict(config)))) == config


def test_the_rule_spelled_out_is_the_same_generator() -> None:
    rule = build(**R)
    spelled = build(layers=rule.config.layer_specs, input=rule.config.input_spec)
    assert spelled.state_dict().keys() == rule.state_dict().keys()
    w = randn(1, 7)
    assert torch.equal(spelled.synthesis(w, dtype=torch.float64), rule.synthesis(w, dtype=torch.float64))


def test_mapping_truncation_and_classes() -> None:
    generator = build(c_dim=3)
    z, c = randn(2, 5), torch.eye(3, dtype=torch.float64)[:2]
    w, average = generator.mapping(z, c), generator.mapping.w_avg
    ws = generator.map(z, c, 0.5, 2)
    assert ws.shape == (2, 6, 7)
    assert torch.allclose(ws[:, :2], (average + 0.5 * (w - average))[:, None].expand(-1, 2, -1))
    assert torch.equal(ws[:, 2:], w[:, None].expand(-1, 4, -1))
    assert torch.equal(generator(z, c, psi=0.3), generator.synthesis(generator.map(z, c, 0.3)))
    with pytest.raises(ValueError, match="w: expected 6 styles, got 5"):
        generator.synthesis(ws[:, :5])


def test_equal_requests_are_equal_beside_any_neighbour() -> None:
    generator = build().float()
    w, others = torch.randn(1, 7), torch.randn(2, 7) * 5
    first, second = (generator.synthesis(torch.cat([w, other[None]])) for other in others)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])
    # No noise: its mode and its generator change nothing.
    assert torch.equal(generator.synthesis(w, SynthesisOptions(noise="random")), generator.synthesis(w))


@pytest.mark.parametrize("changes", [{}, R])
def test_the_picture_follows_the_users_transform(changes: dict[str, Any]) -> None:
    # A whole number of pixels: the features move by whole samples in the fine layers and by parts of one in the coarse
    # ones, which only filters that hold can hide.
    generator = build(resolution=32, num_layers=6, margin=6, first_cutoff=2.0, first_stopband=2**2.1, **changes)
    generator.synthesis.input.affine.weight.zero_()
    generator.synthesis.input.affine.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
    w = randn(1, 7)
    base = generator.synthesis(w, dtype=torch.float64)
    moved = generator.synthesis(w, SynthesisOptions(transform=tuple(turn(0, x=3 / 32).flat)), dtype=torch.float64)
    there, here, still = moved[..., :, :-3], base[..., :, 3:], base[..., :, :-3]
    assert float((there - here).square().mean()) < 0.01 * float((there - still).square().mean())
    if changes:  # a quarter turn about the middle, in the configuration made for it
        turned = generator.synthesis(w, SynthesisOptions(transform=tuple(turn(90).flat)), dtype=torch.float64)
        rotated = torch.rot90(base, 1, (2, 3))
        assert float((turned - rotated).square().mean()) < 0.01 * float((turned - base).square().mean())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    generator = build().float()
    w = torch.randn(2, 7)
    full, half = generator.synthesis(w), generator.synthesis(w, dtype=dtype)
    assert half.dtype == torch.float32
    assert float((half - full).square().mean().sqrt() / full.std()) < (0.01 if dtype == torch.float16 else 0.06)


def test_gradients_reach_everything() -> None:
    generator = build(c_dim=2).requires_grad_(True)
    rgb = generator.synthesis(generator.map(randn(2, 5), randn(2, 2)), dtype=torch.float64)
    rgb.square().sum().backward()
    assert [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()] == []


# --- configurations -------------------------------------------------------------------------------------------------

RULE = Config(**TINY).layer_specs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 48}, "resolution: expected a power of two from 16 to 2048, got 48"),
        ({"num_critical": 4}, "num_critical: expected below num_layers, 4, got 4"),
        ({"margin": -1}, "margin: expected an integer"),
        ({"kernel": 2}, "kernel: expected 1, 3, 5 or 7, got 2"),
        ({"filter_size": 1}, "filter_size: expected an integer from 2"),
        ({"oversampling": 1}, "expected cutoffs of layer 2 below half its oversampled rate, 8, got"),
        ({"first_cutoff": 8.0}, "half_width: expected a number above 0"),
        ({"output_scale": math.inf}, "output_scale: expected a number"),
        ({"conv_clamp": -1.0}, "conv_clamp: expected a number above 0"),
        ({"embed_features": 0}, "embed_features: expected an integer"),
        ({"layers": ()}, "layers: expected one or more"),
        ({"layers": RULE[:-1]}, "layers: expected one or more, of which the last alone is to RGB"),
        ({"layers": (*RULE[:2], *RULE[3:])}, "layers: expected layer 2 to take 4 channels"),
        ({"layers": ({"kernel": 3},)}, "LayerSpec: .*missing"),
        ({"input": {"channels": 4, "size": [8, 8], "rate": 8.0, "bandwidth": 4.0}}, "bandwidth: expected above 0"),
        ({"input": {"channels": 3, "size": [8, 8], "rate": 8.0, "bandwidth": 1.0}}, "expected layer 0 to take 3"),
    ],
)
def test_configs_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**(TINY | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_rate": 12.0}, "expected a whole ratio"),
        ({"out_cutoff": 0.0}, "out_cutoff: expected a number above 0"),
        ({"in_half_width": math.nan}, "in_half_width: expected"),
        ({"out_size": (8,)}, "out_size: expected two integers"),
        ({"rgb": True, "in_rate": 4.0}, "rgb: expected equal rates"),
    ],
)
def test_layer_specs_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RULE[0], **({"in_rate": 8.0, "out_rate": 8.0} | changes))
