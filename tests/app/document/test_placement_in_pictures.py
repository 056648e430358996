"""Placement says what the eye sees, in both families whose input can be moved."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.document.placement import MIN_SCALE, Placement
from app.document.scene import Scene
from core.checkpoints import Header, load, save
from core.engine import load_generator
from core.models import registry, stylegan3
from core.request import SynthesisOptions

Picture = NDArray[np.float64]


def write_stylegan3(path: Path) -> Path:
    config = stylegan3.Config(resolution=32, z_dim=8, w_dim=8, max_channels=16, num_layers=6)
    torch.manual_seed(1)
    generator = stylegan3.Generator(config)
    header = Header(
        name="model",
        family="stylegan3",
        config={name: getattr(config, name) for name in registry.FAMILIES["stylegan3"].config.__dataclass_fields__},
        text=None,
        images_seen=0,
        vocabulary=(),
        licence="",
        class_names=(),
    )
    save(path, header, {f"generator.{key}": tensor for key, tensor in generator.state_dict().items()})
    return path


@pytest.fixture(scope="module", params=["stylegan3", "stylegan_t"])
def generator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path):
    if request.param == "stylegan_t":
        return load_generator(load(tiny_checkpoint))
    return load_generator(load(write_stylegan3(tmp_path_factory.mktemp("placement") / "m.safetensors")))


def draw(generator, placement: Placement) -> Picture:
    """The channels of eight pictures, [24, 32, 32]: one alone may look much the same when scaled."""
    torch.manual_seed(4)
    ws = torch.randn(8, generator.num_ws, generator.w_dim)
    with torch.inference_mode():
        pictures = generator.synthesis(ws, SynthesisOptions(noise="none", transform=placement.matrix()))
    return pictures.flatten(0, 1).double().numpy()


def alike(a: Picture, b: Picture) -> float:
    """Correlation of the middles, where the borders' zeros do not reach."""
    a, b = (x[:, 10:22, 10:22] - x[:, 10:22, 10:22].mean(axis=(1, 2), keepdims=True) for x in (a, b))
    return float((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()))


def test_content_moves_right_and_down(generator) -> None:
    still = draw(generator, Placement())
    # An eighth of the width is 4 of 32 pixels, and whole pixels of both inputs.
    for placement, axis in ((Placement(x=0.125), 2), (Placement(y=0.125), 1)):
        moved = draw(generator, placement)
        right, left = (alike(moved, np.roll(still, step, axis=axis)) for step in (4, -4))
        assert right > 0.9
        assert right > left + 0.2


def test_content_turns_clockwise(generator) -> None:
    still, turned = draw(generator, Placement()), draw(generator, Placement(turn=8.0))
    back = draw(generator, Placement(turn=-8.0))
    clockwise, other = rotated(still, 8.0), rotated(still, -8.0)
    assert alike(turned, clockwise) > alike(turned, other) + 0.05
    assert alike(back, other) > alike(back, clockwise) + 0.05


def test_content_grows(generator) -> None:
    still = draw(generator, Placement())
    larger, smaller = draw(generator, Placement(scale=1.25)), draw(generator, Placement(scale=0.8))
    assert alike(larger, sampled(still, 0.8, 0.0)) > alike(larger, sampled(still, 1.25, 0.0)) + 0.05
    assert alike(smaller, sampled(still, 1.25, 0.0)) > alike(smaller, sampled(still, 0.8, 0.0)) + 0.05


def rotated(picture: Picture, degrees: float) -> Picture:
    """Clockwise as one looks at it, rows downwards."""
    return sampled(picture, 1.0, math.radians(degrees))


def sampled(picture: Picture, step: float, angle: float) -> Picture:
    """Bilinear: what is at each place turned back by `angle`, `step` times as far from the middle."""
    side = picture.shape[1]
    rows, columns = np.mgrid[0:side, 0:side] - (side - 1) / 2
    x = step * (math.cos(angle) * columns + math.sin(angle) * rows) + (side - 1) / 2
    y = step * (-math.sin(angle) * columns + math.cos(angle) * rows) + (side - 1) / 2
    x, y = x.clip(0, side - 1.001), y.clip(0, side - 1.001)
    x0, y0 = x.astype(int), y.astype(int)
    u, v = x - x0, y - y0
    top = picture[:, y0, x0] * (1 - u) + picture[:, y0, x0 + 1] * u
    below = picture[:, y0 + 1, x0] * (1 - u) + picture[:, y0 + 1, x0 + 1] * u
    return top * (1 - v) + below * v


# Without pixels


def test_what_is_turned_takes_its_place_along() -> None:
    turned = Placement(x=0.5).turned(90.0, 2.0)
    assert (turned.x, turned.y) == (pytest.approx(0.0, abs=1e-12), pytest.approx(1.0))
    assert (turned.turn, turned.scale) == (pytest.approx(90.0), 2.0)
    # A point of the content under the hand stays under it: (0.2, 0) turned by 90 degrees clockwise is (0, 0.2).
    matrix = np.array(Placement().turned(90.0).matrix()).reshape(3, 3)
    assert matrix @ [0.0, 0.2, 1.0] == pytest.approx([0.2, 0.0, 1.0])


def test_placements_stay_within_what_can_be_drawn() -> None:
    placement = Placement(x=3.9).turned(0.0, 1e-9)
    assert placement.scale == MIN_SCALE
    assert Placement(x=3.9).turned(170.0, 1e9).x >= -4.0
    assert Placement(turn=170.0).turned(20.0).turn == pytest.approx(-170.0)
    assert Placement().moved(9.0, -9.0) == Placement(x=4.0, y=-4.0)


def test_a_matrix_that_is_no_placement_reads_as_none() -> None:
    assert Placement.of(Scene(transform=(0.0,) * 9)) == Placement()
    assert Placement.of(Scene(transform=(1e200,) * 9)) == Placement()
