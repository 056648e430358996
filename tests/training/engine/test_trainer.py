"""The GAN trainer on a tiny data set: it runs, learns nothing it should not, and resumes to the same weights."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from core.checkpoints import CheckpointError, load
from core.engine import Engine
from core.models.layers import upsample
from core.perception.clip import ClipHeader, load_clip, save_clip
from core.perception.clip_towers import build_clip
from core.perception.features import DINO, FeatureError
from core.perception.timm_vit import TimmViT
from core.request import RenderRequest
from core.runlog import read_log
from tests.training.small import opened, state_of, train
from training.clip.config import ClipConfig
from training.errors import RunError
from training.methods.stylegan_t.config import StyleGANTConfig
from training.methods.stylegan_t.recipes import gan_recipe
from training.runs.config_file import read_run
from training.runs.run import resume
from training.runs.states import saved_state

CONFIG = StyleGANTConfig(
    resolution=16,
    batch=4,
    features="clip",
    kimg=0.04,
    log_steps=1,
    sample_kimg=0.02,
    save_kimg=0.008,
    critic_kimg=0.012,
    critic_steps=1,
    taps_every=2,
    blur_kimg=0.02,
    noise_kimg=0.02,
    other_captions=6,
    pixel_channels=8,
    taps=(0, 1),
    augment=("color", "translation", "cutout"),
    grid_seeds=2,
    prompts=("a red square",),
)


TWICE = replace(CONFIG, critic_steps=2, kimg=0.06)
"""As the recipes, with two updates of the discriminator for each of the generator."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve coloured pictures with two captions each."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for index in range(12):
        colour = rng.integers(0, 256, 3)
        pixels = np.clip(colour + rng.integers(-20, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(f"square number {index}\ncolour {index}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of random weights."""
    folder = tmp_path_factory.mktemp("clip")
    config = ClipConfig(
        image_size=16,
        patch_size=8,
        vision_width=32,
        vision_layers=2,
        text_width=32,
        text_layers=1,
        embed_dim=16,
        head_width=16,
    )
    torch.manual_seed(0)
    model = build_clip(config.embed_dim, config.vision_cfg(), config.text_cfg())
    header = ClipHeader(embed_dim=config.embed_dim, vision_cfg=config.vision_cfg(), text_cfg=config.text_cfg())
    save_clip(folder / "clip.safetensors", model, header)
    return folder


def state(run: Path) -> dict[str, torch.Tensor]:
    saved = state_of(run)
    parts = {name: saved["modules"][name] for name in ("generator", "ema", "discriminator")}
    return {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()} | {
        "rng": saved["rng"]
    }


def test_a_run_leaves_a_checkpoint_samples_a_log_and_a_state(data: Path, clip: Path, tmp_path: Path) -> None:
    latest = train(CONFIG, data, clip, tmp_path / "run")
    checkpoint = load(latest)
    assert checkpoint.header.images_seen == 40
    assert {"square", "number", "colour"} <= set(checkpoint.header.vocabulary)
    frame = Engine.open(latest).render(RenderRequest(prompt="square number 3"))
    assert frame.pixels.shape == (16, 16, 3)
    with Image.open(tmp_path / "run" / "samples" / "000000.png") as grid:
        assert grid.size == (32, 16)
    rows = read_log(tmp_path / "run" / "log.jsonl", "train")
    assert [row["images"] for row in rows] == list(range(4, 44, 4))
    names = [sorted({"error", "loss_d", "loss_g"} & set(row)) for row in rows]
    assert names == [["loss_d"]] * 3 + [["error", "loss_d", "loss_g"]] * 7
    assert all(np.isfinite(row[name]) for row, known in zip(rows, names, strict=True) for name in known)


def test_half_of_the_fakes_are_reconstructions(data: Path, clip: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, kimg=0.4, critic_kimg=0.0, nats=40.0, sample_kimg=1.0, save_kimg=1.0)
    errors = {}
    for weight in (0.0, 30.0):
        train(replace(config, reconstruction=weight), data, clip, tmp_path / f"{weight}")
        rows = read_log(tmp_path / f"{weight}" / "log.jsonl", "train")
        errors[weight] = [row["error"] for row in rows if "error" in row]
    assert errors[0.0] == []
    assert np.mean(errors[30.0][-20:]) < 0.6 * np.mean(errors[30.0][:5])


def test_reconstruction_looks_at_the_whole_picture_and_at_its_layout(data: Path, clip: Path) -> None:
    _, method = opened(CONFIG, data, clip)
    assert method.reconstruction is not None
    grey, stripes, tint = torch.zeros(2, 3, 16, 16), torch.zeros(2, 3, 16, 16), torch.full((2, 3, 16, 16), 0.5)
    stripes[:, :, ::2], stripes[:, :, 1::2] = 0.5, -0.5
    nothing = torch.zeros(())
    (fine, fine_error), (coarse, coarse_error) = (
        method.reconstruction.loss(x + 0.01, grey, nothing) for x in (stripes, tint)
    )
    assert abs(fine_error - coarse_error) < 0.02  # the same error a pixel ...
    assert coarse - fine > 1  # ... but only one of the two is still there at a quarter of the size
    alike, unlike = (
        method.reconstruction.loss(tint, grey, nothing, [(map_, torch.zeros(2, 4, 8, 8))])[0]
        for map_ in (torch.full((2, 4, 8, 8), 0.01), torch.ones(2, 4, 8, 8))
    )
    assert alike < coarse < unlike  # maps count beside the picture
    over = method.reconstruction.loss(tint, grey, torch.tensor(CONFIG.nats + 10))[0]
    within = method.reconstruction.loss(tint, grey, torch.tensor(CONFIG.nats - 10))[0]
    assert over > within + 1


def test_another_feature_network_stands_beside_the_clip(
    data: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = TimmViT(timm.create_model("test_vit", num_classes=0), (0.5,) * 3, (0.5,) * 3)
    asked = []

    def opened(name: str, device: torch.device) -> TimmViT:
        asked.append(name)
        return network

    monkeypatch.setattr("training.methods.stylegan_t.method.open_feature_network", opened)
    config = replace(CONFIG, features="timm:test_vit", critic_kimg=0.0, taps_every=1, guidance=1.0)
    train(config, data, clip, tmp_path / "run")
    assert asked == ["timm:test_vit"]
    head = state(tmp_path / "run")["discriminator.heads.1.first.0.parametrizations.weight.original"]
    assert head.shape[1] == network.tap_channels[1] != load_clip(clip).tap_channels[1]
    rows = read_log(tmp_path / "run" / "log.jsonl", "train")
    assert all(np.isfinite(row["guidance"]) for row in rows)


def test_without_weights_of_the_feature_network_a_run_says_so(
    data: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(FeatureError, match=r"model\.safetensors"):
        train(replace(CONFIG, features=DINO), data, clip, tmp_path / "run")


def test_more_updates_of_the_discriminator_see_more_reals(data: Path, clip: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, kimg=0.048, critic_kimg=0.0)
    for steps in (1, 3):
        train(replace(config, critic_steps=steps, r1=0.0), data, clip, tmp_path / f"{steps}")
    one, three = (read_log(tmp_path / f"{steps}" / "log.jsonl", "train") for steps in (1, 3))
    assert [row["images"] for row in one] == list(range(4, 52, 4))
    assert [row["images"] for row in three] == list(range(12, 60, 12))
    # The feature network takes part in every second step of the generator in both.
    assert ["guidance" in row for row in three] == [True, False, True, False]
    updates = {steps: state_of(tmp_path / f"{steps}")["optimisers"]["d"]["state"] for steps in (1, 3)}
    assert max(entry["step"].item() for entry in updates[3].values()) == 12
    assert max(entry["step"].item() for entry in updates[1].values()) == 12
    with pytest.raises(ValueError, match="critic_steps"):
        replace(config, critic_steps=2, taps_every=1, pixel_channels=0)


def test_only_the_discriminator_learns_at_first(data: Path, clip: Path, tmp_path: Path) -> None:
    for name, kimg in (("start", 0.004), ("critic", 0.012), ("after", 0.016)):
        train(replace(CONFIG, kimg=kimg), data, clip, tmp_path / name)
    start, critic, after = (state(tmp_path / name) for name in ("start", "critic", "after"))
    weight, map_weight = "generator.input.weight", "discriminator.projections.0.map.weight"
    assert torch.equal(start[weight], critic[weight])
    assert not torch.equal(start[map_weight], critic[map_weight])
    assert not torch.equal(critic[weight], after[weight])


def test_reconstruction_gets_better_and_keeps_to_its_nats(data: Path, clip: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, kimg=0.8, critic_kimg=0.0, reconstruction=100.0, nats=3.0, sample_kimg=1.0, save_kimg=1.0)
    train(config, data, clip, tmp_path / "run")
    rows = read_log(tmp_path / "run" / "log.jsonl", "train")
    errors, nats = [row["error"] for row in rows], [row["divergence"] for row in rows]
    assert np.mean(errors[-40:]) < 0.5 * np.mean(errors[:10])
    assert np.mean(nats[-40:]) < 4.5


def test_a_fresh_generator_hears_the_caption_as_loud_as_the_latent(data: Path, clip: Path) -> None:
    model = load_clip(clip)
    _, method = opened(CONFIG, data, clip)
    z, c = torch.randn(64, 64), torch.nn.functional.normalize(torch.randn(64, model.embed_dim), dim=1)
    with torch.no_grad():
        style = method.generator.blocks[0].layers[0].style  # type: ignore[union-attr]
        by_latent = style(torch.cat([method.generator.mapping(z), c[:1].expand(64, -1)], dim=1)).var(dim=0).mean()
        by_text = style(torch.cat([method.generator.mapping(z[:1]).expand(64, -1), c], dim=1)).var(dim=0).mean()
    assert 1 / 4 < by_text / by_latent < 4


def test_every_part_moves_and_the_clip_stays(data: Path, clip: Path, tmp_path: Path) -> None:
    before = (clip / "clip.safetensors").read_bytes()
    train(replace(CONFIG, kimg=0.004), data, clip, tmp_path / "short")
    train(CONFIG, data, clip, tmp_path / "long")
    a, b = state(tmp_path / "short"), state(tmp_path / "long")
    for part in (
        "generator.mapping.hidden.weight",
        "generator.mapping.f_avg",
        "generator.input.weight",
        "generator.blocks.1.layers.0.weight",
        "ema.blocks.0.to_rgb.weight",
        "discriminator.projections.0.map.weight",
    ):
        assert not torch.equal(a[part], b[part]), part
    assert (clip / "clip.safetensors").read_bytes() == before


def test_a_killed_run_resumes_to_the_same_weights(data: Path, clip: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(TWICE, data, clip, whole)
    script = (
        "import sys, pathlib; from tests.training.engine.test_trainer import TWICE;"
        "from tests.training.small import train;"
        "train(TWICE, *map(pathlib.Path, sys.argv[1:]))"
    )
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(data), str(clip), str(killed)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.DEVNULL,
    )
    # As soon as some state stands the process dies without a chance to tidy up.
    deadline = time.monotonic() + 120
    while saved_state(killed) is None:
        assert time.monotonic() < deadline, "the run saved no state"
        assert process.poll() is None, "the run ended too early"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resume(killed)
    a, b = state(whole), state(killed)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_more_kimg_on_resume_goes_on(data: Path, clip: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(replace(CONFIG, kimg=0.02), data, clip, run)
    resume(run, settings=["kimg=0.04"])
    train(CONFIG, data, clip, tmp_path / "whole")
    a, b = state(run), state(tmp_path / "whole")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_grown_from_a_checkpoint_starts_with_its_pictures(data: Path, clip: Path, tmp_path: Path) -> None:
    small = train(CONFIG, data, clip, tmp_path / "small")
    large = replace(CONFIG, resolution=32, kimg=0.06)
    with pytest.raises(RunError, match="remove the folder"):
        train(replace(large, kimg=0.0001), data, clip, tmp_path / "torn", start=small)
        shutil.rmtree(tmp_path / "torn" / "state-000002")
        resume(tmp_path / "torn")
    first = torch.from_numpy(np.array(Image.open(tmp_path / "torn" / "samples" / "000000.png"))).permute(2, 0, 1)
    last = torch.from_numpy(np.array(Image.open(sorted((tmp_path / "small" / "samples").iterdir())[-1]))).permute(
        2, 0, 1
    )
    wanted = torch.cat([upsample(x[None] / 127.5 - 1)[0] for x in last.split(16, dim=2)], dim=2).clamp(-1, 1)
    assert (first / 127.5 - 1 - wanted).abs().mean() < 0.01  # not zero: the samples are clamped and in eight bits

    whole = train(large, data, clip, tmp_path / "whole", start=small)
    header, origin = load(whole).header, load(small)
    assert header.images_seen == 40 + 60
    assert header.notes["start"]["sha256"] == origin.sha256
    assert header.notes["start"]["notes"]["config"]["resolution"] == 16
    train(replace(large, kimg=0.02), data, clip, tmp_path / "stopped", start=small)
    small.unlink()
    resume(tmp_path / "stopped", settings=["kimg=0.06"])
    a, b = state(tmp_path / "whole"), state(tmp_path / "stopped")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_grown_from_a_run_takes_its_discriminator_and_encoder(data: Path, clip: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, resolution=32, kimg=0.008)
    train(config, data, clip, tmp_path / "small")
    large = replace(config, resolution=64, kimg=0.0001)
    train(large, data, clip, tmp_path / "alone", start=tmp_path / "small" / "latest.safetensors")
    train(large, data, clip, tmp_path / "both", start=tmp_path / "small")
    small, alone, both = (state(tmp_path / name) for name in ("small", "alone", "both"))
    for name in ("discriminator.projections.0.map.weight", "discriminator.pixels.whole.weight"):
        near, far = ((run[name] - small[name]).abs().mean() for run in (both, alone))
        assert near < 0.02 < far, name  # one step of its learning rate away, or anywhere
    weights = {
        name: state_of(tmp_path / name)["modules"]["encoder"]["out.weight"] for name in ("small", "alone", "both")
    }
    assert torch.equal(weights["small"], weights["both"])
    assert not torch.equal(weights["small"], weights["alone"])
    with pytest.raises(RunError, match="another pixel_channels; start from"):
        train(replace(large, pixel_channels=4), data, clip, tmp_path / "other", start=tmp_path / "small")
    with pytest.raises(RunError, match="expected the folder of a GAN run"):
        train(large, data, clip, tmp_path / "none", start=tmp_path)


def test_a_checkpoint_that_does_not_fit_starts_no_run(data: Path, clip: Path, tmp_path: Path) -> None:
    small = train(replace(CONFIG, kimg=0.004), data, clip, tmp_path / "small")
    with pytest.raises(RunError, match="base_channels: expected 32768 as in this run, got 2048"):
        train(replace(CONFIG, preset="lite"), data, clip, tmp_path / "lite", start=small)
    large = train(replace(CONFIG, kimg=0.004, resolution=32), data, clip, tmp_path / "large")
    with pytest.raises(RunError, match="expected at most 16 px to start from, got 32"):
        train(CONFIG, data, clip, tmp_path / "smaller", start=large)
    other = load_clip(clip)
    torch.nn.init.zeros_(other.clip.text.token_embedding.weight)
    (tmp_path / "clip").mkdir()
    save_clip(tmp_path / "clip" / "clip.safetensors", other.clip, other.header)
    with pytest.raises(RunError, match="trained with this run's CLIP, got one with another"):
        train(CONFIG, data, tmp_path / "clip", tmp_path / "other", start=small)
    with pytest.raises(CheckpointError, match="no such file"):
        train(CONFIG, data, clip, tmp_path / "none", start=tmp_path / "none.safetensors")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_a_batch_that_eight_does_not_divide(batch: int, data: Path, clip: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, batch=batch, kimg=2 * batch / 1000, critic_kimg=0.0)
    train(config, data, clip, tmp_path / "run")
    assert load(tmp_path / "run" / "latest.safetensors").header.images_seen == 2 * batch
    rows = read_log(tmp_path / "run" / "log.jsonl", "train")
    assert all(np.isfinite([row["loss_d"], row["loss_g"], row["diversity"]]).all() for row in rows)


def test_feature_heads_can_play_without_the_pixel_head(data: Path, clip: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, kimg=0.02, critic_kimg=0.0, taps_every=1, pixel_channels=0)
    train(config, data, clip, tmp_path / "run")
    rows = read_log(tmp_path / "run" / "log.jsonl", "train")
    assert len(rows) == 5
    assert all(np.isfinite([row["loss_d"], row["loss_g"], row["match_real"]]).all() for row in rows)


def test_errors_say_what_to_do(data: Path, clip: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(replace(CONFIG, kimg=0.004), data, clip, run)
    with pytest.raises(RunError, match="holds a run already.*--resume"):
        train(CONFIG, data, clip, run)
    with pytest.raises(RunError, match="expected the folder of a GAN run"):
        resume(tmp_path / "nothing")
    (run / "state-000001" / "values.json").write_bytes(b"torn")
    with pytest.raises(RunError, match="could not be read"):
        resume(run)
    (run / "config.toml").write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match="config.toml"):
        resume(run)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch", 0),
        ("kimg", float("nan")),
        ("guidance", -1.0),
        ("matching", -1.0),
        ("matching_fake", -1.0),
        ("augment", ("flip",)),
        ("features", "dino"),
        ("taps", ()),
        ("prompts", ()),
        ("resolution", 8),
        ("reconstruction", -1.0),
        ("critic_steps", 0),
        ("diversity_share", 0.0),
    ],
)
def test_config_names_the_field_that_is_wrong(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        replace(CONFIG, **{field: value})


def test_settings_change_a_run_that_goes_on(data: Path, clip: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(replace(CONFIG, kimg=0.02), data, clip, run)
    resume(run, settings=["kimg=0.04", "learning_rate_g=0.0005", "augment=color,cutout"])
    saved = read_run(run).config
    assert (saved.learning_rate_g, saved.augment) == (0.0005, ("color", "cutout"))
    optimiser = state_of(run)["optimisers"]["g"]
    assert [group["lr"] for group in optimiser["param_groups"]] == [0.0005]
    with pytest.raises(RunError, match="batch, resolution: cannot change|resolution, batch: cannot change"):
        resume(run, settings=["batch=8", "resolution=32"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("kimg", "NAME=VALUE"),
        ("speed=3", "unknown 'speed'"),
        ("batch=many", "expected a value like 4"),
        ("batch=0", "batch"),
    ],
)
def test_a_setting_that_does_not_fit_says_why(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CONFIG.changed([setting])


def test_config_goes_through_json() -> None:
    assert StyleGANTConfig.from_json(json.loads(json.dumps(CONFIG.to_json()))) == CONFIG
    with pytest.raises(ValueError, match="unknown speling"):
        StyleGANTConfig.from_json({"speling": 1})


@pytest.mark.parametrize("name", ["postcards", "tiny"])
def test_recipes_train_two_steps(name: str, data: Path, clip: Path, tmp_path: Path) -> None:
    recipe = replace(
        gan_recipe(name),
        kimg=2 * gan_recipe(name).batch / 1000,
        taps=(0, 1),
        evaluate_kimg=0.0,
        grid_seeds=1,
        prompts=("a",),
    )
    train(recipe, data, clip, tmp_path / "run")
    assert load(tmp_path / "run" / "latest.safetensors").header.images_seen == 2 * recipe.batch
