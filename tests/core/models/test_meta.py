"""Models without memory, as files are checked against them."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import torch
from core.models import registry
from core.text import bundled_text_tower
from core.text.minilm import Config, MiniLM

with torch.device("meta"):
    for family, config in {
        "fastgan": dict(resolution=256, z_dim=8, c_dim=3),
        "r3gan": dict(channels=(8, 8), groups=(2, 2), z_dim=8, c_dim=3),
        "stylegan1": dict(resolution=16, z_dim=8, w_dim=8),
        "stylegan2": dict(resolution=16, z_dim=8, w_dim=8, c_dim=2),
        "stylegan3": dict(resolution=16, z_dim=8, w_dim=8, c_dim=2),
        "stylegan_t": dict(
            resolution=16, text_dim=8, z_dim=8, base_channels=512, max_channels=32, norm_groups=4,
            style_dim=8, input_maps=3, choices=((0, 4),),
        ),
        "stylegan_xl": dict(resolution=16, z_dim=8, w_dim=8, c_dim=2),
    }.items():
        made = registry.FAMILIES[family]
        generator = made.generator(made.config(**config))
        assert all(t.is_meta for t in generator.state_dict().values() if t.is_floating_point()), family
    known = {"fastgan", "r3gan", "stylegan1", "stylegan2", "stylegan3", "stylegan_t", "stylegan_xl"}
    assert set(registry.FAMILIES) == known
    bundled_text_tower(8, {"width": 8, "heads": 2, "layers": 1, "ls_init_value": 0.1})
    MiniLM(Config(vocabulary=9))
print([name for name in ("sympy", "torch._dynamo", "torch._inductor", "open_clip", "timm") if name in sys.modules])
"""


def test_building_one_imports_no_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"
