"""The generator against the spec's numbers and against plain float64 formulas written here from the paper."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from core.models import registry
from core.models.layers import demodulation, modulated_conv2d, up_convolution, upsample
from core.models.stylegan_t import Config, Convolution, FourierInput, Generator, Mapping, Style
from core.request import SynthesisOptions
from tests.core.models.formulas import Array, correlate, plain_up_convolution, plain_upsample

TINY: dict[str, Any] = {
    "resolution": 32,
    "text_dim": 6,
    "z_dim": 5,
    "base_channels": 256,
    "max_channels": 12,
    "convs_per_block": 2,
    "norm_groups": 4,
}


def build(seed: int = 0, *, trained: bool = False, **changes: Any) -> Generator:
    """A tiny generator at its initialisation, or with every parameter moved away from its neutral start."""
    torch.manual_seed(seed)
    generator = Generator(Config(**(TINY | changes))).eval().requires_grad_(False)
    if trained:
        for name, tensor in generator.state_dict().items():
            if name.endswith(("noise_strength", "gamma")):
                tensor.uniform_(0.2, 0.8)
            elif name.endswith("f_avg") or name == "input.affine.weight":
                tensor.normal_(std=0.5)
            elif name.endswith("bias") and not name.startswith("mapping"):
                tensor.add_(torch.randn_like(tensor) * 0.3)
            elif name.endswith("norm.weight"):
                tensor.uniform_(0.5, 1.5)
    return generator


def f64(tensor: torch.Tensor) -> Array:
    return tensor.detach().double().numpy()


# --- the plain formulas ---------------------------------------------------------------------------------------------


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x)


def plain_style(layer: Style, w_W: Array) -> Array:
    h = f64(layer.weight) @ w_W / math.sqrt(len(w_W)) + f64(layer.bias)
    s1, s2, s3 = np.split(h, 3)
    return s1 * s2 + s3


def plain_convolution(layer: Convolution, x_IHW: Array, w_W: Array) -> Array:
    kernel = f64(layer.weight) * plain_style(layer.style, w_W)[None, :, None, None]
    kernel /= np.sqrt((kernel**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
    y = plain_up_convolution(x_IHW, kernel) if layer.up else correlate(x_IHW, kernel, 1)
    y = y + f64(layer.noise_const) * f64(layer.noise_strength) + f64(layer.bias)[:, None, None]
    if layer.up:
        return np.clip(leaky(y) * math.sqrt(2), -256, 256)
    return np.clip(leaky(y), -256 * math.sqrt(0.5), 256 * math.sqrt(0.5))


def plain_group_norm(x_CHW: Array, groups: int, weight: Array, bias: Array) -> Array:
    g = x_CHW.reshape(groups, -1)
    g = (g - g.mean(axis=1, keepdims=True)) / np.sqrt(g.var(axis=1, keepdims=True) + 1e-5)
    return g.reshape(x_CHW.shape) * weight[:, None, None] + bias[:, None, None]


def plain_fourier(layer: FourierInput, w_W: Array, transform: Array) -> Array:
    h = f64(layer.affine.weight) @ w_W / math.sqrt(len(w_W)) + f64(layer.affine.bias)
    c, s, x, y = h / math.hypot(h[0], h[1])
    rotate = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    shift = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
    move = rotate @ shift @ transform
    frequencies, phases = f64(layer.frequencies), f64(layer.phases)
    features = np.zeros((len(phases), 8, 8))
    for row in range(8):
        for column in range(8):
            # Where this pixel's centre comes from; the wave is the fixed one, seen there.
            place = (move @ np.array([(column + 0.5) / 8 - 0.5, (row + 0.5) / 8 - 0.5, 1.0]))[:2]
            features[:, row, column] = np.sin(2 * np.pi * (frequencies @ place + phases))
    seen = np.linalg.norm(frequencies @ move[:2, :2], axis=1)
    features *= np.clip(1 - (seen - 2) / (4 - 2), 0, 1)[:, None, None]
    return np.einsum("oi,ihw->ohw", f64(layer.weight) / math.sqrt(len(phases)), features)


def plain_mapping(layer: Mapping, z_Z: Array) -> Array:
    h = z_Z / math.sqrt((z_Z**2).mean() + 1e-8)
    for dense in (layer.hidden, layer.out):
        h = (f64(dense.weight) * 0.01) @ h / math.sqrt(len(h)) + f64(dense.bias) * 0.01
        if dense is layer.hidden:
            h = leaky(h) * math.sqrt(2)
    return h


def plain_generator(generator: Generator, ws: list[Array], transform: Array) -> Array:
    """[3, R, R] from one w for each of the generator's places, with constant noise."""
    x = plain_fourier(generator.input, ws[0], transform)
    index, rgb = 1, None
    for block in generator.blocks:
        for layer in block.layers:
            if hasattr(layer, "gamma"):
                groups, norm = layer.norm.num_groups, layer.norm
                h = plain_group_norm(x, groups, f64(norm.weight), f64(norm.bias))
                y = plain_convolution(layer.conv, h, ws[index])
                x = math.sqrt(2) * (h + f64(layer.gamma)[:, None, None] * y)
            else:
                x = plain_convolution(layer, x, ws[index])
            index += 1
        style = plain_style(block.to_rgb.style, ws[index]) / math.sqrt(len(x))
        skip = correlate(x, f64(block.to_rgb.weight) * style[None, :, None, None], 0)
        skip = np.clip(skip + f64(block.to_rgb.bias)[:, None, None], -256, 256)
        rgb = skip if rgb is None else plain_upsample(rgb) + skip
    assert rgb is not None
    return rgb


