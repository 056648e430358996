"""Dragging points of a picture to where they should be (Pan et al. 2023, "Drag Your GAN: Interactive Point-based
Manipulation on the Generative Image Manifold", section 3).

A person puts handles on the picture and a target for each. The styles of the first layers are then changed step by
step so that the features around every handle move a little way to its target (motion supervision, section 3.2), and
after each step the handles are found again where their features have gone (point tracking, section 3.3). Nothing is
learnt and no other network is asked: the generator's own features say what is where.

Points are those of `core.edit.points`. The paper resizes features to the picture's size and looks at them there; here
they are sampled, bilinearly, only where they are looked at, which is the same and spares the memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.edit.points import MOST_POINTS, DragError, DragOptions, Point, Progress, Pull, State
from core.model_info import LayerInfo
from core.models import registry, stylegan3, stylegan_xl
from core.request import RenderRequest

# The paper's figures are for pictures of this size: radii of 3 pixels for what is moved and 12 for where it is sought.
PAPER_SIDE = 512
MOTION_RADIUS = 3.0
TRACK_RADIUS = 12.0
# Small pictures' pixels hold more each, but a patch of one pixel has no shape, and a search of one leads nowhere.
LEAST_MOTION_RADIUS = 2.0
LEAST_TRACK_RADIUS = 3.0
# Lambda of equation 1. With the paper's 20, and means in both terms, nothing moves in small models; with 2 what is
# masked changes by a quarter as much as without a mask, and the handles arrive.
MASK_WEIGHT = 2.0
ARRIVED = 1.0
"""Pixels from a target at which a handle is there, at the paper's size and below."""
# A handle is stuck when the sum of distances has not fallen by this many pixels within so many steps.
PATIENCE = 60
LEAST_GAIN = 0.1
SAMPLES = 256


