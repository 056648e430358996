"""Directions, on generators whose answers are known, on every family, and on the bundled checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.checkpoints import bundled_checkpoint
from core.edit.directions import (
    DirectionError,
    DirectionModel,
    FoundDirection,
    Sampling,
    ganspace,
    ganspace_styles,
    sefa,
    text_direction,
)
from core.engine import Engine
from core.model_info import LayerInfo
from core.models import registry
from core.request import LAYER_LIMIT, Push, RenderRequest

METHODS: dict[str, Callable[..., tuple[FoundDirection, ...]]] = {
    "sefa": sefa,
    "ganspace": ganspace,
    "styles": ganspace_styles,
}


class Affine:
    """w = L z + m, and style l is A_l w + b_l: everything about it is known."""

    conditioning = "none"
    c_dim = 0
    num_ws = 3

    def __init__(self, mixing_WZ: np.ndarray, weights: Sequence[np.ndarray], curve: float = 0.0) -> None:
        self.mixing = torch.from_numpy(mixing_WZ).float()
        self.w_dim, self.z_dim = mixing_WZ.shape
        self.weights = [torch.from_numpy(weight).float() for weight in weights]
        self.curve = curve
        self.mean = torch.linspace(-1, 2, self.w_dim)
        self.layers = tuple(
            LayerInfo(name=f"l{i}", size=(4, 4), channels=len(w), style=i) for i, w in enumerate(self.weights)
        )

    def map(self, z_NZ: Tensor, c_NC: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        return (z_NZ @ self.mixing.T + self.mean)[:, None].expand(-1, self.num_ws, -1)

    def style(self, layer: LayerInfo, w_NW: Tensor) -> Tensor | None:
        y = w_NW @ self.weights[layer.style].T + 3.0
        return y + self.curve * y.square()


def orthogonal(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def source(generator: Any, **fields: Any) -> DirectionModel:
    return DirectionModel(generator=generator, **fields)


def steps(found: Sequence[FoundDirection]) -> np.ndarray:
    return np.stack([one.vector.values for one in found]).astype(np.float64)


def alignment(a: np.ndarray, b: np.ndarray) -> float:
    """The cosine of the angle between two lines."""
    return float(abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b))


def test_sefa_finds_what_the_styles_respond_to() -> None:
    rng = np.random.default_rng(1)
    axes = orthogonal(rng, 6)
    strengths = np.array([9.0, 5.0, 3.0, 1.0, 0.5, 0.1])
    weight = orthogonal(rng, 6) @ np.diag(strengths) @ axes.T
    weights = [weight, rng.normal(size=(4, 6)), rng.normal(size=(5, 6))]
    found = sefa(source(Affine(np.eye(6), weights)), Sampling(samples=500), first=0, stop=1, count=3)
    for rank, one in enumerate(found):
        assert alignment(one.vector.values, axes[:, rank]) > 0.99999
        assert one.share == pytest.approx(strengths[rank] ** 2 / (strengths**2).sum(), rel=1e-4)
        assert (one.vector.first, one.vector.stop, one.vector.kind) == (0, 1, "direction")
        # As long as w varies in a mean number: z has unit variance and w is z.
        assert np.linalg.norm(one.vector.values) == pytest.approx(1.0, abs=0.05)
    # Several layers together: the eigenvectors of the sum of their A^T A.
    both = sefa(source(Affine(np.eye(6), weights)), Sampling(samples=500), first=1, stop=3, count=6)
    values, vectors = np.linalg.eigh(weights[1].T @ weights[1] + weights[2].T @ weights[2])
    for rank, one in enumerate(both):
        assert alignment(one.vector.values, vectors[:, -1 - rank]) > 0.9999
        assert one.share == pytest.approx(values[-1 - rank] / values.sum(), abs=1e-5)
    assert both[0].vector.stop == LAYER_LIMIT  # to the last


def test_sefa_takes_the_derivative_of_styles_of_second_order() -> None:
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(7, 5))
    model = Affine(rng.normal(size=(5, 5)), [weight] * 3, curve=0.3)
    sampling = Sampling(samples=400, seed=4)
    (one,) = sefa(source(model), sampling, stop=1, count=1)
    z = torch.from_numpy(np.random.RandomState(4).randn(400, 5).astype(np.float32))
    at = (model.map(z)[:, 0].mean(dim=0).double().numpy() @ weight.T) + 3.0
    jacobian = (1 + 0.6 * at)[:, None] * weight
    assert alignment(one.vector.values, np.linalg.svd(jacobian)[2][0]) > 0.99999


def test_ganspace_finds_the_axes_of_w() -> None:
    rng = np.random.default_rng(3)
    axes = orthogonal(rng, 5)
    deviations = np.array([8.0, 4.0, 2.0, 1.0, 0.5])
    model = Affine(axes * deviations, [np.eye(5)] * 3)
    found = ganspace(source(model), Sampling(samples=20_000), count=9)
    assert len(found) == 5
    for rank, one in enumerate(found):
        assert alignment(one.vector.values, axes[:, rank]) > 0.999
        assert np.linalg.norm(one.vector.values) == pytest.approx(deviations[rank], rel=0.03)
        assert one.share == pytest.approx(deviations[rank] ** 2 / (deviations**2).sum(), rel=0.06)
    assert sum(one.share for one in found) == pytest.approx(1.0)


def test_ganspace_of_styles_is_brought_back_to_w() -> None:
    rng = np.random.default_rng(4)
    mixing, weight = rng.normal(size=(4, 4)), rng.normal(size=(9, 4))
    model = Affine(mixing, [np.zeros((2, 4)), weight, np.eye(4)])
    sampling = Sampling(samples=3000, seed=2)
    found = ganspace_styles(source(model), sampling, first=1, stop=2, count=4)
    # Where styles are affine in w, regression gives the w whose style moves along the component by one deviation.
    w = model.map(torch.from_numpy(np.random.RandomState(2).randn(3000, 4).astype(np.float32)))[:, 0].double().numpy()
    covariance = weight @ np.cov(w.T) @ weight.T
    values, vectors = np.linalg.eigh(covariance)
    for rank, one in enumerate(found):
        moved = weight @ one.vector.values.astype(np.float64)
        expected = vectors[:, -1 - rank] * np.sqrt(values[-1 - rank])
        assert np.allclose(moved, expected, atol=1e-3) or np.allclose(moved, -expected, atol=1e-3)
        assert one.share == pytest.approx(values[-1 - rank] / values.sum(), abs=1e-5)
    with pytest.raises(DirectionError, match="layers 0 to 0 of this model have no styles that vary"):
        ganspace_styles(source(model), sampling, first=0, stop=1)


def test_they_are_the_same_each_time_and_hang_on_the_seed() -> None:
    rng = np.random.default_rng(5)
    model = Affine(rng.normal(size=(6, 6)), [rng.normal(size=(8, 6)) for _ in range(3)], curve=0.1)
    for method in METHODS.values():
        first, again, other = (
            [one.vector.id for one in method(source(model), Sampling(samples=300, seed=seed))] for seed in (0, 0, 1)
        )
        assert first == again
        assert first != other
    for one in ganspace(source(model), Sampling(samples=300)):
        assert one.vector.values[np.abs(one.vector.values).argmax()] > 0


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    model = Affine(np.eye(4), [np.eye(4)] * 3)
    for method in METHODS.values():
        method(source(model), Sampling(samples=600), progress=lambda *values: told.append(values))
    assert {stage for stage, _, _ in told} == {"samples", "layers", "components"}
    assert ("samples", 512, 600) in told
    assert all(0 <= done < total for _, done, total in told)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: sefa(m, Sampling(samples=9), first=3, stop=5), "has the layers 0 to 2, got 3 to 4"),
        (lambda m: ganspace(m, Sampling(samples=9), first=2, stop=2), "has the layers 0 to 2"),
        (lambda m: ganspace(m, Sampling(samples=9), count=0), "count: expected 1 to 512, got 0"),
        (lambda m: Sampling(samples=1), "samples: expected 2 to 100000, got 1"),
        (lambda m: Sampling(samples=9, seed=-1), "seed"),
        (lambda m: ganspace_styles(m, Sampling(samples=9000)), "at most 8000"),
        (lambda m: text_direction(m, "a", "b"), "expected a model that takes text; this model does not"),
    ],
)
def test_questions_that_make_no_sense(call: Callable[[DirectionModel], object], message: str) -> None:
    with pytest.raises(DirectionError, match=message):
        call(source(Affine(np.eye(4), [np.eye(4)] * 3)))


# Families

CONFIGS: dict[str, dict[str, Any]] = {
    "stylegan1": {"resolution": 8, "z_dim": 6, "w_dim": 5, "max_channels": 6},
    "stylegan2": {"resolution": 8, "z_dim": 6, "c_dim": 3, "w_dim": 5, "max_channels": 6},
    "stylegan3": {"resolution": 16, "z_dim": 6, "w_dim": 5, "max_channels": 4, "num_layers": 4, "margin": 2},
    "stylegan_xl": {
        "c_dim": 3,
        "z_dim": 6,
        "w_dim": 5,
        "max_channels": 4,
        "num_layers": 4,
        "margin": 2,
        "embed_features": 6,
    },
    "stylegan_t": {
        "resolution": 16,
        "text_dim": 3,
        "z_dim": 6,
        "base_channels": 64,
        "max_channels": 8,
        "norm_groups": 2,
    },
    "fastgan": {"resolution": 128, "z_dim": 8, "base_channels": 8},
}


def family(name: str) -> DirectionModel:
    torch.manual_seed(0)
    entry = registry.FAMILIES[name]
    generator = entry.generator(entry.config(**CONFIGS[name])).eval().requires_grad_(False)

    def encode(texts: Sequence[str]) -> Tensor:
        return torch.stack([torch.full((3,), float(len(text))) for text in texts])

    return DirectionModel(generator=generator, encode=encode if name == "stylegan_t" else None, name=name)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "fastgan"])
def test_every_family_with_styles(name: str, method: str) -> None:
    model = family(name)
    found = METHODS[method](model, Sampling(samples=60), count=3)
    assert len(found) == 3
    assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)
    width = model.generator.w_dim
    assert all(one.vector.values.shape == (width,) and np.linalg.norm(one.vector.values) > 0 for one in found)
    if name == "stylegan_t":
        assert all((one.vector.values[6:] == 0).all() for one in found)
        assert "text part zero" in found[0].vector.note


def test_styles_are_what_the_layers_use() -> None:
    """Moving w in one layer's style moves that layer's output, and nothing else goes by that name."""
    for name in ("stylegan1", "stylegan2", "stylegan3", "stylegan_xl", "stylegan_t"):
        generator: Any = family(name).generator
        w = torch.randn(2, generator.w_dim)
        styled = {layer.style for layer in generator.layers if generator.style(layer, w) is not None}
        expected = set(range(generator.num_ws))
        if name in ("stylegan3", "stylegan_xl", "stylegan_t"):
            expected -= {0}  # moves and turns the input
        assert styled == expected
        for layer in generator.layers:
            style = generator.style(layer, w)
            if style is not None:
                assert style.shape[0] == 2
                assert not torch.equal(style[0], style[1])
    t: Any = family("stylegan_t").generator
    with pytest.raises(DirectionError, match="layers 0 to 0 of x have no styles"):
        sefa(DirectionModel(generator=t, encode=lambda texts: torch.zeros(1, 3), name="x"), Sampling(samples=9), stop=1)


def test_fastgan_has_none() -> None:
    for method in METHODS.values():
        with pytest.raises(DirectionError, match="fastgan has no styles made from w"):
            method(family("fastgan"), Sampling(samples=9))


def test_classes_are_drawn_or_chosen() -> None:
    model = family("stylegan2")
    drawn, one = (ganspace(model, Sampling(samples=60, label=label)) for label in (None, 1))
    assert drawn[0].vector.digest != one[0].vector.digest
    assert "of class 1" in one[0].vector.note
    with pytest.raises(DirectionError, match="has the classes 0 to 2, got 3"):
        ganspace(model, Sampling(samples=9, label=3))


# Text


def test_a_text_direction_is_the_difference_of_what_texts_make() -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> Tensor:
        asked.extend(texts)
        return torch.stack([torch.tensor([len(text), text.count("a"), 1.0]) for text in texts])

    generator: Any = SimpleNamespace(
        conditioning="text",
        z_dim=2,
        w_dim=3,
        num_ws=2,
        layers=(LayerInfo(name="l", size=(4, 4), channels=3, style=0),),
        style=lambda layer, w: w,
        # Not additive: the mean over seeds matters.
        map=lambda z, c: (c * (1 + z[:, :1]))[:, None].expand(-1, 2, -1),
    )
    model = DirectionModel(generator=generator, encode=encode)
    one = text_direction(model, "aab", "b", templates=["{} hills", "a {} sea {}"], samples=5, seed=7, stop=1)
    z = np.random.RandomState(7).randn(5, 2).astype(np.float32)
    # Lengths differ by 2 and by 4, the letters a by 2 and by 4.
    expected = np.array([3.0, 3.0, 0.0]) * (1 + z[:, 0]).mean()
    assert np.allclose(one.vector.values, expected, atol=1e-5)
    assert asked == ["aab hills", "b hills", "a aab sea aab", "a b sea b"]
    assert (one.vector.name, one.vector.stop, one.share) == ("aab - b", 1, 1.0)
    for plus, minus, templates, message in (
        ("a", "a", ("{}",), "two different texts"),
        ("a", "b", ("hills",), 'expected "{}" in it'),
    ):
        with pytest.raises(DirectionError, match=message):
            text_direction(model, plus, minus, templates=templates)


@pytest.fixture(scope="module")
def bundled() -> tuple[DirectionModel, Engine]:
    path = bundled_checkpoint()
    return DirectionModel.open(path), Engine.open(path, device="cpu", precision="float32")


def test_snowy_minus_green_on_the_bundled_checkpoint(bundled: tuple[DirectionModel, Engine]) -> None:
    model, engine = bundled
    vector = text_direction(model, "snowy", "green", templates=["{} hills at noon"]).vector
    assert (vector.values[: model.generator.z_dim] == 0).all()
    engine.register({vector.id: vector.values})

    def ground(prompt: str, amount: float) -> tuple[float, float]:
        """The lower third's mean brightness and how green it is, over seeds."""
        bright, green = [], []
        for seed in range(12):
            push = Push(direction=vector.id, amount=amount)
            request = RenderRequest(prompt=prompt, seed_x=float(seed), psi=0.7, pushes=(push,) if amount else ())
            part = engine.render(request).pixels[43:].astype(float).mean(axis=(0, 1))
            bright.append(part.mean())
            green.append(part[1] - (part[0] + part[2]) / 2)
        return float(np.mean(bright)), float(np.mean(green))

    for prompt in ("green hills at noon", "green mountains at noon, watercolor"):
        before, after = ground(prompt, 0.0), ground(prompt, 1.0)
        assert after[0] > before[0] + 20  # snow is bright
        assert after[1] < before[1] - 5  # and not green
    # At amount 1 the green hills are the snowy ones: the mapping leaves the text as it is.
    pushed = engine.ws(RenderRequest(prompt="green hills at noon", pushes=(Push(direction=vector.id, amount=1.0),)))
    named = engine.ws(RenderRequest(prompt="snowy hills at noon"))
    torch.testing.assert_close(pushed, named, atol=1e-5, rtol=0)
    # And the encoder agrees: towards the one text, away from the other.
    assert model.encode is not None
    snowy, green = model.encode(["a snowy field", "a green field"]).numpy()
    text_part = vector.values[model.generator.z_dim :]
    assert text_part @ snowy > 0 > text_part @ green


@pytest.mark.parametrize("method", METHODS)
def test_directions_of_the_bundled_checkpoint_change_its_pictures(
    method: str, bundled: tuple[DirectionModel, Engine]
) -> None:
    model, engine = bundled
    prompt = "snowy mountains at sunset"
    found = METHODS[method](model, Sampling(samples=500, prompt=prompt), count=3)
    plain = engine.render(RenderRequest(prompt=prompt, psi=0.7)).pixels.astype(float)
    for one in found:
        vector = one.vector
        engine.register({vector.id: vector.values})
        push = Push(direction=vector.id, amount=2 * vector.scale, first=vector.first, stop=vector.stop)
        moved = engine.render(RenderRequest(prompt=prompt, psi=0.7, pushes=(push,))).pixels.astype(float)
        # Plain to see, without breaking the picture.
        assert 3 < np.abs(moved - plain).mean() < 60
