"""The engine on a CUDA device. Skipped without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.engine import Engine
from core.request import RenderRequest

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

REQUESTS = [
    RenderRequest(prompt="sea", seed_x=1.5, psi=0.7),
    RenderRequest(prompt="sea", prompt_b="house", blend=0.4, noise="random", noise_seed=5),
    RenderRequest(prompt="雪", noise="none", transform=(0.0, -1.0, 0.1, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)),
]


def test_auto_is_cuda_in_float16(tiny_checkpoint: Path) -> None:
    info = Engine.open(tiny_checkpoint).info
    assert (info.device.split(":")[0], info.precision) == ("cuda", "float16")


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_frames_repeat_to_the_bit_and_are_the_cpus(tiny_checkpoint: Path, precision: str) -> None:
    engine = Engine.open(tiny_checkpoint, device="cuda", precision=precision)
    cpu = Engine.open(tiny_checkpoint, device="cpu", precision="float32")
    first = [engine.render(request).pixels for request in REQUESTS]
    again = [frame.pixels for frame in engine.render_batch(REQUESTS[::-1])][::-1]
    limit = {"float32": 0.1, "float16": 1.0, "bfloat16": 8.0}[precision]
    for request, a, b in zip(REQUESTS, first, again, strict=True):
        assert np.array_equal(a, b)
        assert np.abs(a.astype(float) - cpu.render(request).pixels).mean() < limit
