"""Full float32 for what is measured, whatever the training around it has chosen for speed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """No gradients, no autocast, no TF32 or bfloat16 inside products and convolutions; afterwards all is as before.

    Figures would differ in the third digit between machines, and from those that were published.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.inference_mode(),
            torch.autocast(device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
