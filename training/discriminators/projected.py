"""The projected discriminator of StyleGAN-T (section 3.2): one trained head on each tap of a frozen feature network.

A pixel head may stand beside them: a feature network trained on few pictures misses fine texture, the pixels do not.
Outputs and logits are apart, so that one pass can be scored against several captions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.layers import Dense
from training.discriminators.layers import Conv2d, LocalBatchNorm, TextProjection, conv1d, virtual_batches

OUT_CHANNELS = 64
WHOLE_CHANNELS = 256


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
    """How real each patch of a picture looks [N, 64, 64], and the picture as a whole [N, 256, 1].

    Residual strided convolutions; patches are judged at 8 x 8, the whole after 4 x 4, where how much the batch varies
    comes in as one more map. Patches alone leave nobody to say whether their arrangement is a landscape or which one:
    a head without the whole preferred the right terrain in 52 % of cases after 25,000 pictures.

    The picture, made smaller, comes in again at every size (StyleGAN2, section 4.1, input skips), and a layer's width
    and name hang on the size of its maps alone. So a head grows with the pictures: what the smaller one has learnt goes
    on working below the new layers.

    Without any norm: after 100 steps on the same fakes such a head told them from reals with an area under the curve
    of 0.99, with spectral norm 0.86, with batch norm 0.90 (it hides what all fakes of a batch share, such as their
    noise). The gradient penalty of `training.losses.r1_penalty` keeps it in bounds instead.
    """

    memory_format = torch.channels_last

    def __init__(self, resolution: int, channels: int) -> None:
        """`channels` is the width of maps of 32 x 32; those of half the size have twice as many, 8 x 8 at most."""
        super().__init__()
        self.sides = [resolution >> step for step in range(1, int(math.log2(resolution // 8)) + 1)]
        widths = {side: max(1, 32 * channels // side) for side in self.sides}
        self.stems = nn.ModuleDict({str(side): Conv2d(3, widths[side], 4, stride=2) for side in self.sides})
        self.down = nn.ModuleDict(
            {str(small): DownBlock(widths[side], widths[small]) for side, small in itertools.pairwise(self.sides)}
        )
        width = widths[8]
        self.patches = Conv2d(width, OUT_CHANNELS, 1, active=False)
        self.last_down = DownBlock(width, width)
        self.mixed = Conv2d(width + 1, width, 3)
        self.hidden = Dense(16 * width, WHOLE_CHANNELS)
        self.whole = Dense(WHOLE_CHANNELS, WHOLE_CHANNELS)

    def stages(self, x_N3HW: Tensor) -> list[Tensor]:
        """The maps [N, C, H, W] at every size, from R / 2 to 4 x 4: what `forward` judges."""
        x = x_N3HW.contiguous(memory_format=self.memory_format)
        maps: list[Tensor] = []
        for side in self.sides:
            h = self.stems[str(side)](x)
            if maps:
                h = h + self.down[str(side)](maps[-1])
            maps.append(h)
            x = F.avg_pool2d(x, 2)
        return [*maps, self.last_down(maps[-1])]

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        patches = self.patches(stages[-2])
        h = stages[-1]
        h = self.mixed(torch.cat([h, torch.cat([_deviation(group) for group in virtual_batches(h)])], dim=1))
        hidden = F.leaky_relu(self.hidden(h.flatten(1)), 0.2) * math.sqrt(2)
        return patches.flatten(2), self.whole(hidden)[:, :, None]

    @torch.no_grad()
    def mute(self, side: int) -> None:
        """Let maps of `side` and larger say nothing to those below, until they have learnt something."""
        block = self.down[str(side // 2)]
        assert isinstance(block, DownBlock)
        for layer in (block.main[-1], block.skip):
            assert isinstance(layer, Conv2d)
            layer.weight.zero_()


class DownBlock(nn.Module):
    """Half the resolution, residual (StyleGAN2, section 4.1): [N, C, H, W] -> [N, O, H / 2, W / 2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(Conv2d(inputs, inputs, 3), Conv2d(inputs, outputs, 4, stride=2))
        self.skip = Conv2d(inputs, outputs, 1, active=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out: Tensor = (self.main(x_NCHW) + self.skip(F.avg_pool2d(x_NCHW, 2))) / math.sqrt(2)
        return out


def _deviation(x_GCHW: Tensor) -> Tensor:
    """Mean standard deviation over the group, as a map of [G, 1, H, W] (Progressive GAN, section 3)."""
    variance = x_GCHW.var(dim=0, correction=0)
    deviation = (variance + 1e-8).sqrt().mean()
    return deviation.expand(len(x_GCHW), 1, *x_GCHW.shape[2:])


class Discriminator(nn.Module):
    """All heads. `forward` gives each head's output, `logits` and `every_logit` score outputs against text embeddings.

    The outputs come in order: one for each tap, then patches and whole of the pixel head if there is one.
    """

    def __init__(
        self,
        tap_channels: Sequence[int],
        text_dim: int,
        *,
        resolution: int,
        pixel_channels: int = 0,
        paper: bool = False,
    ) -> None:
        """`pixel_channels` 0 leaves the pixel head out; `paper` is for the logits, see `TextProjection`."""
        super().__init__()
        self.heads = nn.ModuleList([TokenHead(channels) for channels in tap_channels])
        self.pixels = PixelHead(resolution, pixel_channels) if pixel_channels else None
        widths = [OUT_CHANNELS] * len(tap_channels) + [OUT_CHANNELS, WHOLE_CHANNELS] * bool(pixel_channels)
        self.projections = nn.ModuleList([TextProjection(text_dim, width, paper=paper) for width in widths])

    def stages(self, x_N3HW: Tensor) -> list[Tensor]:
        """The pixel head's maps of pictures, see `PixelHead.stages`; none without a pixel head."""
        return [] if self.pixels is None else self.pixels.stages(x_N3HW)

    def forward(self, taps: Sequence[Tensor], stages: Sequence[Tensor]) -> list[Tensor]:
        """Taps [N, C, T] of the feature network and `stages` of the same pictures -> one [N, C, T] an output.

        Without taps, only the pixel head speaks.
        """
        outs = [head(tap) for head, tap in zip(self.heads, taps, strict=True)] if taps else []
        return outs if self.pixels is None else [*outs, *self.pixels(stages)]

    def pixel_logits(self, x_N3HW: Tensor, c_ND: Tensor) -> Tensor:
        """[N]: the mean logit of the pixel head alone, for its gradient penalty."""
        assert self.pixels is not None
        outs = self.pixels(self.pixels.stages(x_N3HW))
        logits = [
            projection(out, c_ND).mean(dim=1) for projection, out in zip(self.projections[-2:], outs, strict=True)
        ]
        return torch.stack(logits).mean(dim=0)

    def logits(self, outs: Sequence[Tensor], c_ND: Tensor) -> list[Tensor]:
        """One [N, T] of logits an output, for the pictures' own text embeddings [N, D]."""
        return [projection(out, c_ND) for projection, out in zip(self.projections[-len(outs) :], outs, strict=True)]

    def every_logit(self, outs: Sequence[Tensor], c_MD: Tensor) -> list[Tensor]:
        """One [N, M] an output: each picture against each text embedding [M, D]."""
        return [
            projection.every(out, c_MD)  # type: ignore[operator]
            for projection, out in zip(self.projections[-len(outs) :], outs, strict=True)
        ]
