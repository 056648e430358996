"""StyleGAN-T phase 1: everything in the generator but the text encoder (sections 3 and 4 of the paper).

`GanTrainer` is the networks and one step; `training.run` is the folder around them. All randomness comes from one
generator whose state is saved, so a resumed run repeats the uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.native import Checkpoint
from core.models.registry import preset
from core.models.stylegan_t import Block, Generator, Style
from core.request import NoiseMode
from training.augment import augment, blur
from training.clip.model import ClipModel
from training.config import CLIP_FEATURES, GanConfig
from training.datasets.folder import BatchStream, FolderDataset
from training.discriminators.projected import Discriminator
from training.ema import Ema
from training.features import FeatureNetwork, open_feature_network
from training.losses import (
    hinge,
    layout_distance,
    matching,
    over_heads,
    r1_penalty,
    relativistic,
    spherical_distance,
)
from training.reconstruction import Reconstruction

STATE_VERSION = 4


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
        """Raises `RunError` for a feature network without the taps asked for, `FeatureError` when it cannot be had."""
        self.config, self.data, self.clip, self.device = config, data, clip, device
        self.dtype = compute_dtype(config.precision, device)
        self.images_seen = 0
        torch.manual_seed(config.seed)
        shape = preset("stylegan_t", config.preset, resolution=config.resolution, text_dim=clip.embed_dim)
        self.generator = Generator(shape).to(device).to(memory_format=torch.channels_last)
        _prepare(self.generator)
        own = config.features == CLIP_FEATURES
        self.network: FeatureNetwork = clip if own else open_feature_network(config.features, device)
        tap_channels = self.network.tap_channels
        if max(config.taps) >= len(tap_channels):
            raise RunError(f"taps: the feature network has {len(tap_channels)}, counted from 0; got {config.taps}")
        self.discriminator = Discriminator(
            [tap_channels[tap] for tap in config.taps],
            clip.embed_dim,
            resolution=config.resolution,
            pixel_channels=config.pixel_channels,
        ).to(device)
        self.head_weights = [1.0] * len(config.taps) + [config.pixel_weight] * 2 * bool(config.pixel_channels)
        self.ema = Ema(self.generator, half_life=config.ema_half_life * config.batch * 1000)
        self.optimiser_g = _adam(self.generator, config.learning_rate_g)
        self.optimiser_d = _adam(self.discriminator, config.learning_rate_d)
        self.reconstruction: Reconstruction | None = None
        if config.reconstruction:
            self.reconstruction = Reconstruction(self.generator, learning_rate=config.encoder_rate, nats=config.nats)
        self.stream = BatchStream(len(data), config.batch, config.seed)
        self.rng = torch.Generator().manual_seed(config.seed)
        self.captions = torch.zeros(0, clip.embed_dim, device=device)
        """Text embeddings of the last steps, [<= other_captions, D], newest first."""

    def _with_earlier(self, c: Tensor) -> Tensor:
        """The batch's text embeddings and, after them, those of earlier steps; the batch's join these."""
        every_c = torch.cat([c, self.captions])
        self.captions = every_c[: self.config.other_captions]
        return every_c

    def step(self) -> dict[str, Tensor]:
        """The discriminator's updates, then the generator's on the same fakes. Returns losses and other figures.

        The fakes and the frozen network's features of them are worked out once and serve all updates.
        """
        config, images = self.config, self.images_seen
        step = images // (config.batch * config.critic_steps)
        real, captions = self._batch()
        c = self._encode(captions)

        # Fakes come in pairs of one caption and two latents, the first that of the caption's picture. The halves stay
        # apart, so that the captions of a virtual batch differ among fakes as they do among reals.
        half = len(real) - len(real) // 2
        own_fake = torch.arange(len(real), device=self.device) % half
        c_fake = c[own_fake]
        z = torch.randn(len(real), self.generator.z_dim, generator=self.rng).to(self.device)
        whole, divergence = real[:half], None
        if self.reconstruction is not None and config.reconstruction:
            found, divergence = self.reconstruction.latents(whole, c[:half], self.rng)
            z = torch.cat([found, z[half:]])
        f = self.generator.mapping(z)
        self.generator.mapping.update_average(f.detach())
        noise: NoiseMode = "random" if images >= config.noise_kimg * 1000 else "none"
        fake = self.generator.synthesis(
            torch.cat([f, c_fake], dim=1), noise=noise, generator=self.rng, dtype=self.dtype
        )
        rebuilt = fake[:half]
        enough = config.diversity_share * layout_distance(real, real.roll(1, dims=0))
        pairs = len(real) - half  # none when the batch is one picture
        diversity = (
            layout_distance(fake[:pairs], fake[half:]) / enough.clamp(min=1e-3) if pairs else torch.ones_like(enough)
        )
        sigma = config.blur_sigma * max(0.0, 1 - images / (config.blur_kimg * 1000)) if config.blur_kimg else 0.0
        fake = blur(fake, sigma)

        # Discriminator. Its pixel head is cheap beside a generator's step, and learns from more pictures than the
        # generator does from its judgement.
        for _ in range(config.critic_steps - 1):
            more, captions = self._batch()
            more_c = self._encode(captions)
            moved = augment(fake.detach(), config.augment, self.rng)
            shown = augment(blur(more, sigma), config.augment, self.rng)
            self._update_discriminator(shown, more_c, self._with_earlier(more_c), moved, c_fake)
        self.images_seen += config.batch * config.critic_steps
        every_c = self._with_earlier(c)
        # The same augmentation for a picture and its reconstruction, so that they can be compared after it.
        draws = self.rng.get_state()
        fake = augment(fake, config.augment, self.rng)
        self.rng.set_state(draws)
        real = augment(blur(real, sigma), config.augment, self.rng)
        fake_taps: list[Tensor] = []
        real_taps: list[Tensor] = []
        embedding = None
        if step % config.taps_every == 0:
            with self._autocast():
                fake_taps, embedding = self._features(fake)
                with torch.no_grad():
                    real_taps, _ = self._features(real)
        figures, logits_real = self._update_discriminator(
            real, c, every_c, fake.detach(), c_fake, real_taps, [tap.detach() for tap in fake_taps]
        )
        if images < config.critic_kimg * 1000:
            return figures

        # Generator.
        self.discriminator.requires_grad_(False)
        weights = self._weights(fake_taps)
        with self._autocast():
            stages = self.discriminator.stages(fake)
            outs = self.discriminator(fake_taps, stages)
            logits = self.discriminator.logits(outs, c_fake)
            count = len(fake_taps)
            adversarial = over_heads(
                [-head.mean() for head in logits[:count]]
                + [relativistic(*pair) for pair in zip(logits[count:], logits_real[count:], strict=True)],
                weights,
            )
            every_fake = self.discriminator.every_logit(outs, every_c)
            text = over_heads([matching(head, own_fake) for head in every_fake], weights)
            loss_g = adversarial + config.matching_fake * text + config.diversity * (1 - diversity).relu()
            if embedding is not None:
                distance = spherical_distance(embedding.float(), c_fake).mean()
                loss_g = loss_g + config.guidance * distance
                figures["guidance"] = distance.detach()
        self.discriminator.requires_grad_(True)
        optimisers = [self.optimiser_g]
        if self.reconstruction is not None and divergence is not None:
            with torch.no_grad(), self._autocast():
                wanted = self.discriminator.stages(real[:half])
            seen = [(a[:half].float(), b.float()) for a, b in zip(stages, wanted, strict=True)]
            loss, error = self.reconstruction.loss(rebuilt, whole, divergence, seen)
            loss_g = loss_g + config.reconstruction * loss
            optimisers.append(self.reconstruction.optimiser)
            figures |= {"error": error, "divergence": divergence.detach()}
        _update(loss_g, *optimisers)
        self.ema.update(self.generator, batch=len(real), images_seen=self.images_seen)
        return figures | {
            "loss_g": adversarial.detach(),
            "diversity": diversity.detach(),
            "match_fake": _first(every_fake, own_fake),
        }

    def _update_discriminator(
        self,
        real: Tensor,
        c: Tensor,
        every_c: Tensor,
        fake: Tensor,
        c_fake: Tensor,
        real_taps: Sequence[Tensor] = (),
        fake_taps: Sequence[Tensor] = (),
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """One update on augmented pictures; without taps, of the pixel head alone.

        Returns figures, and each output's logits for the reals in the order of the fakes' captions.
        """
        config, weights, count = self.config, self._weights(real_taps), len(real_taps)
        own = torch.arange(len(real), device=self.device)
        own_fake = own % (len(real) - len(real) // 2)
        with self._autocast():
            real_outs = self.discriminator(real_taps, self.discriminator.stages(real))
            fake_outs = self.discriminator(fake_taps, self.discriminator.stages(fake))
            logits_real = self.discriminator.logits(real_outs, c)
            logits_fake = self.discriminator.logits(fake_outs, c_fake)
            paired = [head[own_fake] for head in logits_real]
            every_real = self.discriminator.every_logit(real_outs, every_c)
            loss = over_heads(
                [hinge(*pair) for pair in zip(logits_real[:count], logits_fake[:count], strict=True)]
                + [relativistic(*pair) for pair in zip(paired[count:], logits_fake[count:], strict=True)],
                weights,
            )
            loss = loss + config.matching * over_heads([matching(head, own) for head in every_real], weights)
            if config.pixel_channels and config.r1:
                share = 2 * config.pixel_weight / sum(weights)  # the pixel head's in the loss
                for pictures, text in ((real, c), (fake, c_fake)):
                    x = pictures[: config.penalty_pictures].detach().requires_grad_()
                    penalty = r1_penalty(self.discriminator.pixel_logits(x, text[: len(x)]), x)
                    loss = loss + share * config.r1 * penalty
        _update(loss, self.optimiser_d)
        figures = {
            "loss_d": loss.detach(),
            "logit_real": _mean(logits_real),
            "logit_fake": _mean(logits_fake),
            "match_real": _first(every_real, own),
        }
        return figures, [head.detach() for head in paired]

    def _weights(self, taps: Sequence[Tensor] = ()) -> list[float]:
        """What each output counts that the discriminator gives for these taps."""
        return self.head_weights if taps else self.head_weights[len(self.config.taps) :]

    @torch.no_grad()
    def _encode(self, captions: list[str]) -> Tensor:
        with self._autocast():
            return self.clip.encode_text(captions).float()

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
        features = self.network.features(x_N3HW)
        embedding = features.embedding if self.network is self.clip else self.clip.encode_image(x_N3HW)
        assert embedding is not None
        return [features.taps[tap] for tap in self.config.taps], embedding

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    @torch.no_grad()
    def render(self, prompts: list[str], z_NZ: Tensor, *, psi: float = 1.0) -> Tensor:
        """Pictures of the averaged generator, [N, 3, R, R] in [-1, 1], constant noise."""
        c = self.clip.encode_text(prompts).float()
        pictures: Tensor = self.ema.module(z_NZ.to(self.device), c, psi=psi)
        return pictures.clamp(-1, 1)

    @torch.no_grad()
    def start_from(self, checkpoint: Checkpoint, state: Mapping[str, Any] | None = None) -> None:
        """Take over a checkpoint's generator, of this resolution or a lower one, before the first step.

        Blocks above its resolution keep their fresh weights but for their RGB skips, which start at nothing: the first
        pictures are the checkpoint's, enlarged. `state` is that of the run it comes from, for discriminator and
        encoder, grown in the same way. Raises `RunError` when the checkpoint does not fit this run.
        """
        config, header = asdict(self.generator.config), checkpoint.header
        if header.family != "stylegan_t":
            raise RunError(f"{checkpoint.path}: expected a StyleGAN-T to start from, got family {header.family!r}")
        for name in sorted(set(config) - {"resolution"}):
            if header.config[name] != config[name]:
                raise RunError(
                    f"{checkpoint.path}: {name}: expected {config[name]} as in this run, got {header.config[name]}"
                )
        if header.config["resolution"] > config["resolution"]:
            raise RunError(
                f"{checkpoint.path}: expected at most {config['resolution']} px to start from, "
                f"got {header.config['resolution']}"
            )
        text = checkpoint.part("text")
        own = self.clip.text_state_dict()
        if set(text) != set(own) or not all(torch.equal(text[name].half(), own[name].cpu().half()) for name in own):
            raise RunError(
                f"{checkpoint.path}: expected a generator trained with this run's CLIP, got one with another"
            )
        tensors = {name: tensor.float() for name, tensor in checkpoint.part("generator").items()}
        self.generator.load_state_dict(tensors, strict=False)
        known = {name.split(".")[1] for name in tensors if name.startswith("blocks.")}
        for number, block in enumerate(self.generator.blocks):
            if str(number) not in known:
                assert isinstance(block, Block)
                block.to_rgb.weight.zero_()
        self.ema.module.load_state_dict(self.generator.state_dict())
        if state is None:
            return
        self.discriminator.load_state_dict(state["discriminator"], strict=False)
        if self.discriminator.pixels is not None:
            for side in self.discriminator.pixels.sides:
                if side >= header.config["resolution"]:
                    self.discriminator.pixels.mute(side)
        if self.reconstruction is not None and state["reconstruction"] is not None:
            encoder = self.reconstruction.encoder
            if header.config["resolution"] >= encoder.side:
                encoder.load_state_dict(state["reconstruction"]["encoder"])

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
            "reconstruction": self.reconstruction.state_dict() if self.reconstruction is not None else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.images_seen = state["images_seen"]
        self.generator.load_state_dict(state["generator"])
        self.ema.module.load_state_dict(state["ema"])
        self.discriminator.load_state_dict(state["discriminator"])
        _load(self.optimiser_g, state["optimiser_g"])
        _load(self.optimiser_d, state["optimiser_d"])
        self.stream.load_state_dict(state["stream"])
        self.rng.set_state(state["rng"])
        self.captions = state["captions"].to(self.device)
        if self.reconstruction is not None and state["reconstruction"] is not None:
            self.reconstruction.load_state_dict(state["reconstruction"])


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


def _load(optimiser: torch.optim.Adam, state: dict[str, Any]) -> None:
    """Load all but the settings, which may have changed since the state was saved."""
    settings = [{name: group[name] for name in ("lr", "betas")} for group in optimiser.param_groups]
    optimiser.load_state_dict(state)
    for group, kept in zip(optimiser.param_groups, settings, strict=True):
        group.update(kept)


def _update(loss: Tensor, *optimisers: torch.optim.Adam) -> None:
    for optimiser in optimisers:
        optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [
        p.grad
        for optimiser in optimisers
        for group in optimiser.param_groups
        for p in group["params"]
        if p.grad is not None
    ]
    # One sum tells whether anything is not finite; mending each gradient every step would cost more than the update
    # itself.
    if not torch.isfinite(torch.stack(torch._foreach_norm(gradients)).sum()):
        for gradient in gradients:
            gradient.nan_to_num_(nan=0.0, posinf=1e5, neginf=-1e5)
    for optimiser in optimisers:
        optimiser.step()


def _first(every_logit: list[Tensor], own_N: Tensor) -> Tensor:
    """Share of pictures whose own caption has the highest logit of all, a mean over the heads."""
    return torch.stack([(head.detach().argmax(dim=1) == own_N).float().mean() for head in every_logit]).mean()


def _mean(logits: list[Tensor]) -> Tensor:
    return torch.stack([head.detach().float().mean() for head in logits]).mean()