# --- the spec's numbers ---------------------------------------------------------------------------------------------


def counted(config: Config) -> int:
    """Parameters, added up from the paper's description."""
    z, w = 64, 64 + 768

    def styles(channels: int) -> int:
        return 3 * channels * (w + 1)

    def convolution(inputs: int, outputs: int) -> int:
        return styles(inputs) + 9 * inputs * outputs + outputs + 1  # bias, and one noise strength

    total = 2 * z * (z + 1)  # mapping
    previous = 0
    for resolution in config.resolutions:
        c = min(config.base_channels // resolution, config.max_channels)
        if previous:
            total += convolution(previous, c)
        else:
            total += 4 * (w + 1) + c * c  # Fourier input: its affine layer and its map
        # Pairs of a plain convolution and a residual one with GroupNorm's two vectors and LayerScale's one.
        total += config.convs_per_block * (2 * convolution(c, c) + 3 * c)
        total += styles(c) + 3 * c + 3  # to RGB
        previous = c
    return total


@pytest.mark.parametrize(
    ("name", "resolution", "millions", "num_ws"),
    [
        ("lite", 64, 74.6, 21),
        ("lite", 256, 85.7, 31),
        ("lite", 512, 87.0, 36),
        ("full", 64, 975.5, 29),
        ("full", 512, 1020.5, 50),
    ],
)
def test_parameter_counts(name: str, resolution: int, millions: float, num_ws: int) -> None:
    with torch.device("meta"):
        generator = Generator(registry.preset("stylegan_t", name, resolution=resolution, text_dim=768))
    count = sum(p.numel() for p in generator.parameters())
    assert count == counted(generator.config)
    # The published figures have one decimal; that of full@64 (975.556) is cut off rather than rounded.
    assert abs(count / 1e6 - millions) < 0.06
    assert generator.num_ws == num_ws
    assert (generator.resolution, generator.z_dim, generator.text_dim) == (resolution, 64, 768)


def test_channels() -> None:
    lite = registry.preset("stylegan_t", "lite", resolution=512, text_dim=768)
    assert [lite.channels(r) for r in lite.resolutions] == [512, 512, 512, 512, 256, 128, 64]
    full = registry.preset("stylegan_t", "full", resolution=512, text_dim=768)
    assert [full.channels(r) for r in full.resolutions] == [2048, 2048, 2048, 1024, 512, 256, 128]


def test_initial_values() -> None:
    generator = build()
    state = generator.state_dict()
    for name, tensor in state.items():
        if name.endswith("style.bias"):
            assert torch.equal(tensor, torch.ones_like(tensor)), name
        elif name.endswith(("noise_strength", "f_avg")) or (name.endswith("bias") and "input" not in name):
            assert not tensor.any(), name
        elif name.endswith("gamma"):
            assert torch.equal(tensor, torch.full_like(tensor, 1e-5)), name
    assert not state["input.affine.weight"].any()
    assert state["input.affine.bias"].tolist() == [1, 0, 0, 0]


# --- parts ----------------------------------------------------------------------------------------------------------


def test_fourier_frequencies_stay_inside_the_band() -> None:
    torch.manual_seed(0)
    layer = FourierInput(4096, 4)
    radius = layer.frequencies.norm(dim=1)
    assert float(radius.max()) <= 2.0
    # |f| = 2 exp(-|n|^2 / 4) with |n|^2 exponential of mean 2: |f| / 2 is uniform to the power 1/2.
    assert float((radius / 2).square().mean()) == pytest.approx(0.5, abs=0.02)
    angle = torch.atan2(layer.frequencies[:, 1], layer.frequencies[:, 0])
    assert abs(float(angle.cos().mean())) < 0.05
    assert layer.phases.min() >= -0.5
    assert layer.phases.max() <= 0.5
    assert float(layer.phases.var()) == pytest.approx(1 / 12, abs=0.005)


def turn(degrees: float, x: float = 0.0, y: float = 0.0, zoom: float = 1.0) -> Array:
    c, s = math.cos(math.radians(degrees)) * zoom, math.sin(math.radians(degrees)) * zoom
    return np.array([[c, -s, x], [s, c, y], [0, 0, 1.0]])


@pytest.mark.parametrize("transform", [turn(0), turn(30, 0.2, -0.1), turn(0, zoom=1.7), turn(200, 0.5, zoom=3.0)])
def test_fourier_input(transform: Array) -> None:
    torch.manual_seed(1)
    layer = FourierInput(16, 5)
    torch.nn.init.normal_(layer.affine.weight)
    w = torch.randn(2, 5)
    matrix = torch.tensor(transform, dtype=torch.float32)
    for given in (matrix, matrix.expand(2, 3, 3)):
        got = layer(w, given)
        for i in range(2):
            assert np.allclose(f64(got[i]), plain_fourier(layer, f64(w[i]), transform), atol=1e-5)


def test_the_users_transform_shifts_and_turns_the_input() -> None:
    torch.manual_seed(2)
    layer = FourierInput(16, 5)
    w = torch.zeros(1, 5)
    base = layer(w)
    shifted = layer(w, torch.tensor(turn(0, x=1 / 8), dtype=torch.float32))
    assert torch.allclose(shifted[..., :-1], base[..., 1:], atol=1e-5)
    shifted = layer(w, torch.tensor(turn(0, y=-2 / 8), dtype=torch.float32))
    assert torch.allclose(shifted[..., 2:, :], base[..., :-2, :], atol=1e-5)
    # Pixel (x, y) shows what was at (-y, x): with y downwards that is a quarter turn anticlockwise.
    turned = layer(w, torch.tensor(turn(90), dtype=torch.float32))
    assert torch.allclose(turned, torch.rot90(base, 1, (2, 3)), atol=1e-5)


def test_second_order_styles() -> None:
    torch.manual_seed(0)
    layer = Style(7, 4)
    w = torch.randn(3, 7)
    assert np.allclose(f64(layer(w)), [plain_style(layer, f64(row)) for row in w], atol=1e-5)
    assert torch.equal(layer(torch.zeros(1, 7)), torch.full((1, 4), 2.0))


@pytest.mark.parametrize("up", [False, True])
def test_modulation_and_demodulation(up: bool) -> None:
    torch.manual_seed(0)
    x, weight, style = torch.randn(2, 5, 8, 8), torch.randn(3, 5, 3, 3), torch.randn(2, 5) * 3
    got = modulated_conv2d(x, weight, style, up=up)
    bare = modulated_conv2d(x, weight, style, up=up, demodulate=False)
    for i in range(2):
        kernel = f64(weight) * f64(style[i])[None, :, None, None]
        unit = kernel / np.sqrt((kernel**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
        plain = plain_up_convolution if up else lambda x, k: correlate(x, k, 1)
        assert np.allclose(f64(got[i]), plain(f64(x[i]), unit), atol=1e-5)
        assert np.allclose(f64(bare[i]), plain(f64(x[i]), kernel), atol=1e-3)
    assert demodulation(weight, torch.zeros(1, 5)).tolist() == [[pytest.approx(1e4)] * 3]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, weight, style = torch.randn(1, 8, 8, 8), torch.randn(4, 8, 3, 3) * 1e3, torch.randn(1, 8) * 1e4
    got = modulated_conv2d(x.to(dtype), weight, style)
    assert got.dtype == dtype
    assert torch.allclose(got.float(), modulated_conv2d(x, weight, style), atol=0.05)


def test_up_convolution() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(1, 3, 5, 5), torch.randn(2, 3, 3, 3)
    got = up_convolution(x, weight)
    assert got.shape == (1, 2, 10, 10)
    assert np.allclose(f64(got[0]), plain_up_convolution(f64(x[0]), f64(weight)), atol=1e-5)
    # With a kernel that does nothing it is the upsampling, and that is linear interpolation between pixel centres.
    nothing = torch.zeros(3, 3, 3, 3)
    nothing[range(3), range(3), 1, 1] = 1
    assert torch.allclose(up_convolution(x, nothing), upsample(x), atol=1e-6)
    linear = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
    assert torch.allclose(upsample(x)[..., 1:-1, 1:-1], linear[..., 1:-1, 1:-1], atol=1e-6)
    assert np.allclose(f64(upsample(x)[0]), plain_upsample(f64(x[0])), atol=1e-6)


def test_mapping_and_truncation() -> None:
    generator = build(trained=True)
    z, c = torch.randn(3, 5) * 4, torch.randn(3, 6)
    f = np.stack([plain_mapping(generator.mapping, f64(row)) for row in z])
    assert np.allclose(f64(generator.mapping(z)), f, atol=1e-5)
    average = f64(generator.f_avg)
    for psi in (1.0, 0.3, 0.0, -1.0, 10.0):
        w = f64(generator.make_w(z, c, psi))
        assert np.allclose(w[:, :5], average + psi * (f - average), atol=1e-4)
        assert np.array_equal(w[:, 5:], f64(c))  # prompts stay exact at any psi


def test_the_average_follows_the_mapping() -> None:
    generator = build()
    f = torch.randn(4, 5)
    generator.mapping.update_average(f)
    assert np.allclose(f64(generator.f_avg), 0.005 * f64(f).mean(axis=0), atol=1e-7)


def test_a_residual_convolution_carries_the_normalised_input() -> None:
    generator = build(trained=True)
    layer = next(layer for layer in generator.blocks[1].layers if hasattr(layer, "gamma"))
    channels = generator.config.channels(16)
    x, w = torch.randn(1, channels, 16, 16) * 3 + 1, torch.randn(1, 11)
    h = plain_group_norm(f64(x[0]), 4, f64(layer.norm.weight), f64(layer.norm.bias))
    y = plain_convolution(layer.conv, h, f64(w[0]))
    expected = math.sqrt(2) * (h + f64(layer.gamma)[:, None, None] * y)
    assert np.allclose(f64(layer(x, w)[0]), expected, atol=1e-4)
    # At the start it is the normalised input alone, up to a part in a hundred thousand.
    start = next(layer for layer in build().blocks[1].layers if hasattr(layer, "gamma"))
    plain = math.sqrt(2) * torch.nn.functional.group_norm(x, 4)
    assert float((start(x, w) - plain).abs().max()) < 1e-3


# --- the whole ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("convs_per_block", [1, 2])
def test_pictures(trained: bool, convs_per_block: int) -> None:
    generator = build(trained=trained, convs_per_block=convs_per_block)
    z, c = torch.randn(2, 5), torch.nn.functional.normalize(torch.randn(2, 6))
    rgb = generator(z, c, psi=0.7)
    assert rgb.shape == (2, 3, 32, 32)
    assert rgb.dtype == torch.float32
    for i in range(2):
        w = f64(generator.make_w(z[i : i + 1], c[i : i + 1], 0.7)[0])
        assert np.allclose(f64(rgb[i]), plain_generator(generator, [w] * generator.num_ws, np.eye(3)), atol=2e-4)


def test_pictures_from_one_w_for_each_layer_and_a_transform() -> None:
    generator = build(trained=True)
    ws = torch.randn(1, generator.num_ws, 11)
    transform = turn(25, 0.1, -0.3)
    got = generator.synthesis(ws, SynthesisOptions(transform=tuple(transform.flat)))
    assert np.allclose(f64(got[0]), plain_generator(generator, list(f64(ws[0])), transform), atol=2e-4)


def test_which_layer_takes_which_w() -> None:
    generator = build(trained=True)
    taken: dict[str, torch.Tensor] = {}
    for name, module in generator.named_modules():
        if isinstance(module, Style) or name == "input.affine":
            module.register_forward_hook(lambda m, args, out, name=name: taken.update({name: args[0]}))
    marks = torch.arange(float(generator.num_ws))[None, :, None].expand(1, -1, 11).contiguous()
    generator.synthesis(marks)
    order = {name: int(w[0, 0]) for name, w in taken.items()}
    assert order["input.affine"] == 0
    convolutions = [index for name, index in order.items() if "to_rgb" not in name and "blocks" in name]
    assert convolutions == list(range(1, generator.num_ws - 1))
    # A ToRGB shares the index of the next block's first convolution; the last has its own.
    assert [order[f"blocks.{b}.to_rgb.style"] for b in range(3)] == [5, 10, 15]
    assert order["blocks.1.layers.0.style"] == 5
    assert order["blocks.2.layers.0.style"] == 10
    assert generator.num_ws == 16


def test_style_mixing_changes_only_what_comes_later() -> None:
    generator = build(trained=True)
    outputs: dict[str, torch.Tensor] = {}
    order = ["input", *(f"blocks.{b}.layers.{i}" for b in range(3) for i in range(len(generator.blocks[b].layers)))]
    for name, module in generator.named_modules():
        if name in order:
            module.register_forward_hook(lambda m, args, out, name=name: outputs.update({name: out.clone()}))
    one = torch.randn(1, 1, 11).expand(1, generator.num_ws, 11)
    base_rgb = generator.synthesis(one)
    base = dict(outputs)
    for index in range(generator.num_ws):
        mixed = one.clone()
        mixed[:, index] = torch.randn(11)
        rgb = generator.synthesis(mixed)
        changed = [name for name in order if not torch.equal(outputs[name], base[name])]
        assert changed == order[index:]
        assert not torch.equal(rgb, base_rgb)
    with pytest.raises(ValueError, match="expected 16 styles, got 15"):
        generator.synthesis(one[:, :15])


def test_noise_modes() -> None:
    generator = build(trained=True)
    w = torch.randn(2, 11)

    def drawn(mode: str, seed: int = 0, source: Generator = generator) -> torch.Tensor:
        return source.synthesis(w, SynthesisOptions(noise=mode), generator=torch.Generator().manual_seed(seed))  # type: ignore[arg-type]

    assert torch.equal(drawn("const"), drawn("const", seed=1))
    assert torch.equal(drawn("none"), drawn("none", seed=1))
    assert torch.equal(drawn("random"), drawn("random"))
    assert not torch.allclose(drawn("random"), drawn("random", seed=1), atol=0.01)
    assert not torch.allclose(drawn("const"), drawn("none"), atol=0.01)
    assert not torch.allclose(drawn("const"), drawn("random"), atol=0.01)
    silent = build()  # strengths start at zero
    assert torch.equal(drawn("const", source=silent), drawn("none", source=silent))
    assert torch.equal(drawn("random", source=silent), drawn("none", source=silent))


def test_noise_is_one_plane_per_sample_times_the_strength() -> None:
    layer = build(trained=True).blocks[0].layers[0]
    strength = float(layer.noise_strength)
    assert layer.noise(2, SynthesisOptions(noise="none"), None) is None
    assert torch.equal(layer.noise(2, SynthesisOptions(noise="const"), None), layer.noise_const * strength)
    expected = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(3)) * strength
    random = SynthesisOptions(noise="random", noise_seed=3)
    assert torch.equal(layer.noise(2, random, torch.Generator().manual_seed(3)), expected)


def test_activations_are_clamped() -> None:
    generator = build(trained=True)
    for block in generator.blocks:
        block.to_rgb.bias.fill_(1e4)
        for layer in block.layers:
            (layer.conv if hasattr(layer, "conv") else layer).bias.fill_(1e4)
    seen: list[tuple[bool, float]] = []
    for module in generator.modules():
        if isinstance(module, Convolution):
            module.register_forward_hook(lambda m, args, out: seen.append((m.up, float(out.max()))))
    rgb = generator.synthesis(torch.randn(1, 11))
    assert {value for up, value in seen if up} == {256.0}
    assert {round(value, 3) for up, value in seen if not up} == {round(256 * math.sqrt(0.5), 3)}
    assert float(rgb.max()) == pytest.approx(3 * 256, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_pictures(dtype: torch.dtype) -> None:
    generator = build(trained=True)
    w = torch.randn(2, 11)
    half = generator.synthesis(w, dtype=dtype)
    full = generator.synthesis(w)
    assert half.dtype == torch.float32
    assert float((half - full).square().mean().sqrt() / full.std()) < (0.003 if dtype == torch.float16 else 0.03)


def test_the_picture_follows_the_users_transform() -> None:
    # Far from the border and without noise, moving the input by one of its pixels moves the picture by 8 of 64.
    generator = build(resolution=64, convs_per_block=1, max_channels=32, base_channels=2048, norm_groups=8)
    w = torch.randn(1, 11)
    base = generator.synthesis(w, SynthesisOptions(noise="none"))
    moved = generator.synthesis(w, SynthesisOptions(noise="none", transform=tuple(turn(0, x=1 / 8).flat)))
    inside = slice(16, 40)
    there, here = moved[..., inside, inside], base[..., inside, slice(24, 48)]
    still = base[..., inside, inside]
    assert float((there - here).square().mean()) < 0.2 * float((there - still).square().mean())
    turned = generator.synthesis(w, SynthesisOptions(noise="none", transform=tuple(turn(90).flat)))
    assert float((turned - base).square().mean()) > 0.1 * float(base.var())


# --- configurations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"resolution": 48}, "resolution"),
        ({"resolution": 4}, "resolution"),
        ({"resolution": 4096}, "resolution"),
        ({"z_dim": 0}, "z_dim"),
        ({"text_dim": 1.5}, "text_dim"),
        ({"convs_per_block": True}, "convs_per_block"),
        ({"norm_groups": 5}, "norm_groups"),
        ({"base_channels": 16}, "norm_groups"),
    ],
)
def test_configs_are_checked(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Config(**(TINY | changes))


def test_registry() -> None:
    assert registry.config_from_dict("stylegan_t", TINY) == Config(**TINY)
    assert isinstance(registry.build("stylegan_t", TINY), Generator)
    for values in (TINY | {"surprise": 1}, {k: v for k, v in TINY.items() if k != "z_dim"}):
        with pytest.raises(ValueError, match=r"missing or unknown: (surprise|z_dim)"):
            registry.build("stylegan_t", values)
    with pytest.raises(ValueError, match="expected one of .*stylegan_t.*, got 'gan'"):
        registry.build("gan", TINY)
    with pytest.raises(ValueError, match="expected one of nano, .*lite, full.*, got 'huge'"):
        registry.preset("stylegan_t", "huge", resolution=64, text_dim=8)
    nano = registry.preset("stylegan_t", "nano", resolution=64, text_dim=128)
    assert (nano.resolution, nano.text_dim) == (64, 128)
