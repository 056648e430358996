"""The trainer's step against one written out plainly: everything kept, no redrawn fakes, no updaters, no phases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.small import SMALL, opened, train
from training.augmentation.diffaugment import blur
from training.engine.prefetch import Batch
from training.methods.stylegan_t.config import StyleGANTConfig
from training.methods.stylegan_t.method import StyleGANT
from training.methods.stylegan_t.objective import DiscriminatorInputs, MicroBatch

FULL = replace(
    SMALL,
    critic_kimg=0.012,
    critic_steps=2,
    taps_every=2,
    reconstruction=10.0,
    noise_kimg=0.016,
    blur_sigma=2.0,
    blur_kimg=0.04,
    augment=("color", "translation", "cutout"),
)
SETTINGS = {
    "whole": FULL,
    "micro-batches": replace(FULL, batch=6, micro_batch=2),
    "bfloat16": replace(FULL, precision="bfloat16"),
    "adaptive": replace(FULL, augment_target=0.3, augment_kimg=0.02, pairs=False, reconstruction=0.0, diversity=0.0),
    "grown": replace(FULL, resolution=32, frozen_to=16, guidance_crop=16),
    "text": replace(
        FULL, preset="start", resolution=0, phase="text", pairs=False, reconstruction=0.0, diversity=0.0, guidance=5.0
    ),
}
STEPS = 5


def plain_step(method: StyleGANT, batches: Sequence[Sequence[Batch]], rngs: list[torch.Generator], images: int) -> int:
    """One step; returns the images seen after it."""
    config, losses, count = method.config, method.losses, len(rngs)
    schedule = losses.schedule(images, 1.0 if method.adaptive is None else method.adaptive.strength)
    vectors = [b for name, b in method.discriminator.named_buffers() if name.rpartition(".")[2] in ("_u", "_v")]

    def reals(batch: Batch, rng: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        draws = torch.rand(len(batch.captions), generator=rng).tolist()
        captions = [known[int(draw * len(known))] for known, draw in zip(batch.captions, draws, strict=True)]
        with losses.autocast():
            c = method.clip.encode_text(captions)
        return batch.images.to(method.captions) / 127.5 - 1, captions, c.to(method.captions)

    def update(optimisers: Sequence[torch.optim.Optimizer], loss_of: Callable[[int, MicroBatch], Tensor]) -> None:
        for optimiser in optimisers:
            optimiser.zero_grad()
        before = [vector.clone() for vector in vectors]
        for number, part in enumerate(parts):
            for vector, start in zip(vectors, before, strict=True):
                vector.copy_(start)
            loss = loss_of(number, part)
            (loss / count if count > 1 else loss).backward(retain_graph=True)
        for optimiser in optimisers:
            optimiser.step()

    parts: list[MicroBatch] = []
    for batch, rng in zip(batches[0], rngs, strict=True):
        real, captions, c = reals(batch, rng)
        state = rng.get_state()
        fakes = losses.draw(rng, real, c, captions, None, schedule)
        half = losses.captions_of_fakes(len(real))
        part = MicroBatch(
            rng=rng,
            schedule=schedule,
            latents=None,
            keep=True,
            more=(),
            real=real,
            captions=captions,
            c=c,
            half=half,
            fakes=fakes,
            before_fakes=state,
            before_augment=state,
            every_c=c,
        )
        parts.append(part)

    seen: list[Tensor] = []
    for batch in batches[1:]:
        seen.clear()

        def pixel_loss(number: int, part: MicroBatch, batch: Sequence[Batch] = batch) -> Tensor:
            real, _, c = reals(batch[number], part.rng)
            fake = losses.augment(part.fakes.pictures.detach(), part.rng, schedule)
            shown = DiscriminatorInputs(fake=fake, real=losses.augment(blur(real, schedule.sigma), part.rng, schedule))
            seen.append(c)
            return losses.loss_d(shown, c, part.c_fake, torch.cat([c, method.captions]), [])[0]

        update([method.optimiser_d], pixel_loss)
        method.captions = torch.cat([*seen, method.captions])[: config.other_captions]

    signs: list[Tensor] = []

    def d_loss(number: int, part: MicroBatch) -> Tensor:
        part.every_c = torch.cat([part.c, method.captions])
        part.shown = losses.discriminator_inputs(part)
        taps = [tap.detach() for tap in part.shown.fake_taps]
        loss, figures, part.paired = losses.loss_d(part.shown, part.c, part.c_fake, part.every_c, taps)
        signs.append(figures["sign_real"])
        return loss

    update([method.optimiser_d], d_loss)
    method.captions = torch.cat([*(part.c for part in parts), method.captions])[: config.other_captions]
    if config.phase == "generator":
        f_mean = torch.stack([part.fakes.f_mean for part in parts]).sum(dim=0) / count
        method.generator.mapping.update_average(f_mean[None])
    if method.adaptive is not None:
        method.adaptive.observe(torch.stack([sign / count for sign in signs]).sum(), config.batch)
    images += config.batch * config.critic_steps
    if schedule.generator:
        optimisers: list[torch.optim.Optimizer] = [method.optimiser_g]
        if method.reconstruction is not None:
            optimisers.append(method.reconstruction.optimiser)
        update(optimisers, lambda _, part: losses.loss_g(part)[0])
        if method.text is not None and method.text.learns:
            method.text.update(batch=config.batch, images_seen=images)
        else:
            method.ema.update(method.generator, batch=config.batch, images_seen=images)
    return images


@pytest.fixture(scope="module")
def first(small_data: Path, small_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("first") / "run"
    train(replace(SMALL, kimg=0.012), small_data, small_clip, out)
    return out


@pytest.mark.parametrize("name", SETTINGS)
def test_a_step_is_the_plain_step_to_the_bit(name: str, first: Path, small_data: Path, small_clip: Path) -> None:
    config: StyleGANTConfig = SETTINGS[name]
    start = first if name in ("grown", "text") else None
    (trainer, method), (source, twin) = (opened(config, small_data, small_clip, start=start) for _ in range(2))
    rng, images = torch.Generator().manual_seed(config.seed), 0
    for _ in range(STEPS):
        trainer.step()
        batches = source.prefetcher.take(config.critic_steps)
        images = plain_step(twin, batches, source.plan.streams(rng), images)
    for opened_trainer in (trainer, source):
        opened_trainer.prefetcher.close()
    assert trainer.images_seen == images
    assert torch.equal(trainer.rng.get_state(), rng.get_state())
    for module, expected in twin.modules.items():
        found = method.modules[module].state_dict()
        different = [key for key, value in expected.state_dict().items() if not torch.equal(found[key], value)]
        assert different == [], module
    assert torch.equal(method.captions, twin.captions)
    assert method.state_dict()["augment"] == twin.state_dict()["augment"]
