"""The plain formulas that the families' generators are compared with: one sample, numpy, float64."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float64]


def correlate(x_IHW: Array, kernel_OIKK: Array, pad: int) -> Array:
    """What torch calls conv2d: zeros outside."""
    size = kernel_OIKK.shape[-1]
    x = np.pad(x_IHW, ((0, 0), (pad, pad), (pad, pad)))
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    y = np.zeros((len(kernel_OIKK), height, width))
    for i in range(size):
        for j in range(size):
            y += np.einsum("oi,ihw->ohw", kernel_OIKK[:, :, i, j], x[:, i : i + height, j : j + width])
    return y


def insert_zeros(x_CHW: Array) -> Array:
    y = np.zeros((len(x_CHW), 2 * x_CHW.shape[1], 2 * x_CHW.shape[2]))
    y[:, ::2, ::2] = x_CHW
    return y


def low_pass(x_CHW: Array) -> Array:
    """outer([1,3,3,1], [1,3,3,1]) / 64 times 4, for a signal with zeros inserted; three pixels are lost."""
    row = np.array([1.0, 3.0, 3.0, 1.0])
    kernel = np.outer(row, row) / 64 * 4
    return np.concatenate([correlate(channel[None], kernel[None, None], 0) for channel in x_CHW])


def plain_upsample(x_CHW: Array) -> Array:
    y = np.pad(insert_zeros(x_CHW), ((0, 0), (2, 1), (2, 1)))
    return low_pass(y)


def plain_up_convolution(x_IHW: Array, kernel_OI33: Array) -> Array:
    flipped = kernel_OI33[:, :, ::-1, ::-1]
    y = correlate(insert_zeros(x_IHW), flipped, 2)  # [O, 2H + 2, 2W + 2], every place the kernel touches
    y = np.pad(y[:, :-1, :-1], ((0, 0), (1, 1), (1, 1)))
    return low_pass(y)


def stirred(generator: nn.Module) -> None:
    """Moves every parameter of a StyleGAN3 or StyleGAN-XL away from its neutral start."""
    for name, tensor in generator.state_dict().items():
        if name.endswith("magnitude_ema"):
            tensor.uniform_(0.5, 2.0)
        elif name.endswith("w_avg") or name == "synthesis.input.affine.weight":
            tensor.normal_(std=0.5)
        elif name.endswith("bias"):
            tensor.add_(torch.randn_like(tensor) * (30 if name.startswith("mapping.fc") else 0.3))
