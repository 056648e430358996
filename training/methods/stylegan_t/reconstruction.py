"""Learning by reconstruction: the generator as the decoder of a conditional variational autoencoder.

Half of the fakes are reconstructions of real pictures (VAE-GAN, Larsen et al. 2016), compared with them pixel by pixel
and in the maps of the discriminator's pixel head. A caption and a latent then say at once how a picture is laid out,
where the adversarial loss alone only says that something is wrong with all of them. By reconstruction alone pictures
stay soft, and the generator's maps collapse to a few directions; both need the game.

The latent of a picture comes from a small encoder, which no checkpoint keeps: without it, the loss would teach the
generator to ignore its latents.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.layers import Dense
from core.models.stylegan_t import Generator
from training.discriminators.layers import Conv2d
from training.discriminators.projected import DownBlock

CAPACITY_WEIGHT = 1000.0
"""What a nat above the capacity costs (Burgess et al. 2018, equation 8, one-sided); enough to stay there."""
SEEN_SIDE = 32
"""The encoder looks at pictures of this size at most."""
COARSE = 4
"""Pictures are compared whole and at this fraction of their size, where layout counts and edges do not."""


class Encoder(nn.Module):
    """Pictures [N, 3, R, R] and their text embeddings [N, D] -> mean and log variance of the latent, [N, Z] each.

    It looks at the pictures at 32 x 32, where layout can be seen, whatever their size: so it goes on when they grow.
    """

    def __init__(self, resolution: int, text_dim: int, z_dim: int, channels: int = 32) -> None:
        super().__init__()
        self.side = min(resolution, SEEN_SIDE)
        widths = [min(channels << step, 4 * channels) for step in range(int(math.log2(self.side // 4)))]
        blocks = [DownBlock(a, b) for a, b in itertools.pairwise(widths)]
        self.down = nn.Sequential(Conv2d(3, widths[0], 4, stride=2), *blocks)
        self.out = Dense(16 * widths[-1] + text_dim, 2 * z_dim)
        self.text_scale = math.sqrt(text_dim)

    def forward(self, x_N3HW: Tensor, c_ND: Tensor) -> tuple[Tensor, Tensor]:
        x = F.adaptive_avg_pool2d(x_N3HW, self.side)
        h = self.down(x.contiguous(memory_format=torch.channels_last))
        mean, log_variance = self.out(torch.cat([h.flatten(1), c_ND * self.text_scale], dim=1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-8, 4)


class Reconstruction:
    """Encoder, its optimiser, and the loss of a reconstructed picture."""

    def __init__(self, generator: Generator, *, learning_rate: float, nats: float) -> None:
        self.nats = nats
        self.encoder = Encoder(generator.resolution, generator.text_dim, generator.z_dim)
        self.encoder.to(generator.f_avg.device, generator.f_avg.dtype).to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adam(self.encoder.parameters(), lr=learning_rate, betas=(0.9, 0.99), fused=True)

    def latents(self, real_N3HW: Tensor, c_ND: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """A latent drawn for each picture [N, Z], and the divergence from the prior in nats, a mean over pictures."""
        mean, log_variance = self.encoder(real_N3HW, c_ND)
        drawn = torch.randn(mean.shape, generator=rng, device=rng.device).to(mean)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
        return mean + drawn * (log_variance / 2).exp(), divergence

    def loss(
        self,
        picture_N3HW: Tensor,
        real_N3HW: Tensor,
        divergence: Tensor,
        seen: Sequence[tuple[Tensor, Tensor]] = (),
    ) -> tuple[Tensor, Tensor]:
        """The loss, per value, and the mean square error of the whole pictures (in [-1, 1]).

        `seen` are maps in which the two are compared as well, each of the picture and of the real one.
        """
        difference = picture_N3HW - real_N3HW
        errors = [difference.square().mean(), F.avg_pool2d(difference, COARSE).square().mean()]
        errors += [F.mse_loss(*pair) for pair in seen]
        # The likelihood's variance at its best value, which is the error itself (Rybkin et al. 2021, section 3).
        likelihood = torch.stack([0.5 * error.log() for error in errors]).mean()
        excess = CAPACITY_WEIGHT * (divergence - self.nats).relu() / difference[0].numel()
        return likelihood + excess, errors[0].detach()