class PointDrag:
    """One drag: call `step` until its state is no longer "moving", and take `ws`. Equal inputs give equal styles."""

    def __init__(
        self,
        generator: registry.Generator,
        ws: NDArray[np.float32],
        pulls: Sequence[Pull],
        *,
        request: RenderRequest | None = None,
        mask: NDArray[np.bool_] | None = None,
        options: DragOptions | None = None,
    ) -> None:
        """`generator` is a plain float32 one without gradients, as `core.engine.load_generator` makes it, on any
        device. `ws`, [num_ws, w_dim], is where the picture is; of `request` its synthesis options count. `mask`,
        [H, W], is true where the picture may change; without one it may everywhere.

        Raises `DragError`, as `step` does when numbers overflow.
        """
        self._options = options or DragOptions()
        self._generator = generator
        self._height, self._width = generator.output_size
        self._check(ws, pulls, mask)
        self._layer = feature_layer(generator, self._options.layer)
        self._seen = _seen_share(generator, self._layer)
        self._device = next(iter(generator.parameters())).device
        self._synthesis_options = (request or RenderRequest()).options
        self._targets = [pull.target for pull in pulls]
        self._handles = [pull.handle for pull in pulls]
        self._steps = 0
        self._best, self._best_at = math.inf, 0
        side = max(self._height, self._width)
        self._motion_disc = _disc(max(MOTION_RADIUS * side / PAPER_SIDE, LEAST_MOTION_RADIUS)).to(self._device)
        # Between pixels too where the picture is small: its content moves by less than a pixel a step.
        self._track_window = _window(
            max(TRACK_RADIUS * side / PAPER_SIDE, LEAST_TRACK_RADIUS), spacing=0.5 if side < PAPER_SIDE else 1.0
        ).to(self._device)
        self._arrived = max(ARRIVED, ARRIVED * side / PAPER_SIDE)
        self._start_LW = torch.from_numpy(np.array(ws, dtype=np.float32)).to(self._device)
        self._unit_W = _unit(generator)
        count = min(self._options.styles, generator.num_ws)
        self._moved_KW = torch.zeros(count, generator.w_dim, device=self._device, requires_grad=True)
        self._adam = torch.optim.Adam([self._moved_KW], lr=self._options.step_size)
        with torch.no_grad():
            self._first_CHW = self._features()
            self._first_IC = [_at(self._first_CHW, [p], self._scale)[0] for p in self._handles]
        self._fixed_HW = None if mask is None else self._outside(mask)

    @property
    def layer(self) -> LayerInfo:
        """Whose features are followed."""
        return self._layer

    @property
    def ws(self) -> NDArray[np.float32]:
        """[num_ws, w_dim]: the styles by now; those beyond the first `styles` are as they were, to the bit."""
        values: NDArray[np.float32] = self._ws().detach().cpu().numpy()
        return values.copy()

    def step(self) -> Progress:
        """Find the handles again, and unless they are there or stuck, take one step.

        The handles that come back are those in the picture of `ws` as it was before the step.
        """
        features_CHW = self._features()
        with torch.no_grad():
            if self._steps:
                self._track(features_CHW)
        distances = [math.dist(*pair) for pair in zip(self._handles, self._targets, strict=True)]
        state = self._state(distances)
        if state == "moving":
            self._adam.zero_grad(set_to_none=True)
            self._loss(features_CHW).backward()  # type: ignore[no-untyped-call]
            self._adam.step()
            if not bool(torch.isfinite(self._moved_KW).all()):
                raise DragError(f"the styles are not finite after {self._steps} steps; use a smaller step size")
            self._steps += 1
        return Progress(steps=self._steps, handles=tuple(self._handles), left=max(distances), state=state)

    def _check(self, ws: NDArray[np.float32], pulls: Sequence[Pull], mask: NDArray[np.bool_] | None) -> None:
        generator = self._generator
        expected = (generator.num_ws, generator.w_dim)
        if ws.shape != expected:
            raise DragError(f"styles: expected {list(expected)}, got {list(ws.shape)}")
        if not 1 <= len(pulls) <= MOST_POINTS:
            raise DragError(f"points: expected 1 to {MOST_POINTS}, got {len(pulls)}")
        for x, y in (point for pull in pulls for point in (pull.handle, pull.target)):
            if not (-0.5 <= x <= self._width - 0.5 and -0.5 <= y <= self._height - 0.5):
                raise DragError(f"point: expected a place in {self._width} x {self._height} pixels, got {x:g}, {y:g}")
        if mask is not None and (mask.shape != (self._height, self._width) or not mask.any()):
            raise DragError(f"mask: expected some of [{self._height}, {self._width}] pixels, got {list(mask.shape)}")

    def _state(self, distances: list[float]) -> State:
        if max(distances) <= self._arrived:
            return "arrived"
        total = sum(distances)
        if total < self._best - LEAST_GAIN:
            self._best, self._best_at = total, self._steps
        return "stuck" if self._steps - self._best_at >= PATIENCE else "moving"

    def _ws(self) -> Tensor:
        """[num_ws, w_dim]."""
        count = len(self._moved_KW)
        coarse_KW = self._start_LW[:count] + self._moved_KW * self._unit_W
        return torch.cat([coarse_KW, self._start_LW[count:]])

    def _features(self) -> Tensor:
        """[C, h, w]: what the layer puts out by now."""
        heard: list[Tensor] = []

        def listen(module: torch.nn.Module, args: Any, output: Tensor) -> None:
            heard.append(output)
            raise _Enough

        hook = self._generator.get_submodule(self._layer.name).register_forward_hook(listen)
        try:
            self._generator.synthesis(self._ws()[None], self._synthesis_options)
        except _Enough:
            pass  # the layers behind it, which are the dearest, are of no use here
        finally:
            hook.remove()
        return heard[0][0].float()

    def _loss(self, features_CHW: Tensor) -> Tensor:
        """Motion supervision (equation 1): around each handle, the features one pixel on towards the target are to
        become those that are at the handle now; outside the mask all are to stay as they were at first.

        Means where the paper has sums, so that neither wide layers nor large pictures need another lambda.
        """
        loss = features_CHW.new_zeros(())
        for handle, target in zip(self._handles, self._targets, strict=True):
            distance = math.dist(handle, target)
            if distance <= self._arrived / 2:
                continue
            towards = torch.tensor(target, device=self._device) - torch.tensor(handle, device=self._device)
            around_M2 = self._motion_disc + torch.tensor(handle, device=self._device)
            here_MC = _at(features_CHW.detach(), around_M2, self._scale)
            there_MC = _at(features_CHW, around_M2 + towards / max(distance, 1.0), self._scale)
            loss = loss + (there_MC - here_MC).abs().mean()
        if self._fixed_HW is not None:
            changed_CHW = (features_CHW - self._first_CHW).abs() * self._fixed_HW
            loss = loss + MASK_WEIGHT * changed_CHW.mean()
        return loss

    def _track(self, features_CHW: Tensor) -> None:
        """Point tracking (section 3.3): each handle is where, near where it was, the features are nearest to those it
        had at first.
        """
        for index, handle in enumerate(self._handles):
            places_M2 = self._track_window + torch.tensor(handle, device=self._device)
            inside_M = ((places_M2 >= -0.5) & (places_M2 <= self._limits())).all(dim=1)
            places_M2 = places_M2[inside_M]
            found_MC = _at(features_CHW, places_M2, self._scale)
            nearest = int((found_MC - self._first_IC[index]).abs().sum(dim=1).argmin())
            x, y = places_M2[nearest].tolist()
            self._handles[index] = (x, y)

    def _limits(self) -> Tensor:
        return torch.tensor([self._width - 0.5, self._height - 0.5], device=self._device)

    @property
    def _scale(self) -> tuple[float, float, float, float]:
        """From a point to `grid_sample`'s coordinates: width, height, and the picture's share of the map in x and y."""
        return (self._width, self._height, *self._seen)

    def _outside(self, mask: NDArray[np.bool_]) -> Tensor:
        """[h, w]: how much of each place of the feature map is outside the mask, 0 to 1; the margin does not count."""
        height, width = self._first_CHW.shape[1:]
        inner = round(height * self._seen[1]), round(width * self._seen[0])
        fixed_11HW = torch.from_numpy(~mask).to(self._device, torch.float32)[None, None]
        fixed_11HW = F.interpolate(fixed_11HW, size=inner, mode="area")
        low = (height - inner[0]) // 2, (width - inner[1]) // 2
        high = height - inner[0] - low[0], width - inner[1] - low[1]
        return F.pad(fixed_11HW, (low[1], high[1], low[0], high[0]))[0, 0]


