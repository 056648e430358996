"""StyleGAN-T phase 1: everything in the generator but the text encoder (sections 3 and 4 of the paper).

A run is a folder: config.json, log.jsonl, state.pt (to resume exactly), samples/ and snapshots/, and
latest.safetensors, which the explorer opens. All randomness comes from one generator whose state is saved, so a resumed
run repeats the uninterrupted one.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from core.latents import seed_to_z
from core.models.registry import preset
from core.models.stylegan_t import Generator, Style
from core.request import NoiseMode
from core.runlog import RunLog
from core.words import words
from training.augment import augment, blur
from training.clip.model import ClipModel, load_clip
from training.config import GanConfig
from training.datasets.folder import BatchStream, FolderDataset, load_folder
from training.discriminators.projected import Discriminator
from training.ema import Ema
from training.interrupt import Interrupt
from training.losses import (
    generator_hinge,
    hinge_fake,
    hinge_real,
    layout_distance,
    matching,
    r1_penalty,
    spherical_distance,
)
from training.metrics.classifier import LoadedClassifier
from training.metrics.postcards_eval import quick_eval
from training.snapshots import save_sample_grid, save_snapshot
from training.warmup import Warmup

STATE_VERSION = 2
FIXED = ("preset", "resolution", "batch", "seed", "taps", "pixel_channels")
"""Settings that a run keeps from its first step to its last."""


class RunError(ValueError):
    """A run that cannot be started or resumed; the message says why and what to do."""


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of the convolutions: bfloat16 where matrix units make it faster, else float32."""
    if precision == "auto":
        fast = device.type == "cuda" or bool(torch.cpu._is_amx_tile_supported())
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


