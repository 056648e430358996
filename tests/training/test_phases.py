"""Phases 2 and 3: who learns, who sees which text embedding, and that pictures are made as they were trained."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints import load
from core.engine import Engine
from core.latents import seed_to_z
from core.perception.clip import load_clip
from core.request import RenderRequest
from tests.training.small import SMALL, opened, same, state_of, train, write_clip
from training.datasets.folder import load_folder
from training.errors import RunError
from training.losses import spherical_distance
from training.methods.stylegan_t.growth import TUNED
from training.methods.stylegan_t.objective import Losses
from training.methods.stylegan_t.recipes import text_encoder
from training.methods.stylegan_t.text_phase import TextPhase
from training.runs.run import resume

TEXT = replace(
    SMALL, preset="start", resolution=0, phase="text", guidance=50.0, learning_rate_g=3e-6, diversity=0.0, pairs=False
)
PROMPTS = ["square number 1", "colour 7"]


@pytest.fixture(scope="module")
def first(small_data: Path, small_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phase 1."""
    out = tmp_path_factory.mktemp("first") / "run"
    train(replace(SMALL, kimg=0.04), small_data, small_clip, out)
    return out


@pytest.fixture(scope="module")
def second(first: Path, small_data: Path, small_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phase 2, at a rate that can be seen after ten steps."""
    out = tmp_path_factory.mktemp("second") / "run"
    train(replace(TEXT, kimg=0.04, learning_rate_g=1e-3), small_data, small_clip, out, start=first)
    return out


def texts(run: Path) -> dict[str, torch.Tensor]:
    return load(run / "latest.safetensors").part("text")


def test_in_the_text_phase_the_tower_and_the_discriminator_learn(first: Path, second: Path, small_clip: Path) -> None:
    before, after = state_of(first), state_of(second)
    snapshot = {name: tensor.half().float() for name, tensor in before["modules"]["ema"].items()}
    assert same(snapshot, after["modules"]["generator"])
    assert same(after["modules"]["generator"], after["modules"]["ema"])
    assert not same(before["modules"]["discriminator"], after["modules"]["discriminator"])
    own = load_clip(small_clip).text_state_dict()
    tuned = after["modules"]["text"]
    assert tuned.keys() == own.keys()
    moved = {name for name in own if not torch.equal(tuned[name], own[name])}
    assert {"token_embedding.weight", "text_projection", "ln_final.weight"} <= moved
    assert not same(after["modules"]["text_ema"], tuned)


def test_a_step_of_the_text_phase_is_as_small_as_its_rate(first: Path, small_data: Path, small_clip: Path) -> None:
    trainer, method = opened(replace(TEXT, critic_kimg=0.0), small_data, small_clip, start=first)
    trainer.step()
    own = load_clip(small_clip).text_state_dict()
    assert method.text is not None
    change = method.text.tower.module.text_projection - own["text_projection"]
    assert 0 < change.abs().max().item() <= 3.1e-6  # Adam's first step, with betas 0 and 0.99


def test_the_text_phase_brings_pictures_closer_to_their_captions(
    first: Path, small_data: Path, small_clip: Path
) -> None:
    """As the frozen CLIP sees it, through the frozen generator."""
    trainer, method = opened(replace(TEXT, learning_rate_g=3e-3), small_data, small_clip, start=first)
    assert method.text is not None
    clip, z = (
        load_clip(small_clip),
        torch.randn(12, method.generator.z_dim, generator=torch.Generator().manual_seed(0)),
    )
    captions = [f"square number {index}" for index in range(12)]

    def distance() -> float:
        assert method.text is not None
        with torch.no_grad():
            pictures = method.generator(z, method.text.encode(captions))
            return spherical_distance(clip.encode_image(pictures), clip.encode_text(captions)).mean().item()

    before = distance()
    for _ in range(30):
        trainer.step()
    assert distance() < before - 0.02


def test_judges_go_on_to_see_the_frozen_embedding(
    second: Path, small_data: Path, small_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In phase 3, as in phase 2: the generator is told the tuned embedding, the discriminator and guidance the
    CLIP's."""
    third = replace(SMALL, preset="start", resolution=0, diversity=0.0)
    trainer, method = opened(third, small_data, small_clip, start=second)
    assert method.config.encoder == "start"
    assert method.text is not None
    assert not method.text.learns
    seen: dict[str, list[torch.Tensor]] = {"generator": [], "discriminator": [], "guidance": []}
    synthesis, logits, draw = method.losses.synthesis, method.discriminator.logits, Losses.draw

    def synthesise(w: torch.Tensor, *options: object, **kinds: object) -> torch.Tensor:
        seen["generator"].append(w[:, method.generator.z_dim :].detach())
        return synthesis(w, *options, **kinds)

    def judge(outs: list[torch.Tensor], c: torch.Tensor) -> list[torch.Tensor]:
        seen["discriminator"].append(c)
        return logits(outs, c)

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        seen["guidance"].append(b)
        return (a - b).square().sum(dim=1)

    captions: list[str] = []

    def drawn(losses: Losses, rng: Any, real: Any, c: Any, found: list[str], latents: Any, now: Any) -> Any:
        captions[:] = found
        return draw(losses, rng, real, c, found, latents, now)

    method.losses = replace(method.losses, synthesis=synthesise)
    monkeypatch.setattr(Losses, "draw", drawn)
    monkeypatch.setattr(method.discriminator, "logits", judge)
    monkeypatch.setattr("training.methods.stylegan_t.objective.spherical_distance", distance)
    trainer.step()
    fakes = [captions[index % 2] for index in range(4)]  # in pairs
    tuned, own = method.text.average().encode_text(fakes), load_clip(small_clip).encode_text(fakes)
    assert (tuned - own).abs().max() > 1e-3
    torch.testing.assert_close(seen["generator"][0], tuned)
    for c in (seen["discriminator"][-1], seen["guidance"][0]):
        torch.testing.assert_close(c, own)


def test_checkpoints_carry_the_tuned_tower_and_open_with_it(
    second: Path, small_data: Path, small_clip: Path, tmp_path: Path
) -> None:
    ema = state_of(second)["modules"]["text_ema"]
    assert all(torch.equal(texts(second)[name].float(), tensor.half().float()) for name, tensor in ema.items())
    third = tmp_path / "third"
    train(replace(SMALL, kimg=0.008, preset="start", resolution=0), small_data, small_clip, third, start=second)
    assert same(texts(third), texts(second))
    assert load(third / "latest.safetensors").header.notes[TUNED]
    assert not same(state_of(third)["modules"]["generator"], state_of(second)["modules"]["generator"])
    # What the explorer draws is what the trainer shows.
    for run, config in ((second, TEXT), (third, replace(SMALL, preset="start", resolution=0))):
        _, method = opened(config, small_data, small_clip, start=run)
        z = torch.stack([seed_to_z(3, method.generator.z_dim)] * 2)
        shown = method.render(PROMPTS, z)
        engine = Engine.open(run / "latest.safetensors", precision="float32")
        for prompt, picture in zip(PROMPTS, shown, strict=True):
            pixels = torch.from_numpy(engine.render(RenderRequest(prompt=prompt, seed_x=3.0)).pixels.copy())
            wanted = (picture.clamp(-1, 1) + 1) * 127.5
            assert (pixels.permute(2, 0, 1).float() - wanted).abs().max() <= 1.5
        assert (shown[0] - shown[1]).abs().max() > 0.01


@pytest.mark.parametrize("phase", ["text", "generator"])
def test_a_stopped_phase_goes_on_without_its_start(
    phase: str, first: Path, second: Path, small_data: Path, small_clip: Path, tmp_path: Path
) -> None:
    config = replace(TEXT, learning_rate_g=1e-3) if phase == "text" else replace(SMALL, preset="start", resolution=0)
    begin = shutil.copytree(first if phase == "text" else second, tmp_path / "begin")
    train(replace(config, kimg=0.016), small_data, small_clip, tmp_path / "whole", start=begin)
    train(replace(config, kimg=0.008), small_data, small_clip, tmp_path / "stopped", start=begin)
    shutil.rmtree(begin)
    resume(tmp_path / "stopped", settings=["kimg=0.016"])
    assert same(state_of(tmp_path / "whole"), state_of(tmp_path / "stopped"))
    assert same(texts(tmp_path / "whole"), texts(tmp_path / "stopped"))
    with pytest.raises(RunError, match="phase, encoder: cannot change|encoder: cannot change"):
        resume(tmp_path / "stopped", settings=["encoder=auto"])


def test_kept_embeddings_are_those_of_the_tower_they_are_for(
    second: Path, small_data: Path, small_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLISSANDO_CACHE", str(tmp_path))
    _, method = opened(replace(SMALL, preset="start", resolution=0), small_data, small_clip, start=second)
    assert method.text is not None
    method.texts.precompute(load_folder(small_data, 16, progress=False))
    assert len(list(tmp_path.glob("texts-*.npy"))) == 2
    told, judged = method.texts.for_generator(PROMPTS), method.texts.for_discriminator(PROMPTS)
    tuned = opened(replace(SMALL, preset="start", resolution=0), small_data, small_clip, start=second)[1].text
    assert tuned is not None
    torch.testing.assert_close(told, tuned.encode(PROMPTS), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(judged, load_clip(small_clip).encode_text(PROMPTS), rtol=1e-4, atol=1e-5)
    assert (told - judged).abs().max() > 1e-3


def test_a_tower_that_does_not_learn_is_its_own_average(small_clip: Path) -> None:
    phase = TextPhase(load_clip(small_clip).tower, torch.device("cpu"))
    assert phase.modules == {}
    assert not phase.encode(["a"]).requires_grad
    assert torch.equal(phase.encode(["a"]), phase.average().encode_text(["a"]))


def test_what_a_phase_needs_is_said(first: Path, small_data: Path, small_clip: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="phase 'text': needs a checkpoint or run to start from"):
        train(replace(SMALL, phase="text"), small_data, small_clip, tmp_path / "none")
    with pytest.raises(RunError, match="preset 'start', phase 'text'"):
        train(replace(text_encoder(), taps=(0,)), small_data, small_clip, tmp_path / "none")
    other = write_clip(tmp_path / "clip", seed=5)
    with pytest.raises(RunError, match="--set text.encoder=start goes on with the checkpoint's own"):
        train(SMALL, small_data, other, tmp_path / "other", start=first)
    out = tmp_path / "kept"
    train(replace(SMALL, encoder="start", kimg=0.004), small_data, other, out, start=first)
    assert same(texts(out), texts(first))
    assert not (tmp_path / "none").exists()
