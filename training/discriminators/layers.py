"""What the discriminator heads are built from."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from core.models.layers import Dense

VIRTUAL_BATCH = 8


def virtual_batches(x_NC: Tensor, size: int = VIRTUAL_BATCH) -> tuple[Tensor, ...]:
    """Split a batch into consecutive groups of at most `size` samples, as even as possible; any batch size works."""
    return x_NC.tensor_split(math.ceil(len(x_NC) / size))


class LocalBatchNorm(nn.Module):
    """Batch norm over virtual batches of 8 samples and all positions: biased variance, no running statistics.

    The statistics of a few samples let the discriminator see whether they are too much alike (StyleGAN-T, section 3.2).
    """

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x_NCX: Tensor) -> Tensor:
        """[N, C, ...] -> the same."""
        return torch.cat([self._normalise(group) for group in virtual_batches(x_NCX)])

    def _normalise(self, x_GCX: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x_GCX, dim=(0, *range(2, x_GCX.ndim)), correction=0)
        scale = self.weight * (variance + self.eps).rsqrt()
        shape = (-1,) + (1,) * (x_GCX.ndim - 2)
        return x_GCX * scale.view(shape) + (self.bias - mean * scale).view(shape)


def conv1d(inputs: int, outputs: int, kernel: int) -> nn.Module:
    """Spectrally normalised convolution along the tokens, circular so that no token stands at an edge."""
    return spectral_norm(nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="circular"))


class Conv2d(nn.Module):
    """Convolution with an equalised learning rate (Progressive GAN, section 4.1), leaky ReLU with a gain of sqrt 2."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, active: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain = 1 / math.sqrt(inputs * kernel * kernel)
        self.stride, self.padding, self.active = stride, (kernel - 1) // 2, active

    def forward(self, x_NIHW: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H / stride, W / stride]."""
        y = F.conv2d(x_NIHW, self.weight * self.gain, self.bias, self.stride, self.padding)
        return F.leaky_relu(y, 0.2) * math.sqrt(2) if self.active else y


class TextProjection(nn.Module):
    """Logit per position: how real it looks whatever the text, and the features times a linear map of the text
    embedding (Miyato & Koyama 2018, equation 3).

    Without the first term no direction of the features means "real" for every caption.

    The embedding is brought from unit length to unit variance first: at unit length its entries are so small beside
    the bias that the map learns the text many times more slowly than everything else.

    StyleGAN-T has neither; with `paper` it is done its way.
    """

    def __init__(self, text_dim: int, channels: int = 64, *, paper: bool = False) -> None:
        super().__init__()
        self.plain = None if paper else Dense(channels, 1)
        self.map = Dense(text_dim, channels)
        self.scale = 1 / math.sqrt(channels)
        self.text_scale = 1.0 if paper else math.sqrt(text_dim)

    def forward(self, out_NCT: Tensor, c_ND: Tensor) -> Tensor:
        """[N, C, T] and [N, D] -> logits [N, T]."""
        matched = torch.einsum("nct,nc->nt", out_NCT, self.map(c_ND * self.text_scale)) * self.scale
        if self.plain is None:
            return matched
        plain: Tensor = self.plain(out_NCT.transpose(1, 2)).squeeze(2)
        return plain + matched

    def every(self, out_NCT: Tensor, c_MD: Tensor) -> Tensor:
        """[N, C, T] and [M, D] -> how each output fits each text, a mean over positions, [N, M].

        Without the first term, which says nothing about texts.
        """
        mapped_MC: Tensor = self.map(c_MD * self.text_scale)
        return out_NCT.mean(dim=2) @ mapped_MC.T * self.scale
