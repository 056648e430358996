"""Regression of a generator on pictures whose latent is known, as a warm-up before the adversary and beside it.

Data that can say which z made a picture (`training.datasets.paired`) leaves nothing open: z and the caption determine
the picture, and G(z, c) is compared with it in pixels and in the features of a frozen network (perceptual losses after
Johnson et al. 2016, arXiv 1603.08155).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.perception.efficientnet import EfficientNetLite0
from training.datasets.paired import Latents
from training.errors import RunError

COARSE = 4
"""The second pixel term compares pictures at this part of their side."""
HELD = 0.6
LAST_RATE = 0.05


@dataclass(frozen=True, kw_only=True)
class PairedLoss:
    """2 L1 + 2 L1 at a quarter of the side + `features` times the mean relative L1 of the network's taps."""

    network: EfficientNetLite0 | None
    """None leaves the last term out."""
    side: int = 0
    """Pictures are resized to this for the network; 0 shows it them as they are."""
    features: float = 0.5

    def __call__(self, fake_N3HW: Tensor, real_N3HW: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, a mean over the pictures, with its parts for the log."""
        pixels = (fake_N3HW - real_N3HW).abs().mean()
        coarse = (F.avg_pool2d(fake_N3HW, COARSE) - F.avg_pool2d(real_N3HW, COARSE)).abs().mean()
        loss = 2 * pixels + 2 * coarse
        figures = {"paired_pixels": pixels.detach()}
        if self.network is not None and self.features:
            with torch.no_grad():
                wanted = self.network.maps(self._sized(real_N3HW))
            distance = relative_distance(self.network.maps(self._sized(fake_N3HW)), wanted)
            loss = loss + self.features * distance
            figures["paired_features"] = distance.detach()
        return loss, figures | {"paired": loss.detach()}

    def _sized(self, x_N3HW: Tensor) -> Tensor:
        if self.side in (0, x_N3HW.shape[-1]):
            return x_N3HW
        return F.interpolate(x_N3HW, (self.side, self.side), mode="bilinear", align_corners=False)


def check_latents(latents: Latents | None, z_dim: int) -> None:
    """Raises `RunError` for data that cannot say which z made a picture."""
    if latents is None:
        raise RunError(
            "paired: these data do not know which latents made their pictures: expected one folder with latents.npy, "
            "as `glissando data stickers` writes; or set paired=0 and paired_kimg=0"
        )
    if latents.rows.shape[1] != z_dim:
        raise RunError(f"z_dim: expected {latents.rows.shape[1]}, as many as the data's latents have, got {z_dim}")


def relative_distance(taps: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """mean |a - b| / mean |b| of each tap, averaged over the taps."""
    return torch.stack([(a - b).abs().mean() / b.abs().mean() for a, b in zip(taps, wanted, strict=True)]).mean()


def warm_up_rate(rate: float, part: float) -> float:
    """The learning rate when this part of the warm-up is over: `rate`, then linearly to a twentieth of it over the last
    40 %."""
    return rate * (1 - (1 - LAST_RATE) * min(1.0, max(0.0, (part - HELD) / (1 - HELD))))
