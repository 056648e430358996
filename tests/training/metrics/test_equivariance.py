"""EQ-T and EQ-R against generators whose pictures are known functions, and the filters against plain sums."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from core.request import SynthesisOptions
from training.metrics.equivariance import (
    band_filter,
    compare,
    enlarged,
    equivariance,
    filtered,
    psnr,
    rotation,
    shift_fractional,
    shift_whole,
    turn,
)
from training.metrics.sampler import Sampler

SIDE = 64


def waves(matrix: np.ndarray, side: int = SIDE, highest: float = 6.0) -> Tensor:  # type: ignore[type-arg]
    """A sum of plane waves of few periods, at places that `matrix` [3, 3] moves: [1, 3, side, side]."""
    rng = np.random.default_rng(0)
    frequencies, phases = rng.uniform(-highest, highest, (3, 8, 2)), rng.uniform(0, 1, (3, 8))
    at = (np.arange(side) + 0.5) / side - 0.5
    x, y = np.meshgrid(at, at)
    places = np.stack([x, y, np.ones_like(x)], axis=-1) @ matrix[:2].T
    angles = np.einsum("ckd,hwd->ckhw", frequencies, places) + phases[:, :, None, None]
    return torch.from_numpy(np.sin(2 * math.pi * angles).mean(axis=1))[None]


def equivariant(transform: tuple[float, ...]) -> Tensor:
    return waves(np.array(transform).reshape(3, 3))


def fixed(transform: tuple[float, ...]) -> Tensor:
    return waves(np.eye(3))


def backwards(transform: tuple[float, ...]) -> Tensor:
    return waves(np.linalg.inv(np.array(transform).reshape(3, 3)))


def measured(render: object, kind: str, seed: int) -> float:
    moved, expected, valid = compare(render, kind, np.random.default_rng(seed))  # type: ignore[arg-type]
    assert valid.mean() > 0.1
    error = ((moved - expected).square() * valid).sum() / (valid.sum() * moved.shape[1])
    return psnr(float(error))


@pytest.mark.parametrize(("kind", "least"), [("eqt", 150.0), ("eqt_frac", 40.0), ("eqr", 40.0)])
def test_a_picture_that_goes_with_its_input_scores_high_and_others_low(kind: str, least: float) -> None:
    for seed in range(3):
        assert measured(equivariant, kind, seed) > least
        assert measured(fixed, kind, seed) < 25
        assert measured(backwards, kind, seed) < 25


def test_psnr_is_that_of_pictures_from_minus_one_to_one() -> None:
    assert psnr(4.0) == pytest.approx(0.0)
    assert psnr(0.04) == pytest.approx(20.0)
    assert math.isfinite(psnr(0.0))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 0), (0, -5), (-2, 7)])
def test_a_whole_shift_moves_pixels_and_counts_those_that_are_left(x: int, y: int) -> None:
    picture = torch.rand(1, 3, 16, 16)
    moved, valid = shift_whole(picture, x, y)
    for row in range(16):
        for column in range(16):
            there = 0 <= row - y < 16 and 0 <= column - x < 16
            assert bool(valid[row, column]) == there
            if there:
                assert torch.equal(moved[0, :, row, column], picture[0, :, row - y, column - x])


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (2.0, -3.0), (1.25, -0.5), (-2.75, 3.5)])
def test_a_fractional_shift_is_the_plain_sum_of_six_taps_an_axis(x: float, y: float) -> None:
    picture = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    moved, valid = shift_fractional(picture, x, y)

    def weights(shift: float, at: int) -> dict[int, float]:
        """Source pixel -> weight, for the pixel `at`."""
        place, taps = at - shift, {}
        for source in range(math.floor(place) - 3, math.floor(place) + 5):
            u = place - source
            if abs(u) < 3 and -3 < source - (at - math.floor(shift) - 1) <= 3:
                taps[source] = float(np.sinc(u) * np.sinc(u / 3))
        total = sum(taps.values())
        return {source: value / total for source, value in taps.items()}

    for row, column in ((8, 8), (7, 9)):
        assert valid[row, column]
        expected = sum(
            a * b * picture[0, 0, source_y, source_x]
            for source_y, a in weights(y, row).items()
            for source_x, b in weights(x, column).items()
        )
        assert moved[0, 0, row, column].item() == pytest.approx(float(expected), abs=1e-9)
    rows = [row for row in range(16) if valid[row].any()]
    low = math.floor(y)
    assert (rows[0], rows[-1] + 1) == (max(low + 3, 0), 16 + min(low - 2, 0))


@pytest.mark.parametrize("scale", [1, 4])
def test_the_filter_keeps_what_both_grids_hold_and_drops_what_one_does_not(scale: int) -> None:
    kernel = band_filter(rotation(math.pi / 4), scale)
    assert kernel.shape == (12 * scale - 1, 12 * scale - 1)
    for row in range(scale):
        for column in range(scale):
            assert kernel[row::scale, column::scale].sum() == pytest.approx(1.0)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)
    taps = (np.arange(len(kernel)) - len(kernel) // 2) / scale

    def gain(fx: float, fy: float) -> float:
        wave = np.cos(2 * math.pi * (fx * taps[None, :] + fy * taps[:, None]))
        return float((kernel * wave).sum()) / scale**2

    assert gain(0.1, 0.05) == pytest.approx(1.0, abs=0.05)
    # Half a turn of 45 degrees: the corner of one square is beyond the side of the other.
    assert abs(gain(0.49, 0.49)) < 0.1


def test_a_filter_is_the_plain_sum_of_its_taps() -> None:
    picture, kernel = torch.rand(1, 2, 9, 9, dtype=torch.float64), np.random.default_rng(0).random((3, 3))
    got = filtered(picture, kernel)
    expected = sum(kernel[dy + 1, dx + 1] * picture[0, :, 4 - dy, 4 - dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1))
    torch.testing.assert_close(got[0, :, 4, 4], expected)
    large = enlarged(picture, kernel, 4)
    spread = torch.zeros(1, 2, 33, 33, dtype=torch.float64)
    spread[:, :, ::4, ::4] = picture
    torch.testing.assert_close(large, filtered(spread, kernel))


def test_a_turn_by_a_quarter_is_a_quarter_turn_of_the_pixels() -> None:
    picture = waves(np.eye(3))
    turned, valid = turn(picture, math.pi / 2)
    # The output is read at places turned back, so that its right is the source's bottom or top.
    source = rotation(-math.pi / 2) @ np.array([1.0, 0.0])
    wanted = torch.rot90(picture, 1 if source[1] > 0 else -1, (-2, -1))
    assert ((turned - wanted).abs().amax(1)[0] * valid).max() < 0.01
    assert valid.sum() > 0.6 * SIDE**2


@dataclass
class FakeGenerator:
    """A generator without an input that can be moved."""

    has_transform: bool = False
    z_dim: int = 4
    conditioning: str = "none"

    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0) -> Tensor:
        return z

    def synthesis(self, ws: Tensor, options: SynthesisOptions, **_: object) -> Tensor:
        return equivariant(options.transform).expand(len(ws), -1, -1, -1).float()


def test_the_whole_measure_goes_over_blocks_and_refuses_other_generators() -> None:
    def sampler(generator: FakeGenerator) -> Sampler:
        return Sampler(generator=generator, encoder=None, device=torch.device("cpu"))  # type: ignore[arg-type]

    seen: list[tuple[int, int]] = []
    movable = sampler(FakeGenerator(has_transform=True))
    first = equivariance(movable, "eqt", 5, block=2, progress=lambda *values: seen.append(values))
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert first > 100
    assert equivariance(movable, "eqr", 3) == equivariance(movable, "eqr", 3) > 40
    with pytest.raises(ValueError, match="eqr: needs a generator whose input can be moved"):
        equivariance(sampler(FakeGenerator()), "eqr", 2)
