"""Every family stays on its device. Here that is torch's "meta", which computes nothing, so no GPU is needed: an
operation that meets tensors of two devices is a fault that a GPU would tell of, too. tests/gpu has what needs one.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from core.models import registry
from core.request import NOISE_MODES, SynthesisOptions
from tests.core.test_engine_families import CONFIGS

TEXT = {"resolution": 16, "text_dim": 6, "z_dim": 5, "max_channels": 8, "convs_per_block": 1, "norm_groups": 2}
ALL = CONFIGS | {"stylegan_t": TEXT}
COPIES = {"aten::_to_copy", "aten::copy_"}


class OneDevice(TorchDispatchMode):
    """Within it an operation on tensors of several devices raises `RuntimeError`, but for copies and single numbers."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor) and leaf.ndim]
        devices = {str(tensor.device) for tensor in tensors}
        if len(devices) > 1 and func._schema.name not in COPIES:
            raise RuntimeError(f"{func}: tensors on {', '.join(sorted(devices))}")
        return func(*args, **(kwargs or {}))


def test_every_family_is_among_them() -> None:
    assert {name.split()[0] for name in ALL} == set(registry.FAMILIES)


def test_a_stray_tensor_is_found() -> None:
    with OneDevice(), pytest.raises(RuntimeError, match="convolution.*: tensors on cpu, meta"):
        torch.nn.functional.conv2d(torch.ones(1, 3, 4, 4, device="meta"), torch.ones(3, 3, 1, 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("name", ALL)
def test_nothing_is_made_elsewhere(name: str, dtype: torch.dtype) -> None:
    family = registry.FAMILIES[name.split()[0]]
    generator = family.generator(family.config(**ALL[name])).eval().requires_grad_(False)  # type: ignore[arg-type]
    if name == "stylegan_xl":
        generator.centroids = torch.randn(4, generator.w_dim)  # type: ignore[union-attr]
    generator = generator.to("meta")
    z = torch.randn(1, generator.z_dim, device="meta")
    c = torch.randn(1, generator.c_dim, device="meta") if generator.c_dim else None
    with OneDevice(), torch.inference_mode():
        ws = generator.map(z, c, 0.7, min(2, generator.num_ws))
        for noise in NOISE_MODES:
            # As in the engine: noise is drawn on the CPU, so that a seed gives the same on every device.
            options = SynthesisOptions(noise=noise, transform=(0.0, -1.0, 0.1, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
            rgb = generator.synthesis(ws, options, generator=torch.Generator(), dtype=dtype)
            assert rgb.device.type == "meta"
            assert rgb.shape[2:] == generator.output_size
