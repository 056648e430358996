"""Classifiers of the attributes of generated data sets, Postcards and Stickers: one trunk, a linear head per attribute.

`evaluate postcards` and `evaluate stickers` measure with them. They are trained from scratch on real pictures of all
combinations, held-out ones included: they judge a generator, so they must know more than the generator has seen. They
look at 64 x 64 pixels; other sizes are resized to that. Pooled trunk activations are the feature space for the Frechet
distance and for variety.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from core.files import replacing
from training.datasets import postcards, stickers
from training.metrics.scores import Predictions

FORMAT_VERSION = 1
_ASSETS = Path(__file__).resolve().parents[2] / "assets"


@dataclass(frozen=True, kw_only=True)
class ClassifierKind:
    """A data set that has a classifier."""

    name: str
    attributes: Mapping[str, tuple[str, ...]]
    """What the classifier tells apart, in output order."""
    version: int
    """Of the data set's pictures."""
    version_key: str
    """Name of the version in a file's notes."""
    metadata_key: str
    bundled: Path
    how_to_train: str


POSTCARDS = ClassifierKind(
    name="Postcards",
    attributes=postcards.ATTRIBUTES,
    version=postcards.GENERATOR_VERSION,
    version_key="postcards_version",
    metadata_key="glissando-postcards-classifier",
    bundled=_ASSETS / "postcards-classifier.safetensors",
    how_to_train="train one with `glissando train classifier --out FILE` and pass it with --classifier FILE",
)
STICKERS = ClassifierKind(
    name="Stickers",
    attributes={**stickers.ATTRIBUTES, "colour": stickers.COLOURS},  # a drawing's own colour has no word
    version=stickers.GENERATOR_VERSION,
    version_key="stickers_version",
    metadata_key="glissando-stickers-classifier",
    bundled=_ASSETS / "stickers-classifier.safetensors",
    how_to_train="train one with `glissando train classifier --art DIR --out FILE` and pass it with --classifier FILE",
)


class ClassifierError(ValueError):
    """A classifier file that cannot be used; the message says what was expected, what came and what to do."""


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """The shape of the trunk."""

    resolution: int = 64
    """Pixels a side that the trunk sees."""
    channels: tuple[int, ...] = (32, 64, 128)
    """Width of each stage; every stage halves the resolution, then has one residual block."""

    def __post_init__(self) -> None:
        if not self.channels or any(c < 1 for c in self.channels):
            raise ValueError(f"channels: expected at least one positive width, got {self.channels!r}")
        if self.resolution < 1 or self.resolution % 2 ** len(self.channels):
            raise ValueError(
                f"resolution: expected a multiple of {2 ** len(self.channels)} for {len(self.channels)} stages, "
                f"got {self.resolution!r}"
            )