class _Enough(Exception):
    """The layer that is listened to has spoken."""


def feature_layer(generator: registry.Generator, name: str = "") -> LayerInfo:
    """The layer of that name, or the one that drags best: the last one at half of the picture's size or more that
    still has no more than that, because finer layers follow texture and coarser ones cannot tell places apart.

    Raises `DragError` for a model without style layers, and for a name that is not there.
    """
    w_1W = torch.zeros(1, generator.w_dim, device=next(iter(generator.parameters())).device)
    styled = [layer for layer in generator.layers if generator.style(layer, w_1W) is not None]
    if not styled:
        raise DragError("points: this model has no style layers, so nothing in its pictures can be dragged")
    if name:
        for layer in generator.layers:
            if layer.name == name:
                return layer
        raise DragError(f"layer: expected one of {', '.join(layer.name for layer in generator.layers)}, got {name!r}")
    half = max(generator.output_size) / 2
    wide = [layer for layer in styled if layer.channels > 4]  # those that make RGB are no features
    enough = [layer for layer in wide if max(layer.size) * max(_seen_share(generator, layer)) >= half]
    side = min(max(layer.size) for layer in enough)
    return [layer for layer in enough if max(layer.size) == side][-1]


def _seen_share(generator: registry.Generator, layer: LayerInfo) -> tuple[float, float]:
    """(x, y): how much of a layer's map the picture shows. StyleGAN3 has a margin around it (its section 3.2)."""
    if isinstance(generator, stylegan3.Generator | stylegan_xl.Generator):
        place = next(place for place, other in enumerate(generator.layers) if other.name == layer.name)
        specs = generator.config.layer_specs
        rate = specs[place - 1].out_rate if place else specs[0].in_rate
        height, width = layer.size
        return rate / width, rate / height
    return 1.0, 1.0


def _at(features_CHW: Tensor, points: Tensor | Sequence[Point], scale: tuple[float, float, float, float]) -> Tensor:
    """[M, C]: features at M points [M, 2], bilinear; beyond the map's edge they are those at the edge."""
    points_M2 = torch.as_tensor(points, dtype=torch.float32, device=features_CHW.device)
    width, height, seen_x, seen_y = scale
    share_M2 = (points_M2 + 0.5) / torch.tensor([width, height], device=features_CHW.device) * 2 - 1
    grid_M2 = share_M2 * torch.tensor([seen_x, seen_y], device=features_CHW.device)
    sampled = F.grid_sample(
        features_CHW[None], grid_M2[None, None], mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled[0, :, 0].T


def _disc(radius: float) -> Tensor:
    """[M, 2]: whole offsets nearer than `radius` (the paper's Omega 1)."""
    reach = torch.arange(-math.ceil(radius), math.ceil(radius) + 1.0)
    offsets_M2 = torch.cartesian_prod(reach, reach)
    return offsets_M2[offsets_M2.norm(dim=1) < radius]


def _window(radius: float, spacing: float) -> Tensor:
    """[M, 2]: offsets of a square (Omega 2), nearest first, so that of equals the one that moved least wins."""
    count = round(radius / spacing)
    reach = torch.arange(-count, count + 1.0) * spacing
    offsets_M2 = torch.cartesian_prod(reach, reach)
    return offsets_M2[offsets_M2.norm(dim=1).argsort(stable=True)]


@torch.no_grad()
def _unit(generator: registry.Generator) -> Tensor:
    """[W]: what counts as one step in each number of w, so that one step size does for all models: the deviation from
    seed to seed. What no seed changes, StyleGAN-T's text, stays: a picture dragged along it is soon another subject.
    """
    z_NZ = torch.from_numpy(np.random.RandomState(0).standard_normal((SAMPLES, generator.z_dim))).float()
    device = next(iter(generator.parameters())).device
    condition: Tensor | None = None
    if generator.conditioning != "none":
        condition = torch.zeros(SAMPLES, generator.c_dim, device=device)
        condition[:, 0] = 1.0
    w_NW = generator.map(z_NZ.to(device), condition)[:, 0]
    varies_W = (w_NW != w_NW[:1]).any(dim=0)
    return varies_W * w_NW[:, varies_W].std(dim=0).square().mean().sqrt()
