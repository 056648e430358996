"""Growing from run to run, frozen below or all of it learning, and fine-tuning any checkpoint on few pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.checkpoints import load
from core.runlog import read_log
from tests.training.small import SMALL, opened, same, state_of, train
from training.errors import RunError
from training.methods.stylegan_t.config import StyleGANTConfig
from training.methods.stylegan_t.growth import resolve, trainable_parameters
from training.runs.run import resume

GROW = replace(SMALL, preset="start", resolution=0, growth=2, kimg=0.008, base_channels=0, max_channels=0, z_dim=0)
FINE_TUNE = replace(
    GROW,
    growth=1,
    clip="start",
    features="run:",
    encoder="start",
    guidance=0.0,
    augment_target=0.6,
    augment_kimg=0.02,
    kimg=0.04,
)


@pytest.fixture(scope="module")
def small(small_data: Path, small_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small") / "run"
    train(SMALL, small_data, small_clip, out)
    return out


def test_a_generator_grows_from_run_to_run(small: Path, small_data: Path, small_clip: Path, tmp_path: Path) -> None:
    run = small
    for side in (32, 64):
        bigger = tmp_path / f"{side}"
        train(replace(GROW, frozen_to=side // 2), small_data, small_clip, bigger, start=run)
        header = load(bigger / "latest.safetensors").header
        assert header.config == {**load(run / "latest.safetensors").header.config, "resolution": side}
        before, after = load(run / "latest.safetensors").part("generator"), state_of(bigger)["modules"]["generator"]
        for name, tensor in after.items():
            old = name in before
            trained = "to_rgb" in name or (not old and "noise_const" not in name)
            if name.endswith("f_avg") or not tensor.is_floating_point() or not old:
                continue
            assert torch.equal(tensor, before[name].float()) == (not trained), name
        run = bigger
    # Some of the new block has moved too, and with nothing frozen everything has.
    free = tmp_path / "free"
    train(GROW, small_data, small_clip, free, start=small)
    before, after = load(small / "latest.safetensors").part("generator"), state_of(free)["modules"]["generator"]
    for name in ("mapping.hidden.weight", "input.weight", "blocks.0.layers.0.weight", "blocks.1.to_rgb.weight"):
        assert not torch.equal(before[name].float(), after[name]), name
    assert state_of(free)["modules"]["generator"]["blocks.2.to_rgb.weight"].abs().max() > 0


def test_what_is_frozen_has_no_optimiser(small_data: Path, small_clip: Path) -> None:
    config = replace(SMALL, resolution=32, frozen_to=16)
    _, method = opened(config, small_data, small_clip)
    names = {name for name, parameter in method.generator.named_parameters() if parameter.requires_grad}
    assert {name.rpartition(".to_rgb")[0] or name.split(".layers")[0] for name in names} == {
        "blocks.0",
        "blocks.1",
        "blocks.2",
    }
    assert not any(name.startswith(("blocks.0.layers", "blocks.1.layers", "mapping", "input")) for name in names)
    (group,) = method.optimiser_g.param_groups
    assert len(group["params"]) == len(names) == len(trainable_parameters(method.generator))


def test_what_cannot_grow_says_why(small: Path, small_data: Path, small_clip: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="frozen_to: expected less than the run's 32 px, got 64"):
        train(replace(GROW, frozen_to=64), small_data, small_clip, tmp_path / "a", start=small)
    with pytest.raises(RunError, match="cannot be built: norm_groups: expected a divisor of the 8 channels at 64 px"):
        train(replace(GROW, growth=4, norm_groups=16), small_data, small_clip, tmp_path / "a", start=small)
    assert not (tmp_path / "a").exists()
    with pytest.raises(RunError, match="preset 'start'.*: needs a checkpoint or run to start from"):
        train(GROW, small_data, small_clip, tmp_path / "b")
    with pytest.raises(RunError, match="its discriminator has another logits"):
        train(replace(GROW, logits="paper"), small_data, small_clip, tmp_path / "c", start=small)
    with pytest.raises(RunError, match="expected a StyleGAN-T to start from, got family 'stylegan2'"):
        header = load(small / "latest.safetensors").header
        resolve(GROW, replace(header, family="stylegan2"))


def test_the_mean_latent_follows_the_mapping(small_data: Path, small_clip: Path) -> None:
    config: StyleGANTConfig = replace(SMALL, learning_rate_g=1e-9)
    trainer, method = opened(config, small_data, small_clip)
    expected, update = method.generator.f_avg.clone(), method.generator.mapping.update_average
    means = []

    def follow(f: torch.Tensor) -> None:
        means.append(f.mean(dim=0))
        update(f)

    method.generator.mapping.update_average = follow  # type: ignore[method-assign]
    for _ in range(3):
        trainer.step()
        expected = 0.995 * expected + 0.005 * means[-1]
    torch.testing.assert_close(method.generator.f_avg, expected)
    torch.testing.assert_close(method.ema.module.f_avg, expected)
    assert expected.abs().max() > 0


def test_few_pictures_tune_a_checkpoint_alone(small: Path, small_data: Path, small_clip: Path, tmp_path: Path) -> None:
    """No CLIP beside it: the checkpoint's own text encoder tells the generator and the discriminator what is shown."""
    config = replace(FINE_TUNE, features=f"run:{small_clip}")
    start = tmp_path / "start.safetensors"
    start.write_bytes((small / "latest.safetensors").read_bytes())
    train(config, small_data, "start", tmp_path / "whole", start=start)
    train(replace(config, kimg=0.024), small_data, "start", tmp_path / "stopped", start=start)
    start.unlink()
    resume(tmp_path / "stopped", settings=["kimg=0.04"])
    assert same(state_of(tmp_path / "whole"), state_of(tmp_path / "stopped"))
    assert state_of(tmp_path / "whole")["method"]["augment"] == state_of(tmp_path / "stopped")["method"]["augment"]
    before, after = load(small / "latest.safetensors"), load(tmp_path / "whole" / "latest.safetensors")
    assert same(before.part("text"), after.part("text"))
    assert not same(before.part("generator"), after.part("generator"))
    assert str(tmp_path) not in str(after.header.notes)
    rows = read_log(tmp_path / "whole" / "log.jsonl", "train")
    assert all({"sign_real", "augment_strength"} <= set(row) for row in rows)
    assert "guidance" not in rows[-1]
    # Ten steps: two adjustments, each of the 16 images of four.
    assert {round(row["augment_strength"], 3) for row in rows} <= {0.0, 0.8, 1.0}
