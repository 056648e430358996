"""The Inception network of 2015 that published FIDs stand on (Szegedy et al. 2016, arXiv 1512.00567).

Its graph differs from torchvision's Inception v3: average pooling leaves padding out, the last block takes a maximum,
there are 1008 classes, and pictures are enlarged as TensorFlow 1 did it. The weights are those that torch-fidelity and
pytorch-fid publish, one file with the same tensors under two names.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import inception as published

FILE_NAMES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE_NAMES[0]}"
HASH_PREFIX = "6726825d"
SIZE = 299


class InceptionError(ValueError):
    """The weights cannot be had or do not fit; the message names the file and where to put it."""


class _A(published.InceptionA):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return [self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(_average(x))]


class _C(published.InceptionC):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_2(self.branch7x7dbl_1(x))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(self.branch7x7dbl_3(double)))
        return [self.branch1x1(x), single, double, self.branch_pool(_average(x))]


class _E(published.InceptionE):  # type: ignore[misc]
    """`last` is the block before the pooling, which takes a maximum where the other averages."""

    last = False

    def _forward(self, x: Tensor) -> list[Tensor]:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, kernel_size=3, stride=1, padding=1) if self.last else _average(x)
        return [
            self.branch1x1(x),
            torch.cat([self.branch3x3_2a(single), self.branch3x3_2b(single)], 1),
            torch.cat([self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)], 1),
            self.branch_pool(pooled),
        ]


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False)


class Inception2015(nn.Module):
    """Bytes [N, 3, H, W] as floats from 0 to 255 -> the 2048 pooled features [N, 2048]."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [
            published.BasicConv2d,
            _A,
            published.InceptionB,
            _C,
            published.InceptionD,
            _E,
            published.InceptionAux,
        ]
        self.net = published.Inception3(
            num_classes=1008, aux_logits=False, inception_blocks=blocks, init_weights=False, dropout=0.0
        )
        assert isinstance(self.net.Mixed_7c, _E)
        self.net.Mixed_7c.last = True
        self.net.fc = nn.Linear(2048, 1008)
        self.eval().requires_grad_(False)

    def forward(self, x_N3HW: Tensor) -> Tensor:
        net = self.net
        x = net.Mixed_6e(net.Mixed_6d(self._to_mixed_5(x_N3HW)))
        x = net.Mixed_7c(net.Mixed_7b(net.Mixed_7a(x)))
        pooled: Tensor = x.mean(dim=(2, 3))
        return pooled

    def spatial(self, x_N3HW: Tensor) -> Tensor:
        """The first 7 channels of the 1 x 1 convolution in TensorFlow's mixed_6, 17 x 17 places each: [N, 2023].

        What sFID compares (Nash et al. 2021, arXiv 2103.03841).
        """
        found: Tensor = self.net.Mixed_6d.branch1x1(self._to_mixed_5(x_N3HW))
        return found[:, :7].flatten(1)

    def logits(self, x_N3HW: Tensor) -> Tensor:
        """Of the 1008 classes, without the bias, as published Inception Scores take them: [N, 1008]."""
        return F.linear(self(x_N3HW), self.net.fc.weight)

    def _to_mixed_5(self, x_N3HW: Tensor) -> Tensor:
        """[N, 768, 17, 17]: up to the block that TensorFlow calls mixed_5."""
        net = self.net
        x = (resize_as_tensorflow_1(x_N3HW, SIZE) - 128.0) / 128.0
        x = net.maxpool1(net.Conv2d_2b_3x3(net.Conv2d_2a_3x3(net.Conv2d_1a_3x3(x))))
        x = net.maxpool2(net.Conv2d_4a_3x3(net.Conv2d_3b_1x1(x)))
        x = net.Mixed_6a(net.Mixed_5d(net.Mixed_5c(net.Mixed_5b(x))))
        found: Tensor = net.Mixed_6c(net.Mixed_6b(x))
        return found

    @classmethod
    def random(cls, seed: int = 0) -> Inception2015:
        """With weights as they are before any training, drawn from a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls()

    @classmethod
    def open(cls, file: Path | None = None) -> Inception2015:
        """With the weights of `file`, or of the file that torch keeps, downloaded when there is a network."""
        path = file if file is not None else find_weights()
        if not path.is_file():
            raise InceptionError(f"{path}: no such file; expected {_how_to_get()}")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            # torch raises any kind for a file that is damaged or would have to run code to be read.
            raise InceptionError(
                f"{path}: not a file of weights ({type(error).__name__}); expected {_how_to_get()}"
            ) from error
        model = cls()
        own = model.net.state_dict()
        if not isinstance(state, dict) or {name for name in own if not name.endswith("num_batches_tracked")} != {
            name for name in state if not str(name).endswith("num_batches_tracked")
        }:
            raise InceptionError(f"{path}: weights of another network; expected {_how_to_get()}")
        try:
            model.net.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise InceptionError(f"{path}: weights of another shape; expected {_how_to_get()}") from error
        return model


def find_weights() -> Path:
    """Where torch-fidelity or pytorch-fid left the weights; else they are downloaded to there.

    Raises `InceptionError` when there is no network.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for name in FILE_NAMES:
        if (folder / name).is_file():
            return folder / name
    try:
        os.makedirs(folder, exist_ok=True)
        torch.hub.download_url_to_file(URL, str(folder / FILE_NAMES[0]), hash_prefix=HASH_PREFIX, progress=False)
    except (OSError, RuntimeError) as error:
        raise InceptionError(
            f"{folder / FILE_NAMES[0]}: not there, and cannot be downloaded ({_reason(error)}). "
            f"Expected {_how_to_get()}; other features need no such file: --features classifier, dino=FILE"
        ) from error
    return folder / FILE_NAMES[0]


def _how_to_get() -> str:
    return (
        f"the weights {FILE_NAMES[0]} of torch-fidelity ({URL}): "
        "download them where there is a network and name the file: --features inception=FILE"
    )


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def resize_as_tensorflow_1(x_N3HW: Tensor, size: int) -> Tensor:
    """Bilinear, corners of input and output pixels at the same places, no smoothing when it shrinks: as the graph of
    2015 does it, whatever one may think of that."""

    def between(length: int) -> tuple[Tensor, Tensor, Tensor]:
        # float32 on purpose: TensorFlow works the places out in it, and a place that rounds to the next pixel counts.
        place = torch.arange(size, dtype=torch.float32, device=x_N3HW.device) * torch.tensor(
            length / size, dtype=torch.float32
        ).to(x_N3HW.device)
        low = place.long()
        return low, (low + 1).clamp(max=length - 1), (place - low).to(x_N3HW.dtype)

    top, bottom, y = between(x_N3HW.shape[2])
    left, right, x = between(x_N3HW.shape[3])
    columns = torch.lerp(x_N3HW[..., left], x_N3HW[..., right], x)
    return torch.lerp(columns[:, :, top], columns[:, :, bottom], y[:, None])
