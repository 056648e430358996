"""What StyleGAN-XL adds to StyleGAN3 against plain float64 formulas, and layers as grown files describe them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.models import stylegan3
from core.models.stylegan3 import LayerSpec
from core.models.stylegan_xl import Config, Generator
from core.models.stylegan_xl import grown as grow
from tests.core.models import test_stylegan3
from tests.core.models.formulas import stirred

Array = NDArray[np.float64]

TINY: dict[str, Any] = test_stylegan3.TINY | {"embed_classes": 6, "embed_features": 8}


def build(seed: int = 0, **changes: Any) -> Generator:
    """A tiny generator in float64 with every parameter moved away from its neutral start."""
    torch.manual_seed(seed)
    generator = Generator(Config(**(TINY | changes))).double().eval().requires_grad_(False)
    stirred(generator)
    return generator


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


# --- mapping and truncation -----------------------------------------------------------------------------------------


def unit(x: Array) -> Array:
    return x / np.sqrt((x**2).mean() + 1e-8)


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x) * math.sqrt(2)


def plain_mapping(state: dict[str, Array], z: Array, c: Array | None) -> Array:
    x = unit(z)
    if c is not None:
        features = sum(share * state["mapping.embed.weight"][index] for index, share in enumerate(c))
        weight, bias = state["mapping.embed_proj.weight"], state["mapping.embed_proj.bias"]
        x = np.concatenate([x, unit(leaky(weight @ features / math.sqrt(len(features)) + bias))])
    for index in range(2):
        weight, bias = (state[f"mapping.fc{index}.{part}"] * 0.01 for part in ("weight", "bias"))
        x = leaky(weight @ x / math.sqrt(len(x)) + bias)
    return x


C = torch.tensor([[0, 1, 0], [0.25, 0, 0.75]], dtype=torch.float64)


@pytest.mark.parametrize("classes", [0, 3])
def test_mapping_and_truncation(classes: int) -> None:
    generator = build(c_dim=classes)
    state = {name: tensor.numpy() for name, tensor in generator.state_dict().items()}
    z = randn(2, 5) * 3
    c = C if classes else None
    assert generator.conditioning == ("class" if classes else "none")
    w = np.stack([plain_mapping(state, z[i].numpy(), C[i].numpy() if classes else None) for i in range(2)])
    average = state["mapping.w_avg"]
    assert average.shape == ((3, 7) if classes else (7,))
    centre = np.stack([average[1], 0.25 * average[0] + 0.75 * average[2]]) if classes else np.stack([average] * 2)
    for psi, cutoff in ((1.0, None), (0.5, None), (0.5, 2), (-1.0, 0), (0.0, 6)):
        ws = generator.map(z, c, psi, cutoff).numpy()
        assert ws.shape == (2, 6, 7)
        for layer in range(6):
            moved = cutoff is None or layer < cutoff
            assert np.allclose(ws[:, layer], centre + psi * (w - centre) if moved else w, atol=1e-12)
    assert torch.equal(generator(z, c, psi=0.5), generator.synthesis(generator.map(z, c, 0.5)))


def test_a_class_alone_is_its_row() -> None:
    # As published it is looked up; here it is a product with class weights, which must not change a bit.
    generator = build(c_dim=3).float()
    row = generator.mapping.embed_proj(generator.mapping.embed(torch.tensor([1])))
    weights = torch.tensor([[0.0, 1.0, 0.0]])
    assert torch.equal(generator.mapping.embed_label(weights), torch.nn.functional.leaky_relu(row, 0.2) * 2**0.5)
    assert torch.equal(generator.mapping.average(weights), generator.mapping.w_avg[1:2])


def test_truncation_towards_the_nearest_centroid() -> None:
    for classes in (0, 3):
        generator = build(c_dim=classes)
        z, c = randn(4, 5), torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]] if classes else None
        w = generator.mapping(z, c).numpy()
        centroids = w[[2, 0, 3]] + 0.01 * randn(3, 7).numpy()
        generator.centroids = torch.tensor(centroids, dtype=torch.float32)
        ws = generator.map(z, c, 0.3, 5).numpy()
        nearest = np.array([((centroids - one) ** 2).sum(axis=1).argmin() for one in w])
        assert list(nearest[[0, 2, 3]]) == [1, 0, 2]
        expected = centroids[nearest] + 0.3 * (w - centroids[nearest])
        assert np.allclose(ws[:, :5], expected[:, None], atol=1e-6)
        assert np.array_equal(ws[:, 5], w)
        alone = generator.map(z[1:2], None if c is None else c[1:2], 0.3)
        assert np.allclose(alone[0, 0].numpy(), ws[1, 0], atol=1e-12)
        assert "centroids" not in generator.state_dict()
        assert generator.half().centroids.dtype == torch.float16  # moves with the module
        generator.double().centroids = None
        assert not np.allclose(generator.map(z, c, 0.3, 5).numpy(), ws)


def test_averages_move_by_class() -> None:
    generator = build(c_dim=3)
    before = generator.mapping.w_avg.clone()
    w = randn(3, 7)
    c = torch.tensor([[0, 1, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    generator.mapping.update_average(w, 0.9, c)
    after = generator.mapping.w_avg
    assert torch.equal(after[0], before[0])
    assert torch.allclose(after[1], 0.9 * before[1] + 0.1 * (w[0] + w[1]) / 2)
    assert torch.allclose(after[2], 0.9 * before[2] + 0.1 * w[2])
    with pytest.raises(ValueError, match=r"label: expected \[3, 3\], got none"):
        generator.mapping.update_average(w)
    plain = build()
    before = plain.mapping.w_avg.clone()
    plain.mapping.update_average(w)
    assert torch.allclose(plain.mapping.w_avg, 0.998 * before + 0.002 * w.mean(dim=0))


# --- layers ---------------------------------------------------------------------------------------------------------


def grown() -> tuple[LayerSpec, ...]:
    """A stem without its last two layers and RGB, and a head of twice the size: bands and widths of its own."""
    stem = Config(**TINY).layer_specs[:2]
    end = stem[-1]
    ends = {"in_channels": end.out_channels, "in_size": end.out_size, "in_rate": end.out_rate}
    first = LayerSpec(
        **ends,
        in_cutoff=3.1,
        in_half_width=3.9,
        out_channels=5,
        out_size=(34, 36),
        out_rate=32.0,
        out_cutoff=12.0,
        out_half_width=7.5,
    )
    last = replace(
        first,
        in_channels=5,
        in_size=(34, 36),
        in_rate=32.0,
        in_cutoff=12.0,
        in_half_width=7.5,
        out_channels=6,
        out_size=(32, 34),
        out_cutoff=16.0,
        critical=True,
    )
    rgb = replace(last, in_channels=6, in_size=(32, 34), out_channels=3, in_cutoff=16.0, kernel=1, rgb=True)
    return (*stem, first, last, rgb)


def test_a_grown_generator() -> None:
    layers = grown()
    names = ("L0_12_4", "L1_12_4", "L7_36_5", "L8_34_6", "L9_34_3")
    generator = build(layers=layers, names=names, input=Config(**TINY).input_spec, c_dim=2)
    assert generator.output_size == (32, 34)
    assert generator.num_ws == 6
    assert [layer.name for layer in generator.layers] == ["synthesis.input", *(f"synthesis.{name}" for name in names)]
    config = generator.config
    assert Config(**json.loads(json.dumps(asdict(config)))) == config
    # The same tensors under StyleGAN3's own names give the same picture.
    plain = stylegan3.Synthesis(
        stylegan3.Config(layers=layers, input=config.input, w_dim=7, max_channels=4)  # StyleGAN3's rule for names
    ).double()
    tensors = generator.synthesis.state_dict()
    for name, other in zip(names, plain.layers, strict=True):
        tensors = {key.replace(f"{name}.", f"{other}."): tensor for key, tensor in tensors.items()}
    plain.load_state_dict(tensors)
    ws = generator.map(randn(2, 5), C[:, :2] / C[:, :2].sum(dim=1, keepdim=True), 0.7)
    assert torch.equal(generator.synthesis(ws, dtype=torch.float64), plain(ws, dtype=torch.float64))


def test_stages_grow_by_the_rule() -> None:
    config = Config(c_dim=1000)
    counts = [len(config.layer_specs)]
    for resolution in (32, 64, 128, 256):
        before, config = config, grow(config)
        counts.append(len(config.layer_specs))
        kept = len(before.layer_specs) - 3
        assert config.layer_specs[:kept] == before.layer_specs[:kept]
        assert config.input_spec == before.input_spec
        assert config.resolution == resolution
        assert config.layer_specs[-1].out_size == (resolution, resolution)
        assert [spec.critical for spec in config.layer_specs] == [False] * (counts[-1] - 3) + [True] * 3
        edges = [(spec.out_cutoff, spec.out_cutoff + spec.out_half_width) for spec in config.layer_specs]
        assert edges == sorted(edges)
        assert edges[-1][0] == pytest.approx(resolution / 2)
    assert counts == [11, 16, 21, 26, 31]  # the paper's
    with torch.device("meta"):
        assert Generator(config).output_size == (256, 256)


def test_a_stage_draws() -> None:
    generator = build(**asdict(grow(Config(**TINY), head_layers=3)))
    assert generator.num_ws == 7
    assert generator.synthesis(randn(1, 7), dtype=torch.float64).shape == (1, 3, 32, 32)
    with pytest.raises(ValueError, match="layers: expected more than the 3 that a stage drops, got 3"):
        grow(Config(**(TINY | {"layers": Config(**TINY).layer_specs[2:], "input": None})))


# --- files, precision, gradients --------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [0, 3])
def test_names_and_shapes_are_those_of_published_files(classes: int) -> None:
    state = build(c_dim=classes).state_dict()
    mapping = {name: tuple(tensor.shape) for name, tensor in state.items() if name.startswith("mapping.")}
    expected: dict[str, tuple[int, ...]] = {
        "mapping.w_avg": (7,),
        "mapping.embed.weight": (6, 8),  # without classes too
        "mapping.fc0.weight": (7, 5),
        "mapping.fc0.bias": (7,),
        "mapping.fc1.weight": (7, 7),
        "mapping.fc1.bias": (7,),
    }
    if classes:
        expected |= {"mapping.w_avg": (3, 7), "mapping.fc0.weight": (7, 10)}
        expected |= {"mapping.embed_proj.weight": (5, 8), "mapping.embed_proj.bias": (5,)}
    assert mapping == expected
    assert {name for name in state if not name.startswith("mapping.")} == {
        f"synthesis.{name}" for name in stylegan3.Synthesis(Config(**TINY)).state_dict()
    }
    generator = build(1, c_dim=classes)
    generator.load_state_dict(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in generator.state_dict().items())
    with pytest.raises(RuntimeError, match=r"Missing key.*mapping\.embed\.weight"):
        generator.load_state_dict({name: tensor for name, tensor in state.items() if "embed.weight" not in name})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*mapping\.fc9\.bias"):
        generator.load_state_dict(state | {"mapping.fc9.bias": torch.zeros(7)})


def test_stem_at_its_published_shape() -> None:
    with torch.device("meta"):
        generator = Generator(Config(c_dim=1000))
    assert len(generator.synthesis.layers) == 11
    assert generator.num_ws == 12
    state = generator.state_dict()
    assert state["mapping.embed.weight"].shape == (1000, 320)
    assert state["mapping.embed_proj.weight"].shape == (64, 320)
    assert state["mapping.fc0.weight"].shape == (512, 128)
    assert state["mapping.w_avg"].shape == (1000, 512)
    assert state["synthesis.L0_36_1024.weight"].shape == (1024, 1024, 3, 3)
    assert generator.synthesis.layers[-1] == "L10_16_3"


def test_what_does_not_fit() -> None:
    plain, classes = build(), build(c_dim=3)
    with pytest.raises(ValueError, match=r"label: expected \[2, 3\], got none"):
        classes.map(randn(2, 5))
    with pytest.raises(ValueError, match="label: expected none"):
        plain.map(randn(2, 5), randn(2, 3))
    for shape in ((3, 6), (0, 7), (7,)):
        classes.centroids = randn(*shape)
        with pytest.raises(ValueError, match=r"centroids: expected \[K, 7\], got"):
            classes.map(randn(2, 5), C)


def test_half_precision() -> None:
    generator = build(c_dim=3).float()
    ws = generator.map(torch.randn(2, 5), C.float(), 0.7)
    full, half = generator.synthesis(ws), generator.synthesis(ws, dtype=torch.float16)
    assert half.dtype == torch.float32
    assert float((half - full).square().mean().sqrt() / full.std()) < 0.01


def test_gradients() -> None:
    generator = build(c_dim=3)
    generator.centroids = randn(4, 7)
    z, c = randn(1, 5).requires_grad_(), C[1:].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z, c: generator.map(z, c, 0.4, 1)[:, :2], (z, c))
    generator.centroids = None
    assert torch.autograd.gradcheck(lambda z, c: generator.map(z, c, 0.4, 1)[:, :2], (z, c))
    ws = randn(1, 6, 7).requires_grad_()
    assert torch.autograd.gradcheck(lambda ws: generator.synthesis(ws, dtype=torch.float64)[..., ::8, ::8], (ws,))
    generator.requires_grad_(True)
    generator.synthesis(generator.map(randn(2, 5), C), dtype=torch.float64).square().sum().backward()
    assert [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"c_dim": 7}, "c_dim: expected at most embed_classes, 6, got 7"),
        ({"embed_features": 0}, "embed_features: expected an integer from 1"),
        ({"embed_classes": 0}, "embed_classes: expected an integer from 1"),
        ({"names": ("L0",)}, "names: expected 0 different ones"),
        ({"layers": Config(**TINY).layer_specs, "names": ("L0",) * 5}, "names: expected 5 different ones"),
        ({"layers": Config(**TINY).layer_specs, "names": ("L0", "L1", "L2", "L3", "input")}, "names: .* got 'input'"),
        ({"layers": Config(**TINY).layer_specs, "names": ("L0", "L1", "L2", "L3", "L.4")}, "names: .* got 'L.4'"),
        ({"resolution": 48}, "resolution: expected a power of two"),
    ],
)
def test_configs_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**(TINY | changes))