class GanTrainer:
    """Generator, discriminator, their optimisers and the data order; `step` is one update of each."""

    def __init__(self, config: GanConfig, data: FolderDataset, clip: ClipModel, device: torch.device) -> None:
        self.config, self.data, self.clip, self.device = config, data, clip, device
        self.dtype = compute_dtype(config.precision, device)
        torch.manual_seed(config.seed)
        shape = preset("stylegan_t", config.preset, resolution=config.resolution, text_dim=clip.embed_dim)
        self.generator = Generator(shape).to(device).to(memory_format=torch.channels_last)
        _prepare(self.generator)
        if max(config.taps) >= len(clip.tap_channels):
            raise RunError(f"taps: the feature network has {len(clip.tap_channels)}, counted from 0; got {config.taps}")
        self.discriminator = Discriminator(
            [clip.tap_channels[tap] for tap in config.taps],
            clip.embed_dim,
            resolution=config.resolution,
            pixel_channels=config.pixel_channels,
        ).to(device)
        self.head_weights = [1.0] * len(config.taps) + [config.pixel_weight] * 2 * bool(config.pixel_channels)
        self.ema = Ema(self.generator, half_life=config.ema_half_life * config.batch * 1000)
        self.optimiser_g = _adam(self.generator, config.learning_rate_g)
        self.optimiser_d = _adam(self.discriminator, config.learning_rate_d)
        self.warmup: Warmup | None = None
        if config.warmup_kimg or config.anchor_every:
            self.warmup = Warmup(self.generator, learning_rate=config.warmup_rate, nats=config.warmup_nats)
        self.stream = BatchStream(len(data), config.batch, config.seed)
        self.rng = torch.Generator().manual_seed(config.seed)
        self.captions = torch.zeros(0, clip.embed_dim, device=device)
        """Text embeddings of the last steps, [<= other_captions, D], newest first."""
        self.images_seen = 0

    def step(self) -> dict[str, Tensor]:
        """One batch, by reconstruction or in the adversarial game. Returns losses and other figures, detached."""
        real, captions = self._batch()
        with torch.no_grad(), self._autocast():
            c = self.clip.encode_text(captions).float()
        config, step = self.config, self.images_seen // self.config.batch
        if self.warmup is not None and self.images_seen < config.warmup_kimg * 1000:
            figures = self.warmup.step(real, c, self.rng, self.dtype)
        elif self.warmup is not None and config.anchor_every and step % config.anchor_every == 0:
            figures = self.warmup.step(real, c, self.rng, self.dtype, side=config.anchor_side)
        else:
            figures = self._adversarial_step(real, c)
        self.images_seen += len(real)
        self.ema.update(self.generator, batch=len(real), images_seen=self.images_seen)
        return figures

    def _adversarial_step(self, real: Tensor, c: Tensor) -> dict[str, Tensor]:
        """The discriminator's update, then the generator's on the same fakes.

        The fakes, their augmentation and the frozen network's features are worked out once and serve both updates.
        """
        config, images = self.config, self.images_seen - self.config.warmup_kimg * 1000
        every_c = torch.cat([c, self.captions])
        self.captions = every_c[: config.other_captions]

        # Fakes come in pairs of one caption and two latents. The halves stay apart, so that the captions of a virtual
        # batch differ among fakes as they do among reals.
        half = len(real) - len(real) // 2
        own = torch.arange(len(real), device=self.device)
        own_fake = own % half
        c_fake = c[own_fake]
        z = torch.randn(len(real), self.generator.z_dim, generator=self.rng).to(self.device)
        f = self.generator.mapping(z)
        self.generator.mapping.update_average(f.detach())
        noise: NoiseMode = "random" if images >= config.noise_kimg * 1000 else "none"
        fake = self.generator.synthesis(
            torch.cat([f, c_fake], dim=1), noise=noise, generator=self.rng, dtype=self.dtype
        )

        enough = config.diversity_share * layout_distance(real, real.roll(1, dims=0))
        pairs = len(real) - half  # none when the batch is one picture
        diversity = (
            layout_distance(fake[:pairs], fake[half:]) / enough.clamp(min=1e-3) if pairs else torch.ones_like(enough)
        )
        sigma = config.blur_sigma * max(0.0, 1 - images / (config.blur_kimg * 1000)) if config.blur_kimg else 0.0
        fake = augment(blur(fake, sigma), config.augment, self.rng)
        real = augment(blur(real, sigma), config.augment, self.rng)
        step = self.images_seen // config.batch
        if config.anchor_every:
            step -= step // config.anchor_every + 1  # the steps between do not count
        fake_taps: list[Tensor] = []
        real_taps: list[Tensor] = []
        embedding, weights = None, self.head_weights[len(config.taps) :]
        if step % config.taps_every == 0:
            weights = self.head_weights
            with self._autocast():
                fake_taps, embedding = self._features(fake)
                with torch.no_grad():
                    real_taps, _ = self._features(real)

        # Discriminator.
        self.discriminator.requires_grad_(True)
        with self._autocast():
            real_outs = self.discriminator(real_taps, real)
            fake_outs = self.discriminator([tap.detach() for tap in fake_taps], fake.detach())
            logits_real = self.discriminator.logits(real_outs, c)
            logits_fake = self.discriminator.logits(fake_outs, c_fake)
            loss_d = hinge_real(logits_real, weights) + hinge_fake(logits_fake, weights)
            every_real = self.discriminator.every_logit(real_outs, every_c)
            loss_d = loss_d + config.matching * matching(every_real, own, weights)
            if config.pixel_channels and config.r1 and step % config.r1_every == 0:
                x = real.detach().requires_grad_()
                penalty = r1_penalty(self.discriminator.pixel_logits(x, c), x)
                share = 2 * config.pixel_weight / sum(weights)  # the pixel head's in the hinge
                loss_d = loss_d + share * config.r1 * config.r1_every * penalty
        _update(self.optimiser_d, loss_d)

        figures = {
            "loss_d": loss_d.detach(),
            "logit_real": _mean(logits_real),
            "logit_fake": _mean(logits_fake),
            "match_real": _first(every_real, own),
        }
        if images < config.critic_kimg * 1000:
            return figures

        # Generator.
        self.discriminator.requires_grad_(False)
        with self._autocast():
            outs = self.discriminator(fake_taps, fake)
            adversarial = generator_hinge(self.discriminator.logits(outs, c_fake), weights)
            every_fake = self.discriminator.every_logit(outs, every_c)
            text = matching(every_fake, own_fake, weights)
            loss_g = adversarial + config.matching * text + config.diversity * (1 - diversity).relu()
            if embedding is not None:
                distance = spherical_distance(embedding.float(), c_fake).mean()
                loss_g = loss_g + config.guidance * distance
                figures["guidance"] = distance.detach()
        _update(self.optimiser_g, loss_g)
        return figures | {
            "loss_g": adversarial.detach(),
            "diversity": diversity.detach(),
            "match_fake": _first(every_fake, own_fake),
        }

    def _batch(self) -> tuple[Tensor, list[str]]:
        """The next pictures, [N, 3, R, R] in [-1, 1], with a caption drawn from each one's list."""
        rows = self.stream.next()
        images = torch.from_numpy(self.data.images[rows]).to(self.device)
        draws = torch.rand(len(rows), generator=self.rng).tolist()
        captions = [
            self.data.captions[row][int(draw * len(self.data.captions[row]))]
            for row, draw in zip(rows, draws, strict=True)
        ]
        return images.float() / 127.5 - 1, captions

    def _features(self, x_N3HW: Tensor) -> tuple[list[Tensor], Tensor]:
        """The taps that have a head, and the embedding that guidance compares with the caption's."""
        features = self.clip.features(x_N3HW)
        assert features.embedding is not None
        return [features.taps[tap] for tap in self.config.taps], features.embedding

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    @torch.no_grad()
    def render(self, prompts: list[str], z_NZ: Tensor) -> Tensor:
        """Pictures of the averaged generator, [N, 3, R, R] in [-1, 1], psi 1, constant noise."""
        c = self.clip.encode_text(prompts).float()
        pictures: Tensor = self.ema.module(z_NZ.to(self.device), c)
        return pictures.clamp(-1, 1)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "version": STATE_VERSION,
            "images_seen": self.images_seen,
            "generator": self.generator.state_dict(),
            "ema": self.ema.module.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimiser_g": self.optimiser_g.state_dict(),
            "optimiser_d": self.optimiser_d.state_dict(),
            "stream": self.stream.state_dict(),
            "rng": self.rng.get_state(),
            "captions": self.captions,
            "warmup": self.warmup.state_dict() if self.warmup is not None else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        config = self.config
        self.images_seen = state["images_seen"]
        self.generator.load_state_dict(state["generator"])
        self.ema.module.load_state_dict(state["ema"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimiser_g.load_state_dict(state["optimiser_g"])
        self.optimiser_d.load_state_dict(state["optimiser_d"])
        # The configuration may have changed since.
        for optimiser, rate in ((self.optimiser_g, config.learning_rate_g), (self.optimiser_d, config.learning_rate_d)):
            for group in optimiser.param_groups:
                group["lr"] = rate
        self.stream.load_state_dict(state["stream"])
        self.rng.set_state(state["rng"])
        self.captions = state["captions"].to(self.device)
        if self.warmup is not None and state["warmup"] is not None:
            self.warmup.load_state_dict(state["warmup"])


@torch.no_grad()
def _prepare(generator: Generator) -> None:
    """Start where a short run can get somewhere, within what the architecture allows.

    Captions speak as loudly as latents: the embedding has unit length, the latent unit variance, so at equal weights
    the caption counts for less than a hundredth of a style's variance, and a short run is over before it has grown. And
    latents move the Fourier input, sideways by a sixth of the picture (standard deviation) and a little up and down:
    with an input that stands still, one caption's pictures all took the same layout, mirrored about the middle.
    """
    for module in generator.modules():
        if isinstance(module, Style):
            module.weight[:, generator.z_dim :] *= math.sqrt(generator.text_dim)
    affine = generator.input.affine
    latent = affine.weight[:, : generator.z_dim]
    for row, deviation in ((2, 1 / 6), (3, 1 / 16)):
        latent[row] = torch.randn_like(latent[row]) * deviation / (affine.weight_gain * math.sqrt(generator.z_dim))


def _adam(module: torch.nn.Module, learning_rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=learning_rate, betas=(0.0, 0.99), eps=1e-8, fused=True)


def _update(optimiser: torch.optim.Adam, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    # One sum tells whether anything is not finite; mending each gradient every step would cost more than the update
    # itself.
    if not torch.isfinite(torch.stack(torch._foreach_norm(gradients)).sum()):
        for gradient in gradients:
            gradient.nan_to_num_(nan=0.0, posinf=1e5, neginf=-1e5)
    optimiser.step()


def _first(every_logit: list[Tensor], own_N: Tensor) -> Tensor:
    """Share of pictures whose own caption has the highest logit of all, a mean over the heads."""
    return torch.stack([(head.detach().argmax(dim=1) == own_N).float().mean() for head in every_logit]).mean()


def _mean(logits: list[Tensor]) -> Tensor:
    return torch.stack([head.detach().float().mean() for head in logits]).mean()


def train(config: GanConfig, data: Path, clip: Path, out: Path) -> Path:
    """Start a run in the new folder `out`; returns the path of its last snapshot.

    Raises `RunError` when `out` holds a run already, and what loading the data and the CLIP raise.
    """
    if (out / "state.pt").exists():
        raise RunError(
            f"{out} holds a run already: go on with `glissando train gan --resume {out}`, or name another folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    _write_json(
        out / "config.json", {"config": config.to_json(), "data": str(data.resolve()), "clip": str(clip.resolve())}
    )
    return _run(config, data, clip, out, state=None)


def resume(out: Path, *, settings: Sequence[str] = ()) -> Path:
    """Go on with the run in `out` exactly where its last saved state was taken.

    `settings` ("kimg=400", see `GanConfig.changed`) change its configuration from here on; what the weights' shapes or
    the order of the data hang on cannot change.
    """
    try:
        saved = json.loads((out / "config.json").read_text(encoding="utf-8"))
        config, data, clip = GanConfig.from_json(saved["config"]), Path(saved["data"]), Path(saved["clip"])
    except FileNotFoundError:
        raise RunError(f"{out}: expected the folder of a GAN run (with a config.json), found none") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise RunError(
            f"{out / 'config.json'}: expected what `glissando train gan` wrote there, could not read it: {error}"
        ) from None
    if settings:
        before, config = config, config.changed(settings)
        fixed = [name for name in FIXED if getattr(before, name) != getattr(config, name)]
        if fixed:
            raise RunError(f"{', '.join(fixed)}: cannot change while a run goes on; start a new one")
        _write_json(out / "config.json", {**saved, "config": config.to_json()})
    state = None
    if (out / "state.pt").exists():
        try:
            state = torch.load(out / "state.pt", map_location="cpu", weights_only=True)
        except Exception as error:  # noqa: BLE001 (torch raises any kind for a damaged file, even IndexError)
            raise RunError(
                f"{out / 'state.pt'}: could not be read ({type(error).__name__}); the run cannot go on from it"
            ) from None
        if state.get("version") != STATE_VERSION:
            raise RunError(f"{out / 'state.pt'}: expected state version {STATE_VERSION}, got {state.get('version')!r}")
    return _run(config, data, clip, out, state=state)


def _run(config: GanConfig, data: Path, clip: Path, out: Path, *, state: Mapping[str, Any] | None) -> Path:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dataset = load_folder(data, config.resolution)
    model = load_clip(clip, device)
    trainer = GanTrainer(config, dataset, model, device)
    if state is not None:
        trainer.load_state_dict(state)
    judge = LoadedClassifier.open().model if config.evaluate_kimg else None
    vocabulary = tuple(
        sorted({word for captions in dataset.captions for caption in captions for word in words(caption)})
    )
    latest = out / "latest.safetensors"
    total = round(config.kimg * 1000)

    def snapshot() -> None:
        kimg = trainer.images_seen // 1000
        save_sample_grid(
            out / "samples" / f"{kimg:06d}.png", trainer.render, config.prompts, grid_z(config, trainer.generator.z_dim)
        )
        save_snapshot(
            latest,
            trainer.ema.module,
            model,
            name=out.resolve().name,
            images_seen=trainer.images_seen,
            vocabulary=vocabulary,
            notes=_notes(config, data),
        )

    with (
        RunLog(out / "log.jsonl") as log,
        Interrupt() as stop,
        tqdm(total=total, initial=trainer.images_seen, unit="img") as bar,
    ):
        log.write(
            "start",
            images=trainer.images_seen,
            config=config.to_json(),
            pictures=len(dataset),
            threads=torch.get_num_threads(),
        )
        steps, clock = 0, time.perf_counter()
        if trainer.images_seen == 0:
            snapshot()
        while trainer.images_seen < total and not stop.requested:
            before = trainer.images_seen
            metrics = trainer.step()
            bar.update(trainer.images_seen - before)
            steps += 1
            if steps % config.log_steps == 0:
                values = {name: round(value.item(), 5) for name, value in metrics.items()}
                speed = config.log_steps * config.batch / (time.perf_counter() - clock)
                log.write("train", images=trainer.images_seen, images_per_s=round(speed, 2), **values)
                bar.set_postfix({name: f"{value:.2f}" for name, value in values.items()})
                clock = time.perf_counter()
            if judge is not None and _passed(config.evaluate_kimg, before, trainer.images_seen):
                figures = quick_eval(trainer.render, judge, z_dim=trainer.generator.z_dim, resolution=config.resolution)
                log.write("evaluate", images=trainer.images_seen, **figures)
            if _passed(config.sample_kimg, before, trainer.images_seen):
                snapshot()
            if _passed(config.save_kimg, before, trainer.images_seen):
                _save_state(out, trainer)
        _save_state(out, trainer)
        snapshot()
        log.write("stop", images=trainer.images_seen, finished=trainer.images_seen >= total)
    if trainer.images_seen < total:
        done = f"{trainer.images_seen / 1000:.1f} of {config.kimg:g} kimg"
        print(f"Stopped at {done}; go on with: glissando train gan --resume {out}")
    return latest


def _passed(every_kimg: float, before: int, now: int) -> bool:
    every = every_kimg * 1000
    return every > 0 and int(now // every) > int(before // every)


def grid_z(config: GanConfig, z_dim: int) -> Tensor:
    """The latents of the sample grid's columns, [seeds, Z]."""
    return torch.stack([seed_to_z(seed, z_dim) for seed in range(config.grid_seeds)])


def _notes(config: GanConfig, data: Path) -> dict[str, Any]:
    return {"data": data.name, "config": config.to_json(), "examples": list(config.prompts)}


def _save_state(out: Path, trainer: GanTrainer) -> None:
    unfinished = out / "state.pt.new"
    torch.save(trainer.state_dict(), unfinished)
    os.replace(unfinished, out / "state.pt")


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, path)