STICKERS_MODEL = ClassifierConfig(channels=(24, 48, 96, 192))
"""For its many concepts."""


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_a = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm_a = nn.BatchNorm2d(channels)
        self.conv_b = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm_b = nn.BatchNorm2d(channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        h_NCHW = functional.relu(self.norm_a(self.conv_a(x_NCHW)), inplace=True)
        return functional.relu(x_NCHW + self.norm_b(self.conv_b(h_NCHW)), inplace=True)


class Stage(nn.Module):
    """Halves the resolution, changes the width, then one residual block."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(in_channels, out_channels, kernel, stride=2, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.block = ResidualBlock(out_channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        y_NCHW: Tensor = self.block(functional.relu(self.norm(self.down(x_NCHW)), inplace=True))
        return y_NCHW


class AttributeClassifier(nn.Module):
    """Pictures [N, 3, H, W] in [-1, 1] -> features and one row of logits per attribute.

    `attributes` maps each attribute to its values in output order.
    """

    def __init__(self, attributes: Mapping[str, tuple[str, ...]], config: ClassifierConfig | None = None) -> None:
        super().__init__()
        self.config = config or ClassifierConfig()
        self.attributes = {name: tuple(values) for name, values in attributes.items()}
        widths = (3, *self.config.channels)
        # The first kernel is larger: ink texture and single pixels of rain must survive its stride.
        self.stages = nn.Sequential(
            *(Stage(a, b, kernel=5 if i == 0 else 3) for i, (a, b) in enumerate(pairwise(widths)))
        )
        self.heads = nn.ModuleDict(
            {name: nn.Linear(self.feature_dim, len(values)) for name, values in attributes.items()}
        )

    @property
    def feature_dim(self) -> int:
        return 2 * self.config.channels[-1]

    def features(self, x_N3HW: Tensor) -> Tensor:
        """Pooled activations [N, feature_dim]: the mean over places (palette, weather), then the maximum (a moon)."""
        size = self.config.resolution
        if x_N3HW.shape[-1] > size or x_N3HW.shape[-2] > size:
            x_N3HW = functional.interpolate(x_N3HW, size=(size, size), mode="area")
        elif x_N3HW.shape[-2:] != (size, size):
            x_N3HW = functional.interpolate(x_N3HW, size=(size, size), mode="bilinear", align_corners=False)
        h_NCHW: Tensor = self.stages(x_N3HW.contiguous(memory_format=torch.channels_last))
        return torch.cat((h_NCHW.mean(dim=(2, 3)), h_NCHW.amax(dim=(2, 3))), dim=1)

    def logits(self, features_ND: Tensor) -> dict[str, Tensor]:
        return {name: head(features_ND) for name, head in self.heads.items()}

    def forward(self, x_N3HW: Tensor) -> dict[str, Tensor]:
        return self.logits(self.features(x_N3HW))

    @torch.inference_mode()
    def judge(self, pictures: Tensor | NDArray[np.uint8], batch: int = 256) -> tuple[Predictions, NDArray[np.float32]]:
        """(predictions, features [N, D]) of pictures: float [N, 3, H, W] in [-1, 1], or uint8 [N, H, W, 3]."""
        was_training = self.training
        self.eval()
        device = next(self.parameters()).device
        features: list[Tensor] = []
        indices: dict[str, list[Tensor]] = {name: [] for name in self.attributes}
        for start in range(0, len(pictures), batch):
            part = pictures[start : start + batch]
            x_N3HW = part.clamp(-1, 1) if isinstance(part, Tensor) else to_signed(part)
            features_ND = self.features(x_N3HW.to(device, torch.float32))
            features.append(features_ND.cpu())
            for name, logits_NK in self.logits(features_ND).items():
                indices[name].append(logits_NK.argmax(dim=1).cpu())
        self.train(was_training)
        if not features:
            raise ValueError("pictures: expected at least one picture, got none")
        return {name: torch.cat(parts).numpy() for name, parts in indices.items()}, torch.cat(features).numpy()


def to_signed(pictures_NHW3: NDArray[np.uint8]) -> Tensor:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W] in [-1, 1], channels last in memory."""
    return torch.from_numpy(pictures_NHW3).permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0


def save_classifier(
    path: Path, classifier: AttributeClassifier, notes: Mapping[str, Any], kind: ClassifierKind = POSTCARDS
) -> None:
    """Writes weights and a JSON header in one safetensors file.

    Kernels go in half precision: this costs no accuracy and halves the file. Vectors stay float32, since running
    variances can be tiny.
    """
    tensors = {
        key: (value.half() if value.ndim > 1 else value).contiguous()
        for key, value in classifier.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    header = {
        "format_version": FORMAT_VERSION,
        "attributes": classifier.attributes,
        "config": asdict(classifier.config),
        "notes": dict(notes),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        safetensors.torch.save_file(tensors, part, metadata={kind.metadata_key: json.dumps(header)})


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedClassifier:
    """A classifier in evaluation mode and what its file says about it."""

    model: AttributeClassifier
    notes: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path | None = None, kind: ClassifierKind = POSTCARDS) -> Self:
        """Loads `path`, or the bundled one of its kind. `ClassifierError` for a missing, foreign or broken file."""
        path = kind.bundled if path is None else path
        if not path.is_file():
            raise ClassifierError(
                f"{path}: expected a {kind.name} classifier file, found none there; {kind.how_to_train}"
            )
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - the handle is no dict
        except (safetensors.SafetensorError, OSError) as error:
            raise ClassifierError(f"{path}: not a readable safetensors file ({error}); {kind.how_to_train}") from error
        if kind.metadata_key not in metadata:
            raise ClassifierError(f"{path}: a safetensors file, but no {kind.name} classifier; {kind.how_to_train}")
        attributes, config, notes = _read_header(path, metadata[kind.metadata_key], kind)
        model = AttributeClassifier(attributes, config)
        expected = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
        wrong = sorted(set(expected) ^ set(tensors)) or [k for k, v in expected.items() if tensors[k].shape != v.shape]
        if wrong:
            raise ClassifierError(f"{path}: its tensors do not fit its header (first: {wrong[0]}); {kind.how_to_train}")
        model.load_state_dict({key: value.float() for key, value in tensors.items()}, strict=False)
        model.to(memory_format=torch.channels_last).eval()
        return cls(model=model.requires_grad_(False), notes=notes)


def _read_header(
    path: Path, text: str, kind: ClassifierKind
) -> tuple[dict[str, tuple[str, ...]], ClassifierConfig, dict[str, Any]]:
    """(attributes, config, notes) of a classifier file's JSON header."""
    try:
        header = json.loads(text)
        if header["format_version"] > FORMAT_VERSION:
            raise ClassifierError(
                f"{path}: format version {header['format_version']}, "
                f"but this Glissando reads up to {FORMAT_VERSION}; update it"
            )
        attributes = {str(name): tuple(values) for name, values in header["attributes"].items()}
        shape = header["config"]
        config = ClassifierConfig(resolution=shape["resolution"], channels=tuple(shape["channels"]))
        return attributes, config, dict(header["notes"])
    except ClassifierError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClassifierError(f"{path}: its header is damaged ({error!r}); {kind.how_to_train}") from error


def check_fits(loaded: LoadedClassifier, path: Path | None, kind: ClassifierKind = POSTCARDS) -> None:
    """Raises `ClassifierError` when the classifier was trained on other pictures than this Glissando draws."""
    attributes, version = loaded.model.attributes, loaded.notes.get(kind.version_key)
    if attributes != kind.attributes:
        raise ClassifierError(
            f"{path or kind.bundled}: trained for the attributes {attributes}, "
            f"but {kind.name} now has {dict(kind.attributes)}; {kind.how_to_train}"
        )
    if version != kind.version:
        raise ClassifierError(
            f"{path or kind.bundled}: trained on version {version} of {kind.name}, "
            f"which is now at {kind.version}; {kind.how_to_train}"
        )
