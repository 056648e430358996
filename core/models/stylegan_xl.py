"""The StyleGAN-XL generator (Sauer et al. 2022, "StyleGAN-XL: Scaling StyleGAN to Large Diverse Datasets").

Its synthesis network is that of StyleGAN3: a stem, and layers that super-resolution stages put in place of the last
ones. What is new is the mapping, which knows classes by the features of a pretrained classifier, an average w for each
class, and truncation towards the nearest of many centroids. Read top to bottom: the configuration, mapping, generator.
Names in the state dict are those of the published files. Shape letters: N batch, Z latent, C classes, E class features,
W style, K centroids.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models import stylegan3
from core.models.family import require_integer
from core.models.layers import LEAK, Dense, Mapping, embedding, truncated_styles


@dataclass(frozen=True, kw_only=True)
class Config(stylegan3.Config):
    """The shape of one generator. Raises `ValueError` for a shape that cannot be built.

    The defaults are the unconditional stem at 16 pixels, whose layers follow StyleGAN3's rule. A generator that grew
    has `layers` that no rule gives: each stage dropped the last ones of the stage before and appended its own.
    """

    resolution: int = 16
    z_dim: int = 64
    base_channels: int = 65536
    max_channels: int = 1024
    num_layers: int = 10
    embed_classes: int = 1000
    """Rows of the table of class features. There may be more of them than classes, and there is a table without
    classes too: files carry ImageNet's whatever the generator learned from."""
    embed_features: int = 320
    """Its columns."""
    names: tuple[str, ...] | None = None
    """Of the layers' modules; None is by index, width and channels. Only `layers` given one by one take them."""

    def __post_init__(self) -> None:
        names: object = self.names
        if isinstance(names, list):  # from JSON
            object.__setattr__(self, "names", tuple(names))
        super().__post_init__()
        require_integer("embed_classes", self.embed_classes, 1, 2**20)
        require_integer("embed_features", self.embed_features, 1, 8192)
        if self.c_dim > self.embed_classes:
            raise ValueError(f"c_dim: expected at most embed_classes, {self.embed_classes}, got {self.c_dim}")
        if self.names is None:
            return
        count = 0 if self.layers is None else len(self.layers)
        if not isinstance(self.names, tuple) or len(self.names) != count or len(set(self.names)) != count:
            raise ValueError(f"names: expected {count} different ones, one for each of `layers`, got {self.names!r}")
        for name in self.names:
            # The letter keeps them apart from everything else that a module has.
            if not isinstance(name, str) or not name.isidentifier() or not name.startswith("L"):
                raise ValueError(f"names: expected ones like L0_36_1024, got {name!r}")

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers' modules."""
        return super().layer_names if self.names is None else self.names


def grown(config: Config, *, head_layers: int = 7) -> Config:
    """The shape after one more super-resolution stage, at twice the size (section 3.3): the critically sampled layers
    and that to RGB make way for `head_layers` and one to RGB, whose bands go on by StyleGAN3's rule from where the last
    layer kept ends. That is how the paper describes it; a published file brings its own layers.
    """
    kept = config.layer_specs[: -1 - config.num_critical]
    if not kept:
        raise ValueError(
            f"layers: expected more than the {1 + config.num_critical} that a stage drops, "
            f"got {len(config.layer_specs)}"
        )
    end = kept[-1]
    ruled = replace(
        config,
        resolution=2 * config.resolution,
        layers=None,
        input=None,
        names=None,
        num_layers=head_layers + 1,  # the first of them stands for the last that is kept
        first_cutoff=end.out_cutoff,
        first_stopband=end.out_cutoff + end.out_half_width,
    )
    first, *others = ruled.layer_specs[1:]
    joined = {name.replace("out_", "in_"): value for name, value in asdict(end).items() if name.startswith("out_")}
    return replace(
        config,
        resolution=2 * config.resolution,
        input=config.input_spec,
        layers=(*kept, replace(first, **joined), *others),
        names=None,
    )


