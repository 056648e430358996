"""StyleGAN-T (sections 3 and 4 of the paper): the generator or, in phase 2, the text tower that conditions it, against
the discriminator.

`GanTrainer` is the networks and one step; `training.run` is the folder around them. All randomness comes from one
generator whose state is saved, so a resumed run repeats the uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.native import Checkpoint
from core.models.stylegan_t import Generator, Style
from core.request import NoiseMode
from training.augment import AdaptiveStrength, augment, blur, crop_window, cut
from training.clip.model import ClipModel
from training.clip.published import PublishedClip
from training.clip.text_tower import TextTower
from training.config import CLIP_FEATURES, GanConfig
from training.datasets.decoded import cache_folder
from training.datasets.opening import Data, captions_of, open_batches
from training.discriminators.projected import Discriminator
from training.ema import Ema
from training.errors import RunError
from training.features import FeatureNetwork, Features, open_feature_network
from training.growing import check_fits, freeze, learning, shape_of, take_over
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
from training.text_cache import Encode, KnownTexts, encoder_key, know_texts
from training.text_phase import Judge, TextPhase, TextSource

__all__ = ["STATE_VERSION", "GanTrainer", "RunError", "compute_dtype"]

STATE_VERSION = 4


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of the convolutions: bfloat16 where matrix units make it faster, else float32."""
    if precision == "auto":
        fast = device.type == "cuda" or bool(torch.cpu._is_amx_tile_supported())
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


