"""EQ-T and EQ-R: does the picture move and turn with the generator's input? (Karras et al. 2021, arXiv 2106.12423,
section 2.2 and appendix E)

    PSNR in dB = 20 log10 2 - 10 log10(mean squared error)

between the picture of a transformed input and the plain picture transformed, over the pixels that both have. Shifts are
up to an eighth of the picture along each axis, to whole pixels for EQ-T and to any place for EQ-T_frac; angles are any.
What a pixel grid cannot hold before or after a turn is filtered out of both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.request import IDENTITY_TRANSFORM, SynthesisOptions
from training.metrics.exact import exact
from training.metrics.sampler import Sampler

Kind = Literal["eqt", "eqt_frac", "eqr"]
EQUIVARIANCES: tuple[Kind, ...] = ("eqt", "eqt_frac", "eqr")

MAX_SHIFT = 1 / 8
"""Of the picture's side."""
LANCZOS = 3
ENLARGED = 4
"""How many times the plain picture is enlarged before it is read at turned places."""
_REACH = 2 * LANCZOS
_SUPPORT = 64
_MARGIN = 5.5
_LEAST_ERROR = 1e-20
_STREAMS = {"eqt": 31, "eqt_frac": 32, "eqr": 33}

Compared = tuple[Tensor, Tensor, Tensor]
"""(picture of the transformed input, plain picture transformed [N, C, H, W], where both count [H, W] as 0 or 1)."""


def equivariance(
    sampler: Sampler,
    kind: Kind,
    pictures: int,
    prompts: Sequence[str] | None = None,
    *,
    block: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """PSNR in dB over the first so many pictures; one transform is drawn for each block of them.

    Raises `ValueError` for a generator whose input cannot be transformed.
    """
    if not sampler.generator.has_transform:
        raise ValueError(f"{kind}: needs a generator whose input can be moved and turned, such as StyleGAN3's")
    squared, count = 0.0, 0.0
    for start in range(0, pictures, block):
        numbers = range(start, min(pictures, start + block))
        rng = np.random.default_rng((sampler.seed, _STREAMS[kind], start))
        with exact(sampler.device), torch.inference_mode():
            ws = sampler.styles(numbers, prompts)

            def render(transform: tuple[float, ...], ws: Tensor = ws, numbers: range = numbers) -> Tensor:
                options = SynthesisOptions(noise=sampler.noise, transform=transform)
                moved = replace(sampler, dtype=torch.float32)
                return moved.synthesise(ws, numbers, options).float()

            moved, expected, valid = compare(render, kind, rng)
            error = (moved - expected).square().sum(dim=(0, 1)).double()
            squared += float((error * valid).sum())
            count += float(valid.sum()) * moved.shape[0] * moved.shape[1]
        if progress is not None:
            progress(numbers.stop, pictures)
    return psnr(squared / max(count, 1.0))


def psnr(mean_squared: float) -> float:
    """Peak signal-to-noise ratio in dB of pictures that go from -1 to 1."""
    return 20 * math.log10(2) - 10 * math.log10(max(mean_squared, _LEAST_ERROR))


def compare(render: Callable[[tuple[float, ...]], Tensor], kind: Kind, rng: np.random.Generator) -> Compared:
    """Both sides for one transform drawn; `render` gives [N, C, H, W] under a row-major 3 x 3 matrix."""
    plain = render(IDENTITY_TRANSFORM)
    if kind == "eqr":
        angle = rng.uniform(-math.pi, math.pi)
        return _turned(render, plain, angle)
    side = plain.shape[-1]
    shift = rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2)
    if kind == "eqt":
        shift = np.round(shift * side) / side
    x, y = float(shift[0]), float(shift[1])
    moved = render((1.0, 0.0, -x, 0.0, 1.0, -y, 0.0, 0.0, 1.0))
    if kind == "eqt":
        expected, valid = shift_whole(plain, round(x * side), round(y * side))
    else:
        expected, valid = shift_fractional(plain, x * side, y * side)
    return moved, expected, valid


def shift_whole(picture_NCHW: Tensor, x: int, y: int) -> tuple[Tensor, Tensor]:
    """(the picture moved by x pixels to the right and y down, where it still has pixels [H, W])."""
    height, width = picture_NCHW.shape[-2:]
    moved = torch.roll(picture_NCHW, (y, x), dims=(-2, -1))
    rows, columns = torch.arange(height), torch.arange(width)
    valid_H = (rows >= y) & (rows < height + y)
    valid_W = (columns >= x) & (columns < width + x)
    return moved, (valid_H[:, None] & valid_W).to(picture_NCHW)


