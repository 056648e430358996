"""What the engine, the command line and the panels need to know of any generator, whichever family it is of.

A family's `Generator` is an `nn.Module` that has these members; nothing inherits from the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from core.model_info import Conditioning, LayerInfo
from core.request import DEFAULT_OPTIONS, SynthesisOptions

BLOCK_RESOLUTIONS = tuple(4 << step for step in range(10))


class Synthesis(Protocol):
    """Styles to pictures: a module with this signature or a method."""

    def __call__(
        self,
        ws: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        /,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """[N, W], or one for each layer [N, num_ws, W] -> pictures [N, 3, H, W], about [-1, 1], unclamped.

        An option that the family does not have does nothing: those of noise without `has_noise`, `transform` without
        `has_transform`. `generator`, if given, draws the noise of mode "random" in the place of the options' seed.
        `dtype` is that of the convolutions; pictures come in that of the parameters.
        """
        ...


class Generator(Protocol):
    """A one-pass image generator: z and condition -> ws -> picture."""

    @property
    def conditioning(self) -> Conditioning:
        """What `map` takes beside z: nothing, class weights, or a text embedding."""
        ...

    @property
    def z_dim(self) -> int: ...

    @property
    def c_dim(self) -> int:
        """Number of classes, width of the text embedding, or 0."""
        ...

    @property
    def w_dim(self) -> int: ...

    @property
    def num_ws(self) -> int:
        """How many styles a picture takes."""
        ...

    @property
    def output_size(self) -> tuple[int, int]:
        """(height, width) of the picture in pixels."""
        ...

    @property
    def layers(self) -> tuple[LayerInfo, ...]: ...

    @property
    def has_noise(self) -> bool:
        """Whether `synthesis` adds per-pixel noise."""
        ...

    @property
    def has_transform(self) -> bool:
        """Whether the input can be moved and turned."""
        ...

    def map(self, z_NZ: Tensor, c_NC: Tensor | None = None, /, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """[N, Z] and the condition [N, C] -> [N, num_ws, W], truncated by `psi` in the first `cutoff` layers (all if
        None). Raises `ValueError` for a shape that does not fit.
        """
        ...

    @property
    def synthesis(self) -> Synthesis: ...

    def style(self, layer: LayerInfo, w_NW: Tensor, /) -> Tensor | None:
        """What scales, and in StyleGAN shifts, the channels of a layer at w: [N, W] -> [N, S], at most of second order
        in w. None where w does something else, such as moving the input.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class MappingShape:
    """What the Configs of StyleGAN2 and StyleGAN3 share: how w is made."""

    z_dim: int = 512
    c_dim: int = 0
    """Number of classes; 0 is unconditional."""
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_features: int | None = None
    """Width between the mapping's layers; None is `w_dim`."""
    embed_features: int | None = None
    """Width of the embedded label; None is `w_dim`."""
    mapping_lr_multiplier: float = 0.01

    def check_mapping(self) -> None:
        """Raises `ValueError` for what cannot be built."""
        for name, low, high in (
            ("z_dim", 1, 8192),
            ("c_dim", 0, 2**20),
            ("w_dim", 1, 8192),
            ("mapping_layers", 1, 64),
        ):
            require_integer(name, getattr(self, name), low, high)
        for name in ("mapping_features", "embed_features"):
            if getattr(self, name) is not None:
                require_integer(name, getattr(self, name), 1, 8192)
        require_number("mapping_lr_multiplier", self.mapping_lr_multiplier, 0, 100)


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """What the Configs of StyleGAN and StyleGAN2 share: blocks that double the size, from 4 pixels on."""

    resolution: int = 1024
    """Of the last block: a power of two, 4 to 2048. The side of a square picture in pixels."""
    base_channels: int = 16384
    """A block at resolution R has min(base_channels // R, max_channels) channels."""
    max_channels: int = 512
    block_channels: tuple[int, ...] | None = None
    """Channels of each block, smallest first, instead of the rule above."""

    def __post_init__(self) -> None:
        channels: object = self.block_channels
        if isinstance(channels, list):  # from JSON
            object.__setattr__(self, "block_channels", tuple(channels))
        require_integer("base_channels", self.base_channels, 1, 2**22)
        require_integer("max_channels", self.max_channels, 1, 8192)
        if type(self.resolution) is not int or self.resolution not in BLOCK_RESOLUTIONS:
            raise ValueError(f"resolution: expected a power of two from 4 to 2048, got {self.resolution!r}")
        blocks = len(self.resolutions)
        if self.block_channels is None:
            if self.base_channels < self.resolution:
                raise ValueError(
                    f"base_channels: expected at least the resolution, {self.resolution}, got {self.base_channels}"
                )
        elif not isinstance(self.block_channels, tuple) or len(self.block_channels) != blocks:
            raise ValueError(f"block_channels: expected {blocks} numbers, got {self.block_channels!r}")
        for value in self.block_channels or ():
            require_integer("block_channels", value, 1, 8192)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Block resolutions, 4 first."""
        return BLOCK_RESOLUTIONS[: BLOCK_RESOLUTIONS.index(self.resolution) + 1]

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each block, smallest first."""
        if self.block_channels is not None:
            return self.block_channels
        return tuple(min(self.base_channels // resolution, self.max_channels) for resolution in self.resolutions)


def require_integer(name: str, value: object, low: int, high: int) -> None:
    """For a Config's checks: raises `ValueError` unless `value` is an integer from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name}: expected an integer from {low} to {high}, got {value!r}")


def require_number(name: str, value: object, low: float, high: float) -> None:
    """For a Config's checks: raises `ValueError` unless `value` is a number above `low` and at most `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value <= high:
        raise ValueError(f"{name}: expected a number above {low:g}, at most {high:g}, got {value!r}")


def require_pair(name: str, value: object, low: int, high: int) -> None:
    """For a Config's checks: raises `ValueError` unless `value` is two integers from `low` to `high`."""
    fits = isinstance(value, tuple) and len(value) == 2 and all(type(v) is int and low <= v <= high for v in value)
    if not fits:
        raise ValueError(f"{name}: expected two integers (height, width) from {low} to {high}, got {value!r}")


def require_latents(z_NZ: Tensor, z_dim: int, c_NC: Tensor | None, c_dim: int) -> None:
    """For `Generator.map`: raises `ValueError` unless z is [N, z_dim] and the class weights are [N, c_dim], or none for
    a generator without classes.
    """
    if z_NZ.ndim != 2 or z_NZ.shape[1] != z_dim:
        raise ValueError(f"z: expected [N, {z_dim}], got {list(z_NZ.shape)}")
    got = "none" if c_NC is None else list(c_NC.shape)
    if c_dim and (c_NC is None or c_NC.shape != (len(z_NZ), c_dim)):
        raise ValueError(f"label: expected [{len(z_NZ)}, {c_dim}], got {got}")
    if not c_dim and c_NC is not None and c_NC.shape[-1] != 0:
        raise ValueError(f"label: expected none from a generator without classes, got {got}")


def require_tensors(generator: nn.Module, state: Mapping[str, Tensor]) -> None:
    """For what is read from a file: raises `ValueError` naming a tensor that is missing, too many or misshapen."""
    expected = generator.state_dict()
    for name, tensor in expected.items():
        if name not in state:
            raise ValueError(f"{name}: expected {list(tensor.shape)}, got no such tensor")
    for name, tensor in state.items():
        if name not in expected:
            raise ValueError(f"{name}: expected no such tensor, got {list(tensor.shape)}")
        if tensor.shape != expected[name].shape:
            raise ValueError(f"{name}: expected {list(expected[name].shape)}, got {list(tensor.shape)}")
