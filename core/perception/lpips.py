"""LPIPS with VGG16, a learned perceptual distance of pictures (Zhang et al. 2018, arXiv 1801.03924)."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LPIPS_FILE = "weights-vgg16-lpips.pth"
VGG_FILE = "vgg16-397923af.pth"
LPIPS_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{LPIPS_FILE}"
VGG_URL = f"https://download.pytorch.org/models/{VGG_FILE}"
# VGG16's convolutions end before these layers of torchvision's list; the outputs that LPIPS compares.
_SLICES = (4, 9, 16, 23, 30)
_CHANNELS = (64, 128, 256, 512, 512)


class LpipsError(ValueError):
    """LPIPS's weights cannot be had; the message names the files and where they belong."""


class Lpips(nn.Module):
    """Learned perceptual distance of pictures in [-1, 1]; larger ones than `size` are averaged down first."""

    shift: Tensor
    scale: Tensor

    def __init__(self, size: int | None = 256) -> None:
        super().__init__()
        from torchvision.models import vgg16

        self.size = size
        self.features = vgg16(weights=None).features[: _SLICES[-1]]
        self.weights = nn.ParameterList([torch.zeros(1, channels, 1, 1) for channels in _CHANNELS])
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, a_N3HW: Tensor, b_N3HW: Tensor) -> Tensor:
        """[N]"""
        n = len(a_N3HW)
        x = torch.cat([a_N3HW, b_N3HW])
        if self.size is not None and x.shape[-1] > self.size:
            x = F.interpolate(x, (self.size, self.size), mode="area")
        x = (x - self.shift) / self.scale
        total_N = torch.zeros(n, device=x.device, dtype=x.dtype)
        start = 0
        for stop, weight in zip(_SLICES, self.weights, strict=True):
            x = self.features[start:stop](x)
            start = stop
            unit = x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
            total_N = total_N + ((unit[:n] - unit[n:]).square() * weight).sum(dim=1).mean(dim=(1, 2))
        return total_N

    @classmethod
    def open(cls, folder: Path | None = None) -> Lpips:
        """With the two files of weights in `folder`, or in torch's own, downloaded when there is a network."""
        place = folder if folder is not None else Path(torch.hub.get_dir()) / "checkpoints"
        heads = _load(place / LPIPS_FILE, LPIPS_URL, fetch=folder is None)
        vgg = _load(place / VGG_FILE, VGG_URL, fetch=folder is None)
        model = cls()
        try:
            for number, weight in enumerate(model.weights):
                weight.copy_(heads[f"lin{number}.model.1.weight"])
            prefix = "features."
            model.features.load_state_dict({k.removeprefix(prefix): v for k, v in vgg.items() if k.startswith(prefix)})
        except (KeyError, RuntimeError) as error:
            raise LpipsError(f"{place}: {LPIPS_FILE} or {VGG_FILE} holds weights of another network") from error
        return model


def _load(path: Path, url: str, *, fetch: bool) -> dict[str, Tensor]:
    how = f"download {url} where there is a network, and name the folder it is in: --ppl-distance lpips=DIR"
    if not path.is_file() and fetch:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), progress=False)
        except (OSError, RuntimeError) as error:
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise LpipsError(f"{path}: not there, and cannot be downloaded ({why}); {how}") from error
    if not path.is_file():
        raise LpipsError(f"{path}: no such file; {how}")
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch raises any kind for a file that is damaged or would have to run code to be read.
        raise LpipsError(f"{path}: not a file of weights ({type(error).__name__}); {how}") from error
    return state