def shift_fractional(picture_NCHW: Tensor, x: float, y: float) -> tuple[Tensor, Tensor]:
    """As `shift_whole` for any shift: interpolated by a Lanczos filter of six taps along each axis."""
    moved, valid = picture_NCHW, []
    for axis, shift in ((-2, y), (-1, x)):
        size = picture_NCHW.shape[axis]
        whole = math.floor(shift)
        places = torch.arange(1 - LANCZOS, LANCZOS + 1, dtype=torch.float64)  # of the taps, about the pixel
        away = places - (shift - whole)
        taps = torch.sinc(away) * torch.sinc(away / LANCZOS)
        taps = (taps / taps.sum()).to(moved)
        moved = sum(tap * torch.roll(moved, whole + int(at), axis) for tap, at in zip(taps, places, strict=True))
        numbers = torch.arange(size)
        valid.append((numbers >= max(whole + LANCZOS, 0)) & (numbers < size + min(whole - LANCZOS + 1, 0)))
    return moved, (valid[0][:, None] & valid[1]).to(picture_NCHW)


def rotation(angle: float) -> NDArray[np.float64]:
    """The matrix [2, 2] on (x, y)."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, s], [-s, c]])


def _turned(render: Callable[[tuple[float, ...]], Tensor], plain: Tensor, angle: float) -> Compared:
    back = rotation(-angle)
    (a, b), (c, d) = back.tolist()
    moved = render((a, b, 0.0, c, d, 0.0, 0.0, 0.0, 1.0))
    moved = filtered(moved, band_filter(back, 1))
    height, width = plain.shape[-2:]
    inner = torch.zeros(height, width).to(plain)
    inner[_REACH - 1 : height - _REACH + 1, _REACH - 1 : width - _REACH + 1] = 1
    expected, valid = turn(plain, angle)
    return moved, expected, inner * valid


def turn(picture_NCHW: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """(the picture turned about its middle, without what the grid cannot hold; where its source is well inside)."""
    height, width = picture_NCHW.shape[-2:]
    large = enlarged(picture_NCHW, band_filter(rotation(angle), ENLARGED), ENLARGED)
    x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    source = np.stack([x, y], axis=-1) @ rotation(-angle).T + np.array([(width - 1) / 2, (height - 1) / 2])
    inside = (source >= _MARGIN) & (source <= np.array([width, height]) - 1 - _MARGIN)
    # Pixel i of the picture is pixel ENLARGED * i of the large one; -1 and 1 are its outermost centres.
    last = np.array([large.shape[-1] - 1, large.shape[-2] - 1])
    grid = torch.from_numpy(2 * ENLARGED * source / last - 1).to(picture_NCHW)
    grid = grid.expand(len(picture_NCHW), -1, -1, -1)
    read = F.grid_sample(large, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return read, torch.from_numpy(inside.all(axis=-1)).to(picture_NCHW)


def band_filter(matrix: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """A low-pass filter for the frequencies that the pixel grid and the grid under `matrix` both hold: the convolution
    of their sinc filters, within that of their Lanczos windows. Taps are 1 / scale pixels apart; each phase sums to 1.
    """
    reach = _SUPPORT * scale - 1
    taps = np.arange(-reach, reach + 1) / scale
    x, y = np.meshgrid(taps, taps)
    turned_x, turned_y = matrix[0, 0] * x + matrix[0, 1] * y, matrix[1, 0] * x + matrix[1, 1] * y

    def window(u: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(np.abs(u) < LANCZOS, np.sinc(u / LANCZOS), 0.0)

    def convolved(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        spectrum = np.fft.fft2(np.fft.ifftshift(a)) * np.fft.fft2(np.fft.ifftshift(b))
        return np.fft.fftshift(np.fft.ifft2(spectrum).real)

    kernel = convolved(np.sinc(x) * np.sinc(y), np.sinc(turned_x) * np.sinc(turned_y))
    kernel *= convolved(window(x) * window(y), window(turned_x) * window(turned_y))
    kept = slice(reach - (_REACH * scale - 1), reach + _REACH * scale)
    kernel = kernel[kept, kept]
    for row in range(scale):
        for column in range(scale):
            kernel[row::scale, column::scale] /= kernel[row::scale, column::scale].sum()
    return kernel


def filtered(picture_NCHW: Tensor, kernel: NDArray[np.float64]) -> Tensor:
    """The picture convolved with a kernel of odd size; zeros lie around it."""
    weight = torch.from_numpy(kernel[::-1, ::-1].copy()).to(picture_NCHW)[None, None]
    each = picture_NCHW.flatten(0, 1)[:, None]
    return F.conv2d(each, weight, padding=kernel.shape[0] // 2).view(picture_NCHW.shape)


def enlarged(picture_NCHW: Tensor, kernel: NDArray[np.float64], scale: int) -> Tensor:
    """[N, C, scale (H - 1) + 1, scale (W - 1) + 1]: zeros between the pixels, then the kernel."""
    weight = torch.from_numpy(kernel).to(picture_NCHW)[None, None]
    each = picture_NCHW.flatten(0, 1)[:, None]
    large = F.conv_transpose2d(each, weight, stride=scale, padding=kernel.shape[0] // 2)
    return large.view(*picture_NCHW.shape[:2], *large.shape[-2:])
