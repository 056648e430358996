"""What the window, the commands and saved files know of a model: plain values, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.arithmetic import Arithmetic

Conditioning = Literal["none", "class", "text"]


@dataclass(frozen=True)
class LayerInfo:
    """One layer, in the order in which a picture is made."""

    name: str
    """Path of the module in the generator, for `get_submodule`."""
    size: tuple[int, int]
    """(height, width) of its output in pixels."""
    channels: int
    """Of its output."""
    style: int
    """Which of the `num_ws` styles it takes; a layer that makes RGB may share one."""


class EngineError(ValueError):
    """The engine cannot do what was asked on this machine; the message says what it can do."""


@dataclass(frozen=True)
class ModelInfo:
    """A model that an engine runs."""

    name: str
    family: str
    size: tuple[int, int]
    """(height, width) of the picture in pixels."""
    conditioning: Conditioning
    """Whether it takes a prompt, a class, or nothing beside the seed."""
    classes: int
    """How many classes it has; 0 without them."""
    class_names: tuple[str, ...]
    """One for each class; empty when they are not known."""
    z_dim: int
    w_dim: int
    num_ws: int
    """How many styles a picture takes."""
    layers: tuple[LayerInfo, ...]
    has_noise: bool
    has_transform: bool
    path: Path
    sha256: str
    """Of the checkpoint file."""
    parameters: int
    """Of the generator."""
    images_seen: int
    vocabulary: frozenset[str]
    """Lower-case words of the training captions; empty when they are not known."""
    arithmetic: Arithmetic
    """With nothing left open."""
    knows_english: bool = False
    """Whether its text encoder was trained on more English than the captions, so that words beside `vocabulary` stand
    near those of like meaning."""

    @property
    def precision(self) -> str:
        """float32, bfloat16 or float16."""
        return self.arithmetic.precision

    @property
    def device(self) -> str:
        """cpu, cuda or cuda:N."""
        return self.arithmetic.device
