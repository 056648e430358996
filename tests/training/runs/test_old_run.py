"""A run that was begun when StyleGAN-T was the only method, with a state of version 4: it goes on as it would have."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from core.perception.clip import ClipHeader, save_clip
from core.perception.clip_towers import build_clip
from tests.training.small import state_of, tensors_of, write_data
from training.clip.config import ClipConfig
from training.runs.config_file import read_run
from training.runs.run import resume

OLD_RUN = Path(__file__).parents[1] / "fixtures" / "old_run"
"""In float64, 16 px, two micro-batches, adaptive augmentation, blur: saved by commit 9109db3 after 32 images, with the
weights that it had after 64 when it went on itself."""


def write_same_clip(folder: Path) -> None:
    """The CLIP of the old run: the same numbers with any version of torch."""
    folder.mkdir(parents=True)
    config = ClipConfig(
        image_size=16,
        patch_size=8,
        vision_width=16,
        vision_layers=1,
        text_width=16,
        text_layers=1,
        embed_dim=8,
        head_width=16,
    )
    model = build_clip(config.embed_dim, config.vision_cfg(), config.text_cfg())
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.as_tensor(rng.standard_normal(tuple(parameter.shape)) * 0.1))
    header = ClipHeader(embed_dim=config.embed_dim, vision_cfg=config.vision_cfg(), text_cfg=config.text_cfg())
    save_clip(folder / "clip.safetensors", model, header)


def test_a_run_of_version_4_goes_on_as_it_would_have(tmp_path: Path) -> None:
    write_data(tmp_path / "data")
    write_same_clip(tmp_path / "clip")
    run = tmp_path / "run"
    run.mkdir()
    shutil.copytree(OLD_RUN / "state-000001", run / "state-000001")
    text = (OLD_RUN / "config.toml").read_text(encoding="utf-8")
    (run / "config.toml").write_text(text.replace("PLACE", f"{tmp_path.as_posix()}/"), encoding="utf-8")
    assert read_run(run).config.method == "stylegan-t"
    before = state_of(run)
    assert (before["images_seen"], before["loss_scales"]) == (32, {"d": {}, "g": {}})
    resume(run, settings=["kimg=0.064"])
    after = state_of(run)
    assert after["images_seen"] == 64
    expected = load_file(OLD_RUN / "end.safetensors")
    found = tensors_of({name: after["modules"][name] for name in ("generator", "ema", "discriminator")})
    assert found.keys() == expected.keys()
    moved = 0
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-7, atol=1e-10, msg=name)
        moved += not torch.equal(tensor, tensors_of(before["modules"])[name])
    assert moved > len(expected) // 2
