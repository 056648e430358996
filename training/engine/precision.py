"""In which types a run computes."""

from __future__ import annotations

import torch

HALF = (torch.bfloat16, torch.float16)


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of the convolutions: bfloat16 where matrix units make it faster, else float32."""
    if precision == "auto":
        fast = device.type == "cuda" or bool(torch.cpu._is_amx_tile_supported())
        return torch.bfloat16 if fast else torch.float32
    return {
        "bfloat16": torch.bfloat16,
        "float16": torch.float16,
        "float32": torch.float32,
        "float64": torch.float64,
    }[precision]


def weight_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type of weights, gradients and losses beside convolutions in `dtype`."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """The frozen networks and the discriminator in half precision where that is the type, else as they are."""
    half = dtype in HALF
    return torch.autocast(device.type, dtype=dtype if half else torch.bfloat16, enabled=half)
