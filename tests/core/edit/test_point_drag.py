"""Dragging points, on a generator whose answers are known, on every family, and on the bundled checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.checkpoints import bundled_checkpoint, load, native
from core.edit.point_drag import PointDrag, feature_layer
from core.edit.points import DragError, DragOptions, Point, Pull
from core.engine import Engine, load_generator
from core.model_info import LayerInfo
from core.request import Mix, RenderRequest, SynthesisOptions
from tests.core.test_engine_families import CONFIGS, write

SIDE = 32


class Scene(nn.Module):
    """Draws discs: style 0 says where the first one is, style 1 where the second is, both as pixels from (16, 16); the
    third number of style 0 moves both to the right.
    """

    def forward(self, ws_1LW: Tensor) -> Tensor:
        y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
        maps = []
        for style, (x0, y0) in enumerate(((10.0, 16.0), (24.0, 16.0))):
            both = ws_1LW[0, 0, 2]
            dx, dy = x - x0 - ws_1LW[0, style, 0] - both, y - y0 - ws_1LW[0, style, 1]
            # Three rings each, so that places in a disc differ.
            distance = dx.square() + dy.square()
            maps += [torch.exp(-distance / (2 * width**2)) for width in (2.0, 3.5, 6.0)]
            maps += [dx * maps[-2], dy * maps[-2]]
        return torch.stack(maps)[None]


class Discs(nn.Module):
    """A generator of one layer, in which everything is known."""

    conditioning = "none"
    z_dim = c_dim = w_dim = 3
    num_ws = 3
    output_size = (SIDE, SIDE)
    has_noise = has_transform = False
    layers = (LayerInfo(name="scene", size=(SIDE, SIDE), channels=10, style=0),)

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene()
        self.weight = nn.Parameter(torch.ones(1), requires_grad=False)

    def map(self, z_NZ: Tensor, c_NC: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        return z_NZ[:, None].expand(-1, self.num_ws, -1)

    def style(self, layer: LayerInfo, w_NW: Tensor) -> Tensor | None:
        return w_NW

    def synthesis(self, ws_1LW: Tensor, options: SynthesisOptions) -> Tensor:
        self.scene(ws_1LW)
        raise AssertionError("what comes after the layer is of no use to a drag")


START = np.zeros((3, 3), np.float32)
FIRST, SECOND = (10.0, 16.0), (24.0, 16.0)


def drag(
    *pulls: Pull, mask: Any = None, most: int = 400, generator: Any = None, ws: Any = START, **options: Any
) -> Any:
    """The last progress of a drag, and the drag."""
    options = {"styles": 2, "step_size": 0.05} | options
    made = PointDrag(generator or Discs(), ws, pulls, mask=mask, options=DragOptions(**options))
    for _ in range(most):
        progress = made.step()
        if progress.state != "moving":
            break
    return progress, made


def pull(handle: Point, x: float, y: float) -> Pull:
    """A handle, and how far its target is."""
    return Pull(handle=handle, target=(handle[0] + x, handle[1] + y))


def test_what_is_under_the_handle_arrives() -> None:
    progress, made = drag(pull(FIRST, 3.0, -6.0))
    assert progress.state == "arrived"
    assert progress.left <= 1.0
    assert 5 < progress.steps < 200
    x, y = made.ws[0, 0] + made.ws[0, 2], made.ws[0, 1]
    assert math.dist((x, y), (3.0, -6.0)) < 1.5  # where it is, which is not what tracking believes
    assert math.dist(progress.handles[0], (FIRST[0] + x, FIRST[1] + y)) < 1.0


def test_two_points_go_two_ways() -> None:
    progress, made = drag(pull(FIRST, 0.0, -5.0), pull(SECOND, 0.0, 5.0))
    assert progress.state == "arrived"
    assert made.ws[0, 1] < -3.5
    assert made.ws[1, 1] > 3.5


def test_styles_beyond_those_that_may_change_stay_to_the_bit() -> None:
    ws = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32) * 0.1
    _, made = drag(pull(FIRST, 4.0, 0.0), styles=1, ws=ws)
    assert not np.array_equal(made.ws[0], ws[0])
    assert np.array_equal(made.ws[1:], ws[1:])
    # The second disc can then only be moved by what moves both.
    progress, made = drag(pull(SECOND, 0.0, 4.0), styles=1, ws=ws)
    assert progress.state == "stuck"
    assert progress.left > 3.0


def test_what_is_outside_the_mask_stays() -> None:
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[:, :18] = True
    free = drag(pull(FIRST, 5.0, 0.0))[1].ws
    progress, made = drag(pull(FIRST, 5.0, 0.0), mask=mask)
    held = made.ws
    assert progress.state == "arrived"

    def second(ws: np.ndarray) -> float:
        return float(abs(ws[1, 0] + ws[0, 2]))

    assert second(free) > 1.0  # the shortest way moves both
    assert second(held) < 0.5


def test_equal_drags_are_equal_to_the_bit() -> None:
    assert np.array_equal(drag(pull(FIRST, 4.0, 2.0))[1].ws, drag(pull(FIRST, 4.0, 2.0))[1].ws)


def test_a_handle_that_is_there_needs_no_step() -> None:
    progress, made = drag(pull(FIRST, 0.5, 0.0))
    assert (progress.state, progress.steps) == ("arrived", 0)
    assert np.array_equal(made.ws, START)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drag(), "points: expected 1 to 32, got 0"),
        (lambda: drag(pull((40.0, 3.0), 1.0, 1.0)), "point: expected a place in 32 x 32 pixels, got 40, 3"),
        (lambda: drag(pull((math.nan, 3.0), 1.0, 1.0)), "point: expected finite numbers"),
        (lambda: drag(pull(FIRST, 2.0, 0.0), ws=START[:2]), r"styles: expected \[3, 3\], got \[2, 3\]"),
        (lambda: drag(pull(FIRST, 2.0, 0.0), mask=np.ones((3, 3), np.bool_)), r"mask: expected some of \[32, 32\]"),
        (lambda: drag(pull(FIRST, 2.0, 0.0), mask=np.zeros((32, 32), np.bool_)), "mask: expected some of"),
        (lambda: drag(pull(FIRST, 2.0, 0.0), layer="none"), "layer: expected one of scene, got 'none'"),
        (lambda: drag(pull(FIRST, 2.0, 0.0), styles=0), "styles: expected at least 1 of them, got 0"),
        (lambda: drag(pull(FIRST, 2.0, 0.0), step_size=3.0), "step size: expected a number from 0.001 to 0.1"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Any, message: str) -> None:
    with pytest.raises(DragError, match=message):
        call()


def test_a_model_without_style_layers_is_refused(tmp_path: Path) -> None:
    generator = load_generator(load(write(tmp_path / "m.safetensors", "fastgan")))
    ws = np.zeros((generator.num_ws, generator.w_dim), np.float32)
    with pytest.raises(DragError, match="no style layers, so nothing in its pictures can be dragged"):
        PointDrag(generator, ws, [pull((5.0, 5.0), 4.0, 0.0)])


@pytest.mark.parametrize("name", [*(name for name in CONFIGS if name not in ("fastgan", "r3gan")), "stylegan_t"])
def test_every_family_takes_steps(name: str, tmp_path: Path, tiny_checkpoint: Path) -> None:
    path = tiny_checkpoint if name == "stylegan_t" else write(tmp_path / "m.safetensors", name)
    request = RenderRequest(prompt="sea", seed_x=3.0, noise="random", noise_seed=3)
    ws = Engine.open(path, device="cpu", precision="float32").latent(request)
    generator = load_generator(load(path))
    height, width = generator.output_size
    pulls = [pull((width / 2, height / 2), width / 4, 0.0)]
    made = PointDrag(generator, ws, pulls, request=request, options=DragOptions(styles=3))
    assert 2 * max(made.layer.size) >= max(height, width)
    for _ in range(5):
        made.step()
    assert np.isfinite(made.ws).all()
    assert all((made.ws[style] != ws[style]).any() for style in range(1, 3))
    assert np.array_equal(made.ws[3:], ws[3:])
    if generator.conditioning == "text":  # the text is the last part of w
        assert np.array_equal(made.ws[:, generator.z_dim :], ws[:, generator.z_dim :])
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_points_are_where_the_picture_has_them_despite_a_margin(tmp_path: Path) -> None:
    """StyleGAN3's layers draw more than the picture shows; a change in the picture's corner is one near the map's."""
    generator = load_generator(load(write(tmp_path / "m.safetensors", "stylegan3")))
    ws = Engine.open(tmp_path / "m.safetensors", device="cpu", precision="float32").latent(RenderRequest())
    sizes = {layer.name: layer.size for layer in generator.layers}
    name = next(name for name, size in sizes.items() if size == (20, 20))  # 16 pixels and a margin of 2
    made = PointDrag(generator, ws, [pull((0.0, 0.0), 4.0, 0.0)], options=DragOptions(layer=name))
    features_CHW = made._features()
    assert torch.allclose(made._first_IC[0], features_CHW[:, 2, 2], atol=1e-5)


