from __future__ import annotations

import numpy as np
import pytest

from app.explorer.rendering.feature_colours import coloured, look, radial, spectrum, strongest


def waves(side: int, *frequencies: int) -> np.ndarray:
    """One channel for each frequency along x, in cycles across the picture."""
    x = np.arange(side) / side
    return np.stack([np.tile(np.sin(2 * np.pi * f * x), (side, 1)) for f in frequencies]).astype(np.float32)


def test_strongest_first() -> None:
    maps = waves(8, 1, 1, 1, 1) * np.array([0.5, 2.0, 0.1, 1.0], dtype=np.float32)[:, None, None]
    assert strongest(maps, 3) == (1, 3, 0)
    assert strongest(maps, 9) == (1, 3, 0, 2)


def test_colours_rise_in_lightness_from_low_to_high() -> None:
    ramp = coloured(np.linspace(-1, 1, 256)[None], -1.0, 1.0)[0].astype(float)
    lightness = ramp @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) >= -0.5).all()
    assert tuple(ramp[0]) == (68, 1, 84)
    assert tuple(ramp[-1]) == (253, 231, 37)
    assert (coloured(np.full((2, 2), 3.0), 3.0, 3.0) == (68, 1, 84)).all()


def test_a_sheet_holds_each_channel_in_its_own_range() -> None:
    maps = waves(16, 1, 1, 1, 1, 1) * np.array([1, 100, 0.01, 10, 0.1], dtype=np.float32)[:, None, None]
    view = look(maps, count=4)
    assert view.channels == (1, 3, 0, 4)
    assert view.columns == 2
    height, width = view.tile
    for place in range(4):
        top, left = place // 2 * height, place % 2 * width
        tile = view.picture[top : top + 16, left : left + 16]
        assert np.array_equal(tile, view.picture[:16, :16])
    assert view.picture.shape == (2 * height - (height - 16), 2 * width - (width - 16), 3)


def test_large_maps_make_a_sheet_that_fits_a_screen() -> None:
    view = look(np.random.default_rng(0).normal(size=(9, 300, 600)).astype(np.float32))
    assert max(view.picture.shape) < 1000
    assert look(np.ones((1, 300, 600), dtype=np.float32), channel=0).picture.shape == (300, 600, 3)


def test_one_channel_and_its_numbers() -> None:
    maps = waves(16, 1, 2) + np.array([0, 5], dtype=np.float32)[:, None, None]
    view = look(maps, channel=1)
    assert view.channels == (1,)
    assert (view.mean, view.low, view.high) == pytest.approx((5.0, 4.0, 6.0), abs=1e-5)
    with pytest.raises(ValueError, match="channel: expected a number from 0 to 1, got 2"):
        look(maps, channel=2)


def test_the_spectrum_shows_the_frequency() -> None:
    magnitude = spectrum(waves(32, 4) + 7.0)
    peak = np.unravel_index(magnitude.argmax(), magnitude.shape)
    assert peak in ((16, 12), (16, 20))
    assert magnitude[16, 12] == pytest.approx(0.5)
    assert magnitude[16, 16] == pytest.approx(0.0, abs=1e-6)
    profile = radial(magnitude)
    assert len(profile) == 16
    assert profile.argmax() == 4 - 1  # from frequency 1 on


def test_channels_are_averaged() -> None:
    both = spectrum(waves(32, 4, 8))
    assert both[16, 20] == pytest.approx(0.25)
    assert both[16, 24] == pytest.approx(0.25)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 6), (2, 1, 9)])
def test_small_and_flat_maps_are_no_fault(shape: tuple[int, int, int]) -> None:
    for maps in (np.zeros(shape, dtype=np.float32), np.random.default_rng(0).normal(size=shape).astype(np.float32)):
        view = look(maps)
        assert np.isfinite(view.profile).all()
        assert view.spectrum.shape == (*shape[1:], 3)