class ClassMapping(Mapping):
    """z and class -> w (section 3.2): a class is what a pretrained classifier's features are for it, made as long as
    z; both at unit second moment and joined, then fully connected layers.

    `w_avg` is [C, W], an average for each class, or [W] without classes.
    """

    embed: nn.Embedding

    def __init__(self, config: Config) -> None:
        super().__init__(
            z_dim=config.z_dim,
            c_dim=config.c_dim,
            w_dim=config.w_dim,
            layers=config.mapping_layers,
            hidden=config.mapping_features,
            embed=config.z_dim,
            lr_multiplier=config.mapping_lr_multiplier,
        )
        # In place of the linear layer that it is in StyleGAN2.
        self.embed = embedding(config.embed_classes, config.embed_features)
        if config.c_dim:
            self.embed_proj = Dense(config.embed_features, config.z_dim)
            self.register_buffer("w_avg", torch.zeros(config.c_dim, config.w_dim))

    def embed_label(self, c_NC: Tensor) -> Tensor:
        """[N, C] -> [N, Z]; a mixture of classes has the mixture of their features."""
        features_NE = c_NC @ self.embed.weight[: self.c_dim]
        # Published with a gain of sqrt 2, which the normalisation after it all but cancels (epsilon 1e-8).
        return F.leaky_relu(self.embed_proj(features_NE), LEAK) * 2**0.5

    def average(self, c_NC: Tensor | None = None) -> Tensor:
        """The average w of every sample's classes, [N, W], weighted by `c_NC`; [W] without classes."""
        return self.w_avg if c_NC is None or not self.c_dim else c_NC.to(self.w_avg.dtype) @ self.w_avg

    @torch.no_grad()
    def update_average(self, w_NW: Tensor, decay: float = 0.998, c_NC: Tensor | None = None) -> None:
        """Move the average of each class that is in the batch towards its mean there, weighted by `c_NC`."""
        if not self.c_dim:
            super().update_average(w_NW, decay)
            return
        if c_NC is None:
            raise ValueError(f"label: expected [{len(w_NW)}, {self.c_dim}], got none")
        c_NC = c_NC.to(self.w_avg.dtype)
        weight_C1 = c_NC.sum(dim=0)[:, None]
        mean_CW = (c_NC.T @ w_NW.to(self.w_avg.dtype)) / weight_C1.clamp_min(1e-12)
        self.w_avg.copy_(torch.where(weight_C1 > 0, torch.lerp(self.w_avg, mean_CW, 1 - decay), self.w_avg))


class Generator(stylegan3.Generator):
    """Latents, and classes if it has them, to pictures; a `core.models.family.Generator`.

    `centroids`, [K, W] or None, is the caller's to set: with them truncation moves each w towards the nearest one
    (section 4.3, multimodal truncation) instead of its class's average. They are in no file.
    """

    mapping: ClassMapping
    centroids: Tensor | None

    def __init__(self, config: Config) -> None:
        super().__init__(config, ClassMapping(config))
        # A buffer, so that they move with the module.
        self.register_buffer("centroids", None, persistent=False)

    def map(self, z_NZ: Tensor, c_NC: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """w for every layer, [N, num_ws, W], the first `cutoff` truncated (all if None). `c_NC`: class weights, which
        sum to one. Towards the nearest of `centroids` if there are any, else towards the average of the classes.
        """
        w_NW = self.mapping(z_NZ, c_NC)
        centre = self.mapping.average(c_NC) if self.centroids is None else self.nearest_centroid(w_NW)
        return truncated_styles(w_NW, centre, self.num_ws, psi, cutoff)

    def nearest_centroid(self, w_NW: Tensor) -> Tensor:
        """Of `centroids`, for each w, [N, W]. Raises `ValueError` when they are not [K, W]."""
        centroids = self.centroids
        if centroids is None or centroids.ndim != 2 or len(centroids) == 0 or centroids.shape[1] != self.w_dim:
            got = "none" if centroids is None else list(centroids.shape)
            raise ValueError(f"centroids: expected [K, {self.w_dim}], got {got}")
        # Differences, not a matrix product: that would round by the size of the batch.
        distance_NK = (w_NW[:, None] - centroids.to(w_NW)).square().sum(dim=2)
        return centroids.to(w_NW)[distance_NK.argmin(dim=1)]