class GanTrainer:
    """Generator, discriminator, their optimisers and the data order; `step` is one update of each."""

    def __init__(
        self,
        config: GanConfig,
        data: Data,
        clip: Judge,
        device: torch.device,
        tower: TextTower | None = None,
    ) -> None:
        """`tower` conditions the generator in place of the CLIP's own.

        Raises `RunError` for a feature network without the taps asked for, `FeatureError` when it cannot be had.
        """
        self.config, self.data, self.clip, self.device = config, data, clip, device
        self.dtype = compute_dtype(config.precision, device)
        self.images_seen = 0
        torch.manual_seed(config.seed)
        half_life = config.ema_half_life * config.batch * 1000
        self.text: TextPhase | None = None
        """What conditions the generator where that is not the CLIP's own text tower."""
        if config.phase == "text":
            self.text = TextPhase(tower or clip.tower, device, half_life=half_life)
        elif tower is not None:
            self.text = TextPhase(tower, device)
        shape = shape_of(config, clip.embed_dim if self.text is None else self.text.dim)
        self.generator = Generator(shape).to(device).to(memory_format=torch.channels_last)
        if config.prepared:
            _prepare(self.generator)
        freeze(self.generator, config.frozen_to)
        if config.features == CLIP_FEATURES:
            assert isinstance(clip, ClipModel | PublishedClip)
            self.network: FeatureNetwork = clip
        else:
            self.network = open_feature_network(config.features, device)
        tap_channels = self.network.tap_channels
        if max(config.taps) >= len(tap_channels):
            raise RunError(f"taps: the feature network has {len(tap_channels)}, counted from 0; got {config.taps}")
        self.discriminator = Discriminator(
            [tap_channels[tap] for tap in config.taps],
            clip.embed_dim,
            resolution=config.resolution,
            pixel_channels=config.pixel_channels,
            paper=config.logits == "paper",
        ).to(device)
        self.head_weights = [1.0] * len(config.taps) + [config.pixel_weight] * 2 * bool(config.pixel_channels)
        self.ema = Ema(self.generator, half_life=half_life)
        if self.text is not None and self.text.learns:
            self.generator.requires_grad_(False)
            self.optimiser_g = _adam(self.text.tower, config.learning_rate_g)
        else:
            self.optimiser_g = _adam(self.generator, config.learning_rate_g)
        self.optimiser_d = _adam(self.discriminator, config.learning_rate_d)
        self.adaptive: AdaptiveStrength | None = None
        if config.augment_target:
            self.adaptive = AdaptiveStrength(config.augment_target, config.augment_kimg)
        self.reconstruction: Reconstruction | None = None
        if config.reconstruction:
            self.reconstruction = Reconstruction(self.generator, learning_rate=config.encoder_rate, nats=config.nats)
        self.stream = open_batches(data, batch=config.batch, seed=config.seed)
        self._known: KnownTexts | None = None
        self._known_told: KnownTexts | None = None
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
        self.stream.ready(config.critic_steps)  # data that went away are told before anything has changed
        step = images // (config.batch * config.critic_steps)
        real, captions = self._batch()
        c = self._encoded(captions)

        # Fakes come in pairs of one caption and two latents, the first that of the caption's picture. The halves stay
        # apart, so that the captions of a virtual batch differ among fakes as they do among reals.
        half = self._captions_of_fakes(len(real))
        own_fake = torch.arange(len(real), device=self.device) % half
        c_fake = c[own_fake]
        told = c[:half] if self.text is None else self._told(captions[:half])
        z = torch.randn(len(real), self.generator.z_dim, generator=self.rng).to(self.device)
        whole, divergence = real[:half], None
        if self.reconstruction is not None and config.reconstruction:
            found, divergence = self.reconstruction.latents(whole, told, self.rng)
            z = torch.cat([found, z[half:]])
        f = self.generator.mapping(z)
        if config.phase == "generator":
            self.generator.mapping.update_average(f.detach())
        noise: NoiseMode = "random" if images >= config.noise_kimg * 1000 else "none"
        fake = self.generator.synthesis(
            torch.cat([f, told[own_fake]], dim=1), noise=noise, generator=self.rng, dtype=self.dtype
        )
        clean, rebuilt = fake, fake[:half]
        pairs = len(real) - half  # none without pairs, and when the batch is one picture
        diversity = torch.ones((), device=self.device)
        if pairs:
            enough = config.diversity_share * layout_distance(real, real.roll(1, dims=0))
            diversity = layout_distance(fake[:pairs], fake[half:]) / enough.clamp(min=1e-3)
        sigma = config.blur_sigma * max(0.0, 1 - images / (config.blur_kimg * 1000)) if config.blur_kimg else 0.0
        fake = blur(fake, sigma)

        # Discriminator. Its pixel head is cheap beside a generator's step, and learns from more pictures than the
        # generator does from its judgement.
        for _ in range(config.critic_steps - 1):
            more, captions = self._batch()
            more_c = self._encoded(captions)
            moved = self._augment(fake.detach())
            shown = self._augment(blur(more, sigma))
            self._update_discriminator(shown, more_c, self._with_earlier(more_c), moved, c_fake)
        self.images_seen += config.batch * config.critic_steps
        every_c = self._with_earlier(c)
        # The same augmentation for a picture and its reconstruction, so that they can be compared after it.
        draws = self.rng.get_state()
        fake = self._augment(fake)
        self.rng.set_state(draws)
        real = self._augment(blur(real, sigma))
        fake_taps: list[Tensor] = []
        real_taps: list[Tensor] = []
        embedding = None
        with_taps = step % config.taps_every == 0
        if with_taps:
            # The same part of reals and fakes where pictures are larger than the network's.
            window = crop_window(config.resolution, self.network.image_size, self.rng, config.crops)
            with self._autocast():
                seen = self.network.features(cut(fake, window))
                fake_taps = self._with_heads(seen)
                if window is None:
                    embedding = self._own_embedding(seen)
                with torch.no_grad():
                    real_taps = self._with_heads(self.network.features(cut(real, window)))
        figures, logits_real = self._update_discriminator(
            real, c, every_c, fake.detach(), c_fake, real_taps, [tap.detach() for tap in fake_taps]
        )
        if self.adaptive is not None:
            self.adaptive.observe(figures["sign_real"], config.batch)
            figures["augment_strength"] = torch.tensor(self.adaptive.strength)
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
            if embedding is None and with_taps and config.guidance:
                embedding = self._guided(clean)
            if embedding is not None:
                distance = spherical_distance(embedding.float(), c_fake).mean()
                loss_g = loss_g + config.guidance * distance
                figures["guidance"] = distance.detach()
        self.discriminator.requires_grad_(True)
        optimisers = [self.optimiser_g]
        if self.reconstruction is not None and divergence is not None:
            with torch.no_grad(), self._autocast():
                wanted = self.discriminator.stages(real[:half])
            maps = [(a[:half].float(), b.float()) for a, b in zip(stages, wanted, strict=True)]
            loss, error = self.reconstruction.loss(rebuilt, whole, divergence, maps)
            loss_g = loss_g + config.reconstruction * loss
            optimisers.append(self.reconstruction.optimiser)
            figures |= {"error": error, "divergence": divergence.detach()}
        _update(loss_g, *optimisers)
        if self.text is not None and self.text.learns:
            self.text.update(batch=len(real), images_seen=self.images_seen)
        else:
            self.ema.update(self.generator, batch=len(real), images_seen=self.images_seen)
        if config.pairs:
            figures["diversity"] = diversity.detach()
        return figures | {"loss_g": adversarial.detach(), "match_fake": _first(every_fake, own_fake)}

    def _captions_of_fakes(self, batch: int) -> int:
        """How many captions a batch of fakes has: two fakes share one where they come in pairs."""
        return batch - batch // 2 if self.config.pairs else batch

    def _augment(self, x_N3HW: Tensor) -> Tensor:
        strength = 1.0 if self.adaptive is None else self.adaptive.strength
        return augment(x_N3HW, self.config.augment, self.rng, strength)

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
        own_fake = own % self._captions_of_fakes(len(real))
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
            "sign_real": _mean([head.sign() for head in logits_real]),
            "sign_fake": _mean([head.sign() for head in logits_fake]),
            "match_real": _first(every_real, own),
        }
        return figures, [head.detach() for head in paired]

    def _weights(self, taps: Sequence[Tensor] = ()) -> list[float]:
        """What each output counts that the discriminator gives for these taps."""
        return self.head_weights if taps else self.head_weights[len(self.config.taps) :]

    def know_texts(self) -> None:
        """Work out the embeddings of all captions now, or find them in the cache, where the captions are known."""
        captions = captions_of(self.data)
        if captions is not None:
            self._known = self._know(captions, self.clip.tower, self._encode)
            if self.text is not None and not self.text.learns:
                self._known_told = self._know(captions, self.text.tower, self.text.encode)

    def _know(self, captions: list[str], tower: TextTower, encode: Encode) -> KnownTexts:
        key = encoder_key(tower.text_spec(), tower.text_state_dict(), str(self.device.type), str(self.dtype))
        return know_texts(captions, encode, key=key, dim=tower.embed_dim, cache=cache_folder())

    def _told(self, captions: list[str]) -> Tensor:
        """What another tower than the CLIP's tells the generator of them, with gradients in the text phase."""
        assert self.text is not None
        return self.text.encode(captions) if self._known_told is None else self._known_told(captions, self.device)

    def _encoded(self, captions: list[str]) -> Tensor:
        return self._encode(captions) if self._known is None else self._known(captions, self.device)

    @torch.no_grad()
    def _encode(self, captions: list[str]) -> Tensor:
        with self._autocast():
            return self.clip.encode_text(captions).float()

    def _batch(self) -> tuple[Tensor, list[str]]:
        """The next pictures, [N, 3, R, R] in [-1, 1], with a caption drawn from each one's list."""
        batch = self.stream.next()
        images = torch.from_numpy(batch.images).to(self.device)
        draws = torch.rand(len(images), generator=self.rng).tolist()
        captions = [texts[int(draw * len(texts))] for texts, draw in zip(batch.captions, draws, strict=True)]
        return images.float() / 127.5 - 1, captions

    def _with_heads(self, features: Features) -> list[Tensor]:
        return [features.taps[tap] for tap in self.config.taps]

    def _own_embedding(self, features: Features) -> Tensor | None:
        """The embedding for guidance, where it falls off the discriminator's pass: by the same CLIP, of pictures small
        enough."""
        config = self.config
        shared = config.features == CLIP_FEATURES and config.resolution <= config.guidance_crop
        return features.embedding if shared else None

    def _guided(self, x_N3HW: Tensor) -> Tensor:
        """The embedding that guidance compares with the caption's, of the pictures as they are or of a crop."""
        assert isinstance(self.clip, ClipModel | PublishedClip)
        return self.clip.encode_image(cut(x_N3HW, crop_window(x_N3HW.shape[-1], self.config.guidance_crop, self.rng)))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    @torch.no_grad()
    def render(self, prompts: list[str], z_NZ: Tensor, *, psi: float = 1.0) -> Tensor:
        """Pictures of the averaged generator, [N, 3, R, R] in [-1, 1], constant noise."""
        c = (self.clip if self.text is None else self.text.average()).encode_text(prompts).float()
        pictures: Tensor = self.ema.module(z_NZ.to(self.device), c, psi=psi)
        return pictures.clamp(-1, 1)

    @property
    def text_source(self) -> TextSource:
        """The text tower that checkpoints of this generator go with."""
        return self.clip if self.text is None else self.text.average()

    @torch.no_grad()
    def start_from(self, checkpoint: Checkpoint, state: Mapping[str, Any] | None = None) -> None:
        """Take over a checkpoint's generator, of this resolution or a lower one, before the first step.

        See `training.growing.take_over`. `state` is that of the run it comes from, for discriminator and encoder, grown
        in the same way. Raises `RunError` when the checkpoint does not fit this run.
        """
        check_fits(checkpoint, self.generator.config)
        if self.config.encoder != "start":
            self._check_text(checkpoint)
        take_over(self.generator, checkpoint.part("generator"))
        self.ema.module.load_state_dict(self.generator.state_dict())
        if state is None:
            return
        self.discriminator.load_state_dict(state["discriminator"], strict=False)
        if self.discriminator.pixels is not None:
            for side in self.discriminator.pixels.sides:
                if side >= checkpoint.header.config["resolution"]:
                    self.discriminator.pixels.mute(side)
        if self.reconstruction is not None and state["reconstruction"] is not None:
            encoder = self.reconstruction.encoder
            if checkpoint.header.config["resolution"] >= encoder.side:
                encoder.load_state_dict(state["reconstruction"]["encoder"])

    def _check_text(self, checkpoint: Checkpoint) -> None:
        """Raises `RunError` for a generator that is used to another text encoder than the run's CLIP."""
        text, own = checkpoint.part("text"), self.clip.text_state_dict()
        same = checkpoint.header.text == self.clip.text_spec() if not own else set(text) == set(own)
        if not same or not all(torch.equal(text[name].half(), own[name].cpu().half()) for name in own):
            raise RunError(
                f"{checkpoint.path}: expected a generator trained with this run's CLIP, got one with another; "
                "--set text.encoder=start goes on with the checkpoint's own"
            )

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
            "text": self.text.state_dict() if self.text is not None else None,
            "augment": self.adaptive.state_dict() if self.adaptive is not None else None,
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
        # States from before there were these parts lack them.
        if self.text is not None and state.get("text") is not None:
            self.text.load_state_dict(state["text"])
        if self.adaptive is not None and state.get("augment") is not None:
            self.adaptive.load_state_dict(state["augment"])


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
    return torch.optim.Adam(learning(module), lr=learning_rate, betas=(0.0, 0.99), eps=1e-8, fused=True)


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
