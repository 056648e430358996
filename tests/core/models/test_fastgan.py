"""The generator against plain float64 formulas on published tensors, spectral normalisation included."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.models import family
from core.models.fastgan import Config, Excitation, Generator, UpBlock, from_published, spectral_weight
from core.request import SynthesisOptions
from tests.core.models.formulas import Array, correlate

TINY: dict[str, Any] = {"resolution": 128, "z_dim": 6, "side_channels": (5, 4, 3, 4, 3, 2)}
CLASSES: dict[str, Any] = {"c_dim": 3, "embed_classes": 4}


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64)


def build(seed: int = 0, **changes: Any) -> Generator:
    """A tiny generator in float64 with every parameter moved away from its neutral start."""
    torch.manual_seed(seed)
    generator = Generator(Config(**(TINY | changes))).double().eval().requires_grad_(False)
    for name, tensor in generator.state_dict().items():
        if name.endswith("_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point() and (tensor.ndim == 1 or "embed" in name):
            tensor.add_(torch.randn_like(tensor) * 0.3)
    return generator


# --- published tensors, and the plain formulas on them --------------------------------------------------------------


def published(config: Config) -> dict[str, torch.Tensor]:
    """Random tensors under published names, with convolutions as spectral normalisation stores them."""
    torch.manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}
    channels, classes = config.channels, bool(config.c_dim)

    def convolution(name: str, shape: tuple[int, ...], *, rows: int = 0) -> None:
        weight = tensors[f"{name}.weight_orig"] = randn(*shape)
        v = tensors[f"{name}.weight_v"] = F.normalize(randn(weight.numel() // shape[rows]), dim=0)
        tensors[f"{name}.weight_u"] = F.normalize(weight.movedim(rows, 0).flatten(1) @ v, dim=0)

    def norm(name: str, count: int, *, conditional: bool) -> None:
        averages = ("stored_mean", "stored_var") if conditional else ("running_mean", "running_var")
        if conditional:
            for part in ("gain", "bias"):
                tensors[f"{name}.{part}.weight"] = randn(count, config.z_dim) * 0.2
                tensors[f"{name}.{part}.bias"] = randn(count)
        else:
            tensors.update({f"{name}.weight": randn(count), f"{name}.bias": randn(count)})
            tensors[f"{name}.num_batches_tracked"] = torch.tensor(9)
        tensors[f"{name}.{averages[0]}"] = randn(count)
        tensors[f"{name}.{averages[1]}"] = torch.rand(count, dtype=torch.float64) + 0.5

    convolution("synthesis.init.init.0", (config.z_dim, 2 * channels[4], 4, 4), rows=1)
    norm("synthesis.init.init.1", 2 * channels[4], conditional=False)
    for side in config.sides[1:]:
        block, inputs, outputs = f"synthesis.feat_{side}", channels[side // 2], channels[side]
        steps = (
            [("conv1", "noise", "bn1"), ("conv2", "noise", "bn2")] if classes else [("1", "2", "3"), ("5", "6", "7")]
        )
        if config.lite:
            steps = [("conv", "", "bn")] if classes else [("1", "", "2")]
        for name, noise, bn in steps:
            convolution(f"{block}.{name}", (2 * outputs, inputs, 3, 3))
            if noise:
                tensors[f"{block}.{noise}.weight"] = randn(1)
            norm(f"{block}.{bn}", 2 * outputs, conditional=classes)
            inputs = outputs
        if 64 <= side <= 512:
            convolution(f"synthesis.se_{side}.main.1", (channels[side], channels[side // 16], 4, 4))
            convolution(f"synthesis.se_{side}.main.3", (channels[side], channels[side], 1, 1))
    convolution("synthesis.to_big", (3, channels[config.resolution], 3, 3))
    tensors["synthesis.to_big.bias"] = randn(3)
    if classes:
        tensors["synthesis.embed.weight"] = randn(config.embed_classes, config.z_dim)
    return tensors


def effective(tensors: dict[str, Array], name: str, *, rows: int = 0) -> Array:
    weight = tensors[f"{name}.weight_orig"]
    matrix = np.moveaxis(weight, rows, 0).reshape(weight.shape[rows], -1)
    return weight / (tensors[f"{name}.weight_u"] @ matrix @ tensors[f"{name}.weight_v"])


def sigmoid(x: Array) -> Array:
    return (1 + np.tanh(x / 2)) / 2


def plain_norm(tensors: dict[str, Array], name: str, x: Array, y: Array | None) -> Array:
    if y is None or f"{name}.weight" in tensors:
        gain, bias, averages = tensors[f"{name}.weight"], tensors[f"{name}.bias"], "running"
    else:
        gain = 1 + tensors[f"{name}.gain.weight"] @ y + tensors[f"{name}.gain.bias"]
        bias, averages = tensors[f"{name}.bias.weight"] @ y + tensors[f"{name}.bias.bias"], "stored"
    mean, variance = (tensors[f"{name}.{averages}_{part}"][:, None, None] for part in ("mean", "var"))
    return (x - mean) / np.sqrt(variance + 1e-5) * gain[:, None, None] + bias[:, None, None]


def gated(x: Array) -> Array:
    return x[: len(x) // 2] * sigmoid(x[len(x) // 2 :])


def plain_excitation(first: Array, second: Array, early: Array, late: Array) -> Array:
    step = early.shape[1] // 4
    pooled = early.reshape(len(early), 4, step, 4, step).mean(axis=(2, 4))
    x = np.einsum("oihw,ihw->o", first, pooled)
    return late * sigmoid(second[:, :, 0, 0] @ (x * sigmoid(x)))[:, None, None]


def plain_synthesis(
    tensors: dict[str, Array], w: Array, config: Config, noise: dict[tuple[int, int], Array] | None
) -> Array:
    """[3, H, W] from (z, class); `noise` is by side and place in the block."""
    z, y = w[: config.z_dim], w[config.z_dim :] if config.c_dim else None
    x = np.einsum("i,iohw->ohw", z, effective(tensors, "synthesis.init.init.0", rows=1))
    features = {4: gated(plain_norm(tensors, "synthesis.init.init.1", x, None))}
    for side in config.sides[1:]:
        x = features[side // 2].repeat(2, axis=1).repeat(2, axis=2)
        block = f"synthesis.feat_{side}."
        weights = [n for n in tensors if n.startswith(block) and n.endswith("weight_orig")]
        for index, name in enumerate(n.removesuffix(".weight_orig") for n in weights):
            x = correlate(x, effective(tensors, name), 1)
            if noise is not None and not config.lite:
                strength = f"{block}noise" if config.c_dim else f"{block}{2 + 4 * index}"
                x = x + noise[side, index] * tensors[f"{strength}.weight"]
            norms = {"conv": "bn", "conv1": "bn1", "conv2": "bn2", "1": "2" if config.lite else "3", "5": "7"}
            x = gated(plain_norm(tensors, block + norms[name.removeprefix(block)], x, y))
        if 64 <= side <= 512:
            gate = f"synthesis.se_{side}.main"
            x = plain_excitation(
                effective(tensors, f"{gate}.1"), effective(tensors, f"{gate}.3"), features[side // 16], x
            )
        features[side] = x
    rgb = correlate(features[config.resolution], effective(tensors, "synthesis.to_big"), 1)
    return rgb + tensors["synthesis.to_big.bias"][:, None, None]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lite": True},
        CLASSES,
        CLASSES | {"lite": True},
        {"resolution": 256, "side_channels": (5, 4, 3, 4, 3, 2, 2), "lite": True, "tanh": True},
    ],
)
def test_pictures_of_a_published_file(changes: dict[str, Any]) -> None:
    config = Config(**(TINY | changes))
    tensors = published(config)
    got, state = from_published(tensors, c_dim=config.c_dim or None, tanh=config.tanh)
    assert asdict(got) == asdict(config) | {"embed_classes": 4 if config.c_dim else 1000}
    generator = Generator(got).double().requires_grad_(False)
    generator.load_state_dict(state)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    w = randn(2, generator.w_dim)
    const = {
        (side, index): generator.get_submodule(f"synthesis.feat_{side}").get_buffer(f"noise_const{index}").numpy()
        for side in config.sides[1:]
        for index in range(0 if config.lite else 2)
    }
    for mode, fields in (("const", const), ("none", None)):
        pictures = generator.synthesis(w, SynthesisOptions(noise=mode), dtype=torch.float64).numpy()
        expected = plain_synthesis(arrays, w[1].numpy(), config, fields)
        if config.tanh:
            expected = np.tanh(expected)
        assert pictures.shape == (2, 3, *generator.output_size)
        assert np.allclose(pictures[1], expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


def test_a_file_at_128_px_carries_unused_layers() -> None:
    config = Config(**TINY)
    larger = published(Config(**(TINY | {"resolution": 256, "side_channels": (5, 4, 3, 4, 3, 2, 1)})))
    unused = {name: t for name, t in larger.items() if name.startswith(("synthesis.feat_256.", "synthesis.se_256."))}
    tensors = published(config)
    got, state = from_published(tensors | unused)
    assert got == config
    assert state.keys() == from_published(tensors)[1].keys()


def test_spectral_normalisation_is_torchs() -> None:
    torch.manual_seed(0)
    for layer, dim in ((torch.nn.Conv2d(3, 4, 3), 0), (torch.nn.ConvTranspose2d(3, 4, 2), 1)):
        normalised = torch.nn.utils.spectral_norm(layer, dim=dim).double().eval()
        normalised(randn(1, 3, 5, 5))
        state = normalised.state_dict()
        got = spectral_weight(state["weight_orig"], state["weight_u"], state["weight_v"], dim=dim)
        assert torch.allclose(got, normalised.weight, atol=1e-12)
    with pytest.raises(ValueError, match=r"spectral normalisation: expected vectors of 4 and 6, got \[3\] and \[6\]"):
        spectral_weight(randn(4, 6, 1, 1), randn(3), randn(6))


@pytest.mark.parametrize(
    ("without", "spare", "message"),
    [
        ("synthesis.feat_8.1.weight_u", {}, "synthesis.feat_8.1.weight_u: expected beside"),
        ("synthesis.feat_16.3.bias", {}, r"synthesis.feat_16.3.bias: expected \[6\], got no such tensor"),
        ("synthesis.feat_32.1.weight_orig", {}, "synthesis.feat_32.1.weight: expected it, got none"),
        ("", {"synthesis.feat_8.9.bias": (2,)}, r"synthesis.feat_8.9.bias: expected no such tensor, got \[2\]"),
        ("", {"synthesis.feat_8.3.bias": (2,)}, r"synthesis.feat_8.3.bias: expected \[8\], got \[2\]"),
        ("synthesis.to_big.weight_orig", {"synthesis.to_big.weight": (2,)}, "to_big.weight: expected 4 dimensions"),
    ],
)
def test_what_is_not_such_a_file(without: str, spare: dict[str, Any], message: str) -> None:
    tensors = {name: tensor for name, tensor in published(Config(**TINY)).items() if name != without}
    with pytest.raises(ValueError, match=message):
        from_published(tensors | {name: torch.ones(shape) for name, shape in spare.items()})


# --- the protocol ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, CLASSES, {"lite": True}])
def test_promises(changes: dict[str, Any]) -> None:
    generator = build(**changes).float()
    promised: family.Generator = generator
    assert promised.conditioning == ("class" if promised.c_dim else "none")
    assert promised.num_ws == 1
    assert promised.has_noise == ("lite" not in changes)
    z = torch.randn(2, 6) * 3
    c = torch.tensor([[0, 1, 0], [0.5, 0, 0.5]]) if promised.c_dim else None
    ws = promised.map(z, c, psi=0.5)
    assert ws.shape == (2, 1, promised.w_dim) == (2, 1, 12 if promised.c_dim else 6)
    unit = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    assert torch.allclose(ws[:, 0, :6], 0.5 * unit, atol=1e-6)
    assert torch.allclose(promised.map(z, c)[:, 0, :6], unit, atol=1e-6)
    assert torch.equal(promised.map(z, c, 0.5, 0), promised.map(z, c))
    if promised.c_dim:
        table = generator.synthesis.embed.weight
        assert torch.allclose(ws[:, 0, 6:], torch.stack([table[1], (table[0] + table[2]) / 2]), atol=1e-6)
    seen: dict[str, tuple[Any, int]] = {}
    for layer in promised.layers:
        generator.get_submodule(layer.name).register_forward_hook(
            lambda module, args, out, name=layer.name: seen.update({name: (tuple(out.shape[2:]), out.shape[1])})
        )
    picture = promised.synthesis(ws, SynthesisOptions(noise="const"), generator=torch.Generator(), dtype=torch.float32)
    assert picture.shape == (2, 3, *promised.output_size)
    assert seen == {layer.name: (layer.size, layer.channels) for layer in promised.layers}
    assert list(seen) == [layer.name for layer in promised.layers]
    assert {layer.style for layer in promised.layers} == {0}
    assert torch.equal(picture, generator(z, c, psi=0.5))
    assert torch.allclose(promised.synthesis(ws[:1]), picture[:1], atol=1e-5)


def test_what_does_not_fit() -> None:
    plain, classes = build(lite=True), build(lite=True, **CLASSES)
    with pytest.raises(ValueError, match=r"w: expected \[N, 12\], got \[1, 6\]"):
        classes.synthesis(randn(1, 6))
    with pytest.raises(ValueError, match="w: expected 1 styles, got 2"):
        plain.synthesis(randn(1, 2, 6))
    with pytest.raises(ValueError, match=r"z: expected \[N, 6\], got \[1, 5\]"):
        plain.map(randn(1, 5))
    with pytest.raises(ValueError, match=r"label: expected \[1, 3\], got none"):
        classes.map(randn(1, 6))
    with pytest.raises(ValueError, match="label: expected none"):
        plain.map(randn(1, 6), randn(1, 3))
    with pytest.raises(ValueError, match="cutoff: expected a number of layers from 0 to 1, got 2"):
        plain.map(randn(1, 6), None, 0.5, 2)


def test_noise_modes() -> None:
    generator, other = build(), build(1)
    w = randn(2, 6)

    def drawn(mode: Any, seed: int = 0) -> torch.Tensor:
        source = torch.Generator().manual_seed(seed)
        return generator.synthesis(w, SynthesisOptions(noise=mode), generator=source, dtype=torch.float64)

    assert torch.equal(drawn("const"), drawn("const", 1))
    assert torch.equal(drawn("random"), drawn("random"))
    assert not torch.allclose(drawn("random"), drawn("random", 1), atol=1e-4)
    assert not torch.allclose(drawn("const"), drawn("none"), atol=1e-4)
    assert not [name for name in generator.state_dict() if "const" in name]
    fields = [generator.get_submodule("synthesis.feat_16").get_buffer(f"noise_const{index}") for index in (0, 1)]
    assert torch.equal(fields[0], other.get_submodule("synthesis.feat_16").get_buffer("noise_const0"))
    assert not torch.equal(fields[0], fields[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    generator = build().float()
    w = torch.randn(2, 6)
    full, half = generator.synthesis(w), generator.synthesis(w, dtype=dtype)
    assert half.dtype == torch.float32
    assert float((half - full).square().mean().sqrt() / full.std()) < (0.01 if dtype == torch.float16 else 0.08)


def test_gradients() -> None:
    torch.manual_seed(0)
    block = UpBlock(2, 2, 4, Config(z_dim=2, c_dim=2)).double()
    gate = Excitation(2, 2).double()
    x, y, late = (randn(*shape).requires_grad_() for shape in ((1, 2, 2, 2), (1, 2), (1, 2, 2, 3)))
    assert torch.autograd.gradcheck(block, (x, y))
    early = randn(1, 2, 4, 8).requires_grad_()
    assert torch.autograd.gradcheck(gate, (early, late))
    generator = build(**CLASSES).requires_grad_(True)
    generator.synthesis(generator.map(randn(2, 6), randn(2, 3)), dtype=torch.float64).square().sum().backward()
    assert [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_published_shape() -> None:
    with torch.device("meta"):
        generator = Generator(Config(resolution=1024))
    state = generator.state_dict()
    assert generator.config.channels == {
        4: 2048,
        8: 1024,
        16: 512,
        32: 256,
        64: 256,
        128: 128,
        256: 64,
        512: 32,
        1024: 16,
    }
    assert state["synthesis.init.init.0.weight"].shape == (256, 4096, 4, 4)
    assert state["synthesis.se_512.main.1.weight"].shape == (32, 256, 4, 4)
    assert state["synthesis.to_big.weight"].shape == (3, 16, 3, 3)
    assert "synthesis.se_1024.main.1.weight" not in state


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 64}, r"resolution: expected one of \(128, 256, 512, 1024\), got 64"),
        ({"z_dim": 0}, "z_dim: expected an integer from 1 to 8192, got 0"),
        ({"c_dim": 5, "embed_classes": 4}, "c_dim: expected at most embed_classes, 4, got 5"),
        ({"base_channels": 4}, "base_channels: expected an integer from 8"),
        ({"side_channels": (1, 2)}, "side_channels: expected 6 numbers"),
        ({"side_channels": (1, 2, 3, 4, 5, 0)}, "side_channels: expected an integer"),
        ({"lite": 1}, "lite: expected true or false, got 1"),
        ({"tanh": None}, "tanh: expected true or false, got None"),
    ],
)
def test_configs_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**(TINY | changes))


def test_configs_survive_json() -> None:
    config = Config(**TINY, **CLASSES)
    assert Config(**json.loads(json.dumps(asdict(config)))) == config
