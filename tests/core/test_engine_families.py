"""The engine draws every family, through the protocol alone, as the family itself does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core import engine as engine_module
from core.checkpoints import Header, load, save
from core.engine import Engine, EngineError, class_names, load_generator
from core.models import registry
from core.request import RenderRequest

CONFIGS: dict[str, dict[str, object]] = {
    "stylegan2": {"resolution": 16, "size": (4, 6), "z_dim": 8, "c_dim": 3, "w_dim": 8, "max_channels": 8},
    "stylegan2 without classes": {"resolution": 16, "z_dim": 8, "w_dim": 8, "max_channels": 8},
    "stylegan2 in grey": {"resolution": 16, "z_dim": 8, "w_dim": 8, "max_channels": 8, "img_channels": 1},
    "stylegan3": {"resolution": 16, "z_dim": 8, "w_dim": 8, "max_channels": 8, "num_layers": 4, "margin": 2},
    "stylegan_xl": {
        "c_dim": 3,
        "z_dim": 8,
        "w_dim": 8,
        "max_channels": 8,
        "num_layers": 4,
        "margin": 2,
        "embed_features": 6,
    },
    "stylegan1": {"resolution": 16, "z_dim": 8, "w_dim": 8, "max_channels": 8},
    "r3gan": {"channels": (8, 8, 8), "groups": (2, 2, 2), "blocks": 1, "z_dim": 8, "c_dim": 3, "embed_dim": 4},
    "fastgan": {"resolution": 128, "z_dim": 8, "base_channels": 8, "c_dim": 3},
}


@pytest.fixture(params=CONFIGS)
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write(tmp_path / "model.safetensors", request.param)


def write(path: Path, name: str, names: tuple[str, ...] = ()) -> Path:
    torch.manual_seed(0)
    family = name.split()[0]
    fields = registry.FAMILIES[family].config.__dataclass_fields__
    config = registry.FAMILIES[family].config(**CONFIGS[name])  # type: ignore[arg-type]
    generator = registry.FAMILIES[family].generator(config)
    for key, tensor in generator.state_dict().items():
        if key.endswith(("noise_strength", "w_avg", "noise.weight")):
            tensor.normal_()
    values = {field: getattr(config, field) for field in fields}
    header = Header(
        name="model",
        family=family,
        config=values,
        text=None,
        images_seen=0,
        vocabulary=(),
        licence="",
        class_names=names,
    )
    save(path, header, {f"generator.{key}": tensor for key, tensor in generator.state_dict().items()})
    return path


def pixels(rgb_3HW: torch.Tensor) -> np.ndarray:
    """In bytes as the engine rounds them, [H, W, 3]."""
    rgb = rgb_3HW.expand(3, -1, -1).mul(127.5).add(127.5).round().clamp(0, 255)
    return rgb.to(torch.uint8).permute(1, 2, 0).numpy()


def test_the_same_picture_as_the_model_itself(checkpoint: Path) -> None:
    engine = Engine.open(checkpoint, device="cpu", precision="float32")
    generator = load_generator(load(checkpoint))
    classes = engine.info.classes
    z = torch.from_numpy(np.random.RandomState(7).randn(1, 8).astype(np.float32))
    c = torch.eye(classes)[1:2] if classes else None
    for psi in (1.0, 0.6):
        frame = engine.render(RenderRequest(seed_x=7, label=1 if classes else 0, psi=psi))
        with torch.inference_mode():
            expected = generator.synthesis(generator.map(z, c, psi))[0]
        assert np.array_equal(frame.pixels, pixels(expected))
        assert (frame.height, frame.width) == engine.info.size == generator.output_size
        assert frame.pixels.std() > 1


def test_auto_is_close_and_repeats_to_the_bit(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "has_amx", lambda: False)
    exact = Engine.open(checkpoint, device="cpu", precision="float32")
    fast = Engine.open(checkpoint, device="cpu")
    assert fast.info.precision == "float32"
    requests = [
        RenderRequest(seed_x=7, psi=0.6),
        RenderRequest(seed_x=1.5, noise="random", noise_seed=4),
        RenderRequest(seed_x=1.5, noise="none", transform=(0.0, -1.0, 0.1, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)),
    ]
    frames = [fast.render(request).pixels for request in requests]
    for request, frame in zip(requests[::-1], frames[::-1], strict=True):
        assert np.array_equal(fast.render(request).pixels, frame)
        assert np.abs(exact.render(request).pixels.astype(int) - frame).max() <= 1


def test_what_a_model_does_not_have_changes_nothing(checkpoint: Path) -> None:
    engine = Engine.open(checkpoint, device="cpu", precision="float32")
    info = engine.info
    base = engine.render(RenderRequest(seed_x=1)).pixels
    turned = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    for fields, applies in (
        ({"prompt": "sea"}, False),
        ({"label": 2}, info.conditioning == "class"),
        ({"noise": "none"}, info.has_noise),
        ({"noise": "random"}, info.has_noise),
        ({"transform": turned}, info.has_transform),
        ({"seed_x": 1.5}, True),
    ):
        other = engine.render(RenderRequest(**({"seed_x": 1.0} | fields))).pixels  # type: ignore[arg-type]
        assert np.array_equal(other, base) != applies, fields


def test_classes_blend_after_mapping(tmp_path: Path) -> None:
    engine = Engine.open(write(tmp_path / "m.safetensors", "stylegan2"), device="cpu", precision="float32")
    a, b = (engine.ws(RenderRequest(seed_x=4, label=label)) for label in (0, 2))
    mixed = engine.ws(RenderRequest(seed_x=4, label=0, label_b=2, blend=0.25))
    assert torch.allclose(mixed, 0.75 * a + 0.25 * b, atol=1e-6)
    assert torch.equal(engine.ws(RenderRequest(seed_x=4, label=0, label_b=2, blend=1.0)), b)
    # Over seeds and classes at once, in another order of caching: the same to the bit.
    request = RenderRequest(seed_x=4.5, seed_y=0.5, label=0, label_b=2, blend=0.3, psi=0.7)
    other = Engine.open(tmp_path / "m.safetensors", device="cpu", precision="float32")
    assert torch.equal(engine.ws(request), other.ws(request))


def test_a_class_that_is_not_there(tmp_path: Path) -> None:
    engine = Engine.open(write(tmp_path / "m.safetensors", "stylegan2", ("cat", "dog", "hen")), device="cpu")
    assert engine.info.class_names == ("cat", "dog", "hen")
    engine.render(RenderRequest(label=2, label_b=9))  # of no account at blend 0
    for fields in ({"label": 3}, {"label_b": 3, "blend": 0.5}):
        with pytest.raises(EngineError, match="class: model has the classes 0 to 2, got 3"):
            engine.render(RenderRequest(**fields))  # type: ignore[arg-type]


def test_names_of_classes() -> None:
    assert class_names((), 10) == class_names(("a", "b"), 10) == class_names(("a",), 0) == ()
    assert class_names(("a", "b"), 2) == ("a", "b")
    imagenet = class_names((), 1000)
    assert (len(imagenet), imagenet[1], imagenet[207]) == (1000, "goldfish", "Golden Retriever")


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision(checkpoint: Path, precision: str) -> None:
    try:
        engine = Engine.open(checkpoint, device="cpu", precision=precision)
    except EngineError:
        pytest.skip(f"this CPU has no {precision} convolutions")
    exact = Engine.open(checkpoint, device="cpu", precision="float32")
    a, b = (e.render(RenderRequest(seed_x=2)).pixels.astype(float) for e in (engine, exact))
    assert np.abs(a - b).mean() < 8


def test_truncation_towards_the_nearest_of_many_centroids(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", "stylegan_xl")
    plain = Engine.open(path, device="cpu", precision="float32")
    table = np.random.default_rng(0).normal(size=(5, 8))
    np.save(tmp_path / "table.npy", table)
    engine = Engine.open(path, device="cpu", precision="float32", centroids=tmp_path / "table.npy")
    w = plain.ws(RenderRequest(seed_x=3))[0, 0].numpy()
    nearest = table[((table - w) ** 2).sum(axis=1).argmin()]
    assert np.allclose(engine.ws(RenderRequest(seed_x=3, psi=0.0))[0, 0], nearest, atol=1e-5)
    assert np.allclose(engine.ws(RenderRequest(seed_x=3, psi=0.25))[0, 0], nearest + 0.25 * (w - nearest), atol=1e-5)
    assert torch.equal(engine.ws(RenderRequest(seed_x=3)), plain.ws(RenderRequest(seed_x=3)))
    # Beside the checkpoint they need not be named.
    np.save(tmp_path / "model.centroids.npy", table)
    found = Engine.open(path, device="cpu", precision="float32")
    assert torch.equal(found.ws(RenderRequest(seed_x=3, psi=0.5)), engine.ws(RenderRequest(seed_x=3, psi=0.5)))


def test_centroids_that_do_not_fit(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", "stylegan_xl")
    table = tmp_path / "table.npy"
    for values, message in (
        (np.zeros((5, 7)), r"expected \[K, 8\], got \[5, 7\]"),
        (np.zeros(8), "expected a .npy table"),
        (np.zeros((0, 8)), "expected a .npy table"),
        (np.array([["a"]]), "expected a .npy table"),
        (np.full((1, 8), np.nan), "not finite"),
        (np.array([{}]), "cannot read it"),
    ):
        np.save(table, values)
        with pytest.raises(EngineError, match=message):
            Engine.open(path, device="cpu", centroids=table)
    table.write_bytes(b"no table")
    for missing in (table, tmp_path / "none.npy", tmp_path):
        with pytest.raises(EngineError, match="expected a .npy file of numbers"):
            Engine.open(path, device="cpu", centroids=missing)
    np.save(table, np.zeros((5, 8)))
    with pytest.raises(EngineError, match="only StyleGAN-XL truncates towards centroids, this is a stylegan2"):
        Engine.open(write(tmp_path / "two.safetensors", "stylegan2"), device="cpu", centroids=table)
