"""The projected discriminator of StyleGAN-T (section 3.2): one trained head on each tap of a frozen feature network.

A pixel head may stand beside them: a feature network trained on few pictures misses fine texture, the pixels do not.
Outputs and logits are apart, so that one pass can be scored against several captions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.discriminators.layers import LocalBatchNorm, TextProjection, conv1d, virtual_batches

OUT_CHANNELS = 64


class TokenHead(nn.Module):
    """Tokens [N, C, T] -> [N, 64, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(conv1d(channels, channels, 1), LocalBatchNorm(channels), nn.LeakyReLU(0.2))
        self.mixed = nn.Sequential(conv1d(channels, channels, 9), LocalBatchNorm(channels), nn.LeakyReLU(0.2))
        self.last = conv1d(channels, OUT_CHANNELS, 1)

    def forward(self, tokens_NCT: Tensor) -> Tensor:
        h = self.first(tokens_NCT)
        h = (self.mixed(h) + h) / math.sqrt(2)
        out: Tensor = self.last(h)
        return out


class PixelHead(nn.Module):
    """Pictures [N, 3, R, R] -> [N, 64, 64]: strided convolutions down to 8 x 8, and how much the batch varies as one
    more map.

    Without any norm: after 100 steps on the same fakes such a head told them from reals with an area under the curve
    of 0.99, with spectral norm 0.86, with batch norm 0.90 (it hides what all fakes of a batch share, such as their
    noise). The gradient penalty of `training.losses.r1_penalty` keeps it in bounds instead.
    """

    def __init__(self, resolution: int, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, outputs = 3, channels
        for _ in range(int(math.log2(resolution // 8))):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            inputs, outputs = outputs, min(outputs * 2, 4 * channels)
        self.down = nn.Sequential(*layers)
        self.mixed = nn.Sequential(nn.Conv2d(inputs + 1, inputs, 3, padding=1), nn.LeakyReLU(0.2))
        self.last = nn.Conv2d(inputs, OUT_CHANNELS, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.2)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x_N3HW: Tensor) -> Tensor:
        h = self.down(x_N3HW.contiguous(memory_format=torch.channels_last))
        h = torch.cat([h, torch.cat([_deviation(group) for group in virtual_batches(h)])], dim=1)
        out: Tensor = self.last(self.mixed(h))
        return out.flatten(2)


def _deviation(x_GCHW: Tensor) -> Tensor:
    """Mean standard deviation over the group, as a map of [G, 1, H, W] (Progressive GAN, section 3)."""
    variance = x_GCHW.var(dim=0, correction=0)
    deviation = (variance + 1e-8).sqrt().mean()
    return deviation.expand(len(x_GCHW), 1, *x_GCHW.shape[2:])


class Discriminator(nn.Module):
    """All heads. `forward` gives each head's output, `logits` scores outputs against text embeddings."""

    def __init__(self, tap_channels: Sequence[int], text_dim: int, *, resolution: int, pixel_channels: int = 0) -> None:
        """`pixel_channels` 0 leaves the pixel head out."""
        super().__init__()
        heads: list[nn.Module] = [TokenHead(channels) for channels in tap_channels]
        self.pixels = PixelHead(resolution, pixel_channels) if pixel_channels else None
        self.heads = nn.ModuleList(heads)
        self.projections = nn.ModuleList([TextProjection(text_dim) for _ in range(len(heads) + bool(pixel_channels))])

    def forward(self, taps: Sequence[Tensor], x_N3HW: Tensor) -> list[Tensor]:
        """Taps [N, C, T] of the feature network and the pictures they come from -> one [N, 64, T] a head."""
        outs = [head(tap) for head, tap in zip(self.heads, taps, strict=True)]
        if self.pixels is not None:
            outs.append(self.pixels(x_N3HW))
        return outs

    def pixel_logits(self, x_N3HW: Tensor, c_ND: Tensor) -> Tensor:
        """[N, T] of the pixel head alone, for its gradient penalty."""
        assert self.pixels is not None
        logits: Tensor = self.projections[-1](self.pixels(x_N3HW), c_ND)
        return logits

    def logits(self, outs: Sequence[Tensor], c_ND: Tensor) -> list[Tensor]:
        """One [N, T] of logits a head, for the text embeddings [N, D]."""
        return [projection(out, c_ND) for projection, out in zip(self.projections, outs, strict=True)]
