"""StyleGAN-T's losses for one micro-batch: the fakes, what the discriminator sees of them, both networks' losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.models.stylegan_t import Generator
from core.perception.clip import ClipModel
from core.perception.clip_published import PublishedClip
from core.perception.features import FeatureNetwork, Features
from core.request import NoiseMode, SynthesisOptions
from training.augmentation.diffaugment import augment, blur, crop_window, cut
from training.discriminators.projected import Discriminator
from training.engine.precision import autocast
from training.engine.prefetch import Batch
from training.engine.step_timer import NullTimer
from training.errors import RunError
from training.losses import (
    hinge,
    layout_distance,
    matching,
    over_heads,
    r1_penalty,
    relativistic,
    spherical_distance,
)
from training.methods.stylegan_t.config import CLIP_FEATURES, StyleGANTConfig
from training.methods.stylegan_t.reconstruction import Reconstruction
from training.methods.stylegan_t.text_phase import ConditioningModel
from training.methods.stylegan_t.texts import TextEmbeddings
from training.paired import PairedLoss


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What a step depends on beside its pictures: how far the run is."""

    noise: NoiseMode
    sigma: float
    """Of the blur, in pixels."""
    taps: bool
    """Whether the feature network takes part."""
    generator: bool
    """Whether the generator learns yet."""
    strength: float
    """Of the augmentation."""
    warm_up: float = 1.0
    """Which part of the regression without an adversary is over; it is going on below 1."""
    paired: float = 0.0
    """Weight of the regression beside the adversary."""
    everything: bool = False
    """Whether all phases take part, to see what they need; latents may then be any."""


@dataclass(kw_only=True)
class Fakes:
    """A micro-batch's fakes. Where they come in pairs of one caption and two latents, the first of a pair is the
    reconstruction of the caption's picture."""

    clean: Tensor
    """[N, 3, R, R], before the blur."""
    pictures: Tensor
    """[N, 3, R, R], blurred."""
    reconstructions: Tensor
    """[half, 3, R, R]: the first of each pair, before the blur."""
    f_mean: Tensor
    """Mean of the mapped latents, [Z]."""
    diversity: Tensor
    """How differently the two of a pair are laid out, as a share of what is enough; 1 without pairs."""
    paired: int
    """How many of the first fakes have the latent that made the caption's picture."""
    divergence: Tensor | None
    """Of the encoder's latents from the prior, in nats."""


@dataclass(kw_only=True, eq=False)
class DiscriminatorInputs:
    """What the discriminator sees of a micro-batch, augmented, and what the feature network gives for it."""

    fake: Tensor
    real: Tensor
    fake_taps: list[Tensor] = field(default_factory=list)
    real_taps: list[Tensor] = field(default_factory=list)
    embedding: Tensor | None = None


EMPTY = DiscriminatorInputs(fake=torch.zeros(0), real=torch.zeros(0))
NO_FAKES = Fakes(
    clean=torch.zeros(0),
    pictures=torch.zeros(0),
    reconstructions=torch.zeros(0),
    f_mean=torch.zeros(0),
    diversity=torch.ones(()),
    paired=0,
    divergence=None,
)
"""Of a step in which there is no adversary."""