def test_the_layer_at_half_of_the_size_is_followed() -> None:
    generator = load_generator(native.load(bundled_checkpoint()))
    layer = feature_layer(generator)
    assert (layer.size, layer.style) == ((32, 32), 8)


def test_a_house_moves_in_the_bundled_model() -> None:
    path = bundled_checkpoint()
    engine = Engine.open(path, device="cpu", precision="float32")
    request = RenderRequest(prompt="a red house by the sea", seed_x=1.0, psi=0.7)
    made = PointDrag(
        load_generator(native.load(path)), engine.latent(request), [pull((31.0, 39.0), 10.0, 0.0)], request=request
    )
    for _ in range(80):
        progress = made.step()
        if progress.state != "moving":
            break
    assert progress.state == "arrived"
    engine.register({"dragged@1": made.ws})

    def red(of: RenderRequest) -> float:
        """Where the middle of the red roof is, from the left."""
        pixels = engine.render(of).pixels[24:45].astype(np.float32)
        roof = (pixels[..., 0] > 150) & (pixels[..., 1:].max(axis=2) < 90)
        return float(np.nonzero(roof)[1].mean())

    dragged = RenderRequest(prompt=request.prompt, seed_x=1.0, psi=0.7, mixes=(Mix(latent="dragged@1", stop=6),))
    assert 6.0 < red(dragged) - red(request) < 14.0