@dataclass(kw_only=True)
class MicroBatch:
    """What is kept of one micro-batch through a step."""

    rng: torch.Generator
    schedule: Schedule
    latents: Tensor | None
    """[N, Z]: what made the pictures, where the data knows."""
    keep: bool
    """Whether fakes and features stay until the generator's phase, which else computes them once more."""
    more: Sequence[Batch]
    """Reals of the pixel head's phases."""
    real: Tensor
    """[N, 3, R, R] in [-1, 1]."""
    captions: list[str]
    c: Tensor
    """Text embeddings [N, D]."""
    half: int
    """How many captions the fakes have: two share one where they come in pairs."""
    fakes: Fakes
    before_fakes: Tensor
    """State of `rng` before the fakes were drawn ..."""
    before_augment: Tensor
    """... and before they were augmented for the discriminator's phase."""
    shown: DiscriminatorInputs = EMPTY
    every_c: Tensor
    """Text embeddings to choose from: the micro-batch's own, then those of earlier steps."""
    paired: list[Tensor] = field(default_factory=list)
    """Each output's logits for the reals, in the order of the fakes' captions."""

    @property
    def own_fake(self) -> Tensor:
        """Which caption each fake has, [N]. The halves stay apart, so that the captions of a virtual batch differ among
        fakes as they do among reals."""
        return torch.arange(len(self.real), device=self.real.device) % self.half

    @property
    def c_fake(self) -> Tensor:
        """The fakes' text embeddings, [N, D]."""
        return self.c[self.own_fake]


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The networks and the losses between them."""

    config: StyleGANTConfig
    generator: Generator
    discriminator: Discriminator
    network: FeatureNetwork
    clip: ConditioningModel
    texts: TextEmbeddings
    reconstruction: Reconstruction | None
    paired: PairedLoss | None
    device: torch.device
    dtype: torch.dtype
    timer: NullTimer
    synthesis: Callable[..., Tensor]
    """The generator's, or another that gives the same pictures."""

    def schedule(self, images: int, strength: float) -> Schedule:
        """What holds for the step after so many images, with augmentation of this strength."""
        config = self.config
        warm_up = images / (config.paired_kimg * 1000) if config.paired_kimg else 1.0
        images = max(0, images - round(config.paired_kimg * 1000))
        faded = min(1.0, images / (config.paired_fade_kimg * 1000))
        step = images // (config.batch * config.critic_steps)
        return Schedule(
            warm_up=warm_up,
            paired=config.paired * (1 - (1 - config.paired_least) * faded),
            noise="random" if images >= config.noise_kimg * 1000 else "none",
            sigma=config.blur_sigma * max(0.0, 1 - images / (config.blur_kimg * 1000)) if config.blur_kimg else 0.0,
            taps=step % config.taps_every == 0,
            generator=images >= config.critic_kimg * 1000,
            strength=strength,
        )

    def captions_of_fakes(self, pictures: int) -> int:
        """How many captions the fakes of a micro-batch have."""
        return pictures - pictures // 2 if self.config.pairs else pictures

    def draw(
        self,
        rng: torch.Generator,
        real: Tensor,
        c: Tensor,
        captions: list[str],
        latents: Tensor | None,
        schedule: Schedule,
    ) -> Fakes:
        """Fakes for a micro-batch's captions, half of them with the latents of the captions' pictures where those
        count."""
        self.timer.mark("generator")
        config = self.config
        half = self.captions_of_fakes(len(real))
        own_fake = torch.arange(len(real), device=self.device) % half
        condition = c[:half] if self.texts.own is None else self.texts.for_generator(captions[:half])
        z = torch.randn(len(real), self.generator.z_dim, generator=rng).to(real)
        divergence, own = None, 0
        if latents is not None and schedule.paired:
            own = min(half, len(real) - len(real) // 2)
            z = torch.cat([latents[:own], z[own:]])
        if self.reconstruction is not None and config.reconstruction:
            encoded, divergence = self.reconstruction.latents(real[:half], condition, rng)
            z = torch.cat([encoded, z[half:]])
        f = self.generator.mapping(z)
        w_NW, options = torch.cat([f, condition[own_fake]], dim=1), SynthesisOptions(noise=schedule.noise)
        fake = self.synthesis(w_NW, options, generator=rng, dtype=self.dtype)
        self.timer.on_gradient([fake], "generator")
        pairs = len(real) - half  # none without pairs, and when the part is one picture
        diversity = torch.ones((), device=self.device)
        if pairs:
            enough = config.diversity_share * layout_distance(real, real.roll(1, dims=0))
            diversity = layout_distance(fake[:pairs], fake[half:]) / enough.clamp(min=1e-3)
        return Fakes(
            clean=fake,
            pictures=blur(fake, schedule.sigma),
            reconstructions=fake[:half],
            f_mean=f.detach().mean(dim=0),
            diversity=diversity,
            paired=own,
            divergence=divergence,
        )

    def regress(self, micro_batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """The loss of the warm-up: pictures drawn from the data's own latents against the pictures they made.

        Returns it with figures, and the mean of the mapped latents [Z].
        """
        assert self.paired is not None
        self.timer.mark("generator")
        latents, c = micro_batch.latents, micro_batch.c
        if latents is None:
            raise RunError("paired: these data do not know which latents made their pictures")
        condition = c if self.texts.own is None else self.texts.for_generator(micro_batch.captions)
        f = self.generator.mapping(latents)
        options = SynthesisOptions(noise="none")
        fake = self.synthesis(torch.cat([f, condition], dim=1), options, generator=micro_batch.rng, dtype=self.dtype)
        self.timer.on_gradient([fake], "generator")
        self.timer.mark("features")
        loss, figures = self.paired(fake, micro_batch.real)
        return loss, figures, f.detach().mean(dim=0)

    def discriminator_inputs(self, micro_batch: MicroBatch) -> DiscriminatorInputs:
        """Reals and fakes as the discriminator sees them.

        A picture and its reconstruction are augmented alike, so that they can be compared after it.
        """
        rng, schedule = micro_batch.rng, micro_batch.schedule
        draws = rng.get_state()
        fake = self.augment(micro_batch.fakes.pictures, rng, schedule)
        rng.set_state(draws)
        shown = DiscriminatorInputs(fake=fake, real=self.augment(blur(micro_batch.real, schedule.sigma), rng, schedule))
        if schedule.taps:
            self.timer.mark("features")
            # The same part of reals and fakes where pictures are larger than the network's.
            window = crop_window(self.config.resolution, self.network.image_size, rng, self.config.crops)
            with self.autocast():
                seen = self.network.features(cut(fake, window))
                shown.fake_taps = self._with_heads(seen)
                if window is None:
                    shown.embedding = self._own_embedding(seen)
                with torch.no_grad():
                    shown.real_taps = self._with_heads(self.network.features(cut(shown.real, window)))
        self.timer.mark("discriminator")
        return shown

    def augment(self, x_N3HW: Tensor, rng: torch.Generator, schedule: Schedule) -> Tensor:
        """What the discriminator sees is augmented, reals and fakes."""
        return augment(x_N3HW, self.config.augment, rng, schedule.strength)

    def loss_d(
        self, shown: DiscriminatorInputs, c: Tensor, c_fake: Tensor, every_c: Tensor, fake_taps: Sequence[Tensor]
    ) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
        """The discriminator's loss for augmented pictures; without taps, that of the pixel head alone.

        Returns it with figures, and each output's logits for the reals in the order of the fakes' captions.
        """
        config, weights, count = self.config, self._weights(shown.real_taps), len(shown.real_taps)
        real, fake = shown.real, shown.fake.detach()
        own = torch.arange(len(real), device=self.device)
        own_fake = own % self.captions_of_fakes(len(real))
        with self.autocast():
            real_outs = self.discriminator(shown.real_taps, self.discriminator.stages(real))
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
                # The gradient at a pixel is too small for float16.
                with autocast(self.device, torch.float32 if self.dtype == torch.float16 else self.dtype):
                    for pictures, text in ((real, c), (fake, c_fake)):
                        x = pictures[: config.penalty_pictures].detach().requires_grad_()
                        penalty = r1_penalty(self.discriminator.pixel_logits(x, text[: len(x)]), x)
                        loss = loss + share * config.r1 * penalty
        figures = {
            "loss_d": loss.detach(),
            "logit_real": _mean(logits_real),
            "logit_fake": _mean(logits_fake),
            "sign_real": _mean([head.sign() for head in logits_real]),
            "sign_fake": _mean([head.sign() for head in logits_fake]),
            "match_real": _first(every_real, own),
        }
        return loss, figures, [head.detach() for head in paired]

    def loss_g(self, micro_batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's loss for a micro-batch, against the discriminator as it is now, with figures."""
        config, fakes, shown = self.config, micro_batch.fakes, micro_batch.shown
        weights, count = self._weights(shown.fake_taps), len(shown.fake_taps)
        with self.autocast():
            embedding = shown.embedding
            if embedding is None and shown.fake_taps and config.guidance:
                self.timer.mark("guidance")
                embedding = self._guided(fakes.clean, micro_batch.rng)
                self.timer.mark("discriminator")
            # After the heads, the backward pass goes through what was worked out last before them.
            later = "features" if embedding is shown.embedding else "guidance"
            self.timer.on_gradient([*shown.fake_taps, embedding], later)
            stages = self.discriminator.stages(shown.fake)
            outs = self.discriminator(shown.fake_taps, stages)
            logits = self.discriminator.logits(outs, micro_batch.c_fake)
            adversarial = over_heads(
                [-head.mean() for head in logits[:count]]
                + [relativistic(*pair) for pair in zip(logits[count:], micro_batch.paired[count:], strict=True)],
                weights,
            )
            every_fake = self.discriminator.every_logit(outs, micro_batch.every_c)
            text = over_heads([matching(head, micro_batch.own_fake) for head in every_fake], weights)
            loss = (
                config.adversarial * adversarial
                + config.matching_fake * text
                + config.diversity * (1 - fakes.diversity).relu()
            )
            figures = {}
            if embedding is not None:
                distance = spherical_distance(embedding.to(micro_batch.c), micro_batch.c_fake).mean()
                loss = loss + config.guidance * distance
                figures["guidance"] = distance.detach()
        if self.reconstruction is not None and fakes.divergence is not None:
            half = micro_batch.half
            with torch.no_grad(), self.autocast():
                wanted = self.discriminator.stages(shown.real[:half])
            seen = [(a[:half].to(micro_batch.c), b.to(micro_batch.c)) for a, b in zip(stages, wanted, strict=True)]
            rebuilding, error = self.reconstruction.loss(
                fakes.reconstructions, micro_batch.real[:half], fakes.divergence, seen
            )
            loss = loss + config.reconstruction * rebuilding
            figures |= {"error": error, "divergence": fakes.divergence.detach()}
        if fakes.paired and self.paired is not None:
            regression, parts = self.paired(fakes.clean[: fakes.paired], micro_batch.real[: fakes.paired])
            loss = loss + micro_batch.schedule.paired * regression
            figures |= parts
        if config.pairs:
            figures["diversity"] = fakes.diversity.detach()
        return loss, figures | {"loss_g": adversarial.detach(), "match_fake": _first(every_fake, micro_batch.own_fake)}

    def _weights(self, taps: Sequence[Tensor] = ()) -> list[float]:
        """What each output counts that the discriminator gives for these taps."""
        return self.head_weights if taps else self.head_weights[len(self.config.taps) :]

    def _with_heads(self, features: Features) -> list[Tensor]:
        return [features.taps[tap] for tap in self.config.taps]

    def _own_embedding(self, features: Features) -> Tensor | None:
        """The embedding for guidance, where it falls off the discriminator's pass: by the same CLIP, of pictures small
        enough."""
        config = self.config
        shared = config.features == CLIP_FEATURES and config.resolution <= config.guidance_crop
        return features.embedding if shared else None

    def _guided(self, x_N3HW: Tensor, rng: torch.Generator) -> Tensor:
        """The embedding that guidance compares with the caption's, of the pictures as they are or of a crop."""
        assert isinstance(self.clip, ClipModel | PublishedClip)
        x = cut(x_N3HW, crop_window(x_N3HW.shape[-1], self.config.guidance_crop, rng))
        x = x.view_as(x)  # a tensor of its own for the clock, which asks when the backward pass has come to it
        self.timer.on_gradient([x], "features")
        return self.clip.encode_image(x)

    def autocast(self) -> torch.autocast:
        """For the discriminator and the frozen networks."""
        return autocast(self.device, self.dtype)

    @property
    def head_weights(self) -> list[float]:
        """What each of the discriminator's outputs counts in the losses."""
        config = self.config
        return [1.0] * len(config.taps) + [config.pixel_weight] * 2 * bool(config.pixel_channels)


def _first(every_logit: list[Tensor], own_N: Tensor) -> Tensor:
    """Share of pictures whose own caption has the highest logit of all, a mean over the heads."""
    return torch.stack([(head.detach().argmax(dim=1) == own_N).float().mean() for head in every_logit]).mean()


def _mean(logits: list[Tensor]) -> Tensor:
    return torch.stack([head.detach().float().mean() for head in logits]).mean()
