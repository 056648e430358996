"""StyleGAN-T (sections 3 and 4 of the paper): the generator or, in phase 2, the text tower that conditions it, against
the discriminator.

A step: updates of the discriminator's pixel head alone, each with new reals, then one of the whole discriminator, then
one of the generator, all on the same fakes. With one micro-batch the fakes and the frozen network's features of them
are computed once and serve all updates. With more, only their pictures are kept and the generator's update draws them
once more: the memory is that of one micro-batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from core.checkpoints.native import Header
from core.models.stylegan_t import Generator, Style
from core.perception.clip import ClipModel
from core.perception.clip_published import PublishedClip
from core.perception.efficientnet import EfficientNetLite0
from core.perception.feature_networks import open_feature_network
from core.perception.features import FeatureNetwork
from core.perception.text_tower import TextTower
from training.augmentation.diffaugment import AdaptiveStrength, blur
from training.datasets.opening import Data
from training.discriminators.projected import Discriminator
from training.engine.compiling import compiled
from training.engine.ema import Ema
from training.engine.phases import Phase, PhaseLoss, PhaseResult
from training.engine.precision import weight_dtype
from training.engine.prefetch import Batch
from training.engine.protocol import Compute
from training.errors import RunError
from training.methods.protocol import Start
from training.methods.stylegan_t.config import CLIP_FEATURES, START, StyleGANTConfig
from training.methods.stylegan_t.growth import (
    TUNED,
    check_fits,
    freeze,
    load_lower_resolution,
    shape_of,
    trainable_parameters,
)
from training.methods.stylegan_t.objective import EMPTY, NO_FAKES, DiscriminatorInputs, Losses, MicroBatch, Schedule
from training.methods.stylegan_t.reconstruction import Reconstruction
from training.methods.stylegan_t.sentence import SentenceConditioning
from training.methods.stylegan_t.text_phase import ConditioningModel, TextPhase, TextSource
from training.methods.stylegan_t.texts import TextEmbeddings
from training.paired import PairedLoss, check_latents, warm_up_rate


class StyleGANT:
    """Generator, discriminator, text tower and encoder, their optimisers and the phases of a step."""

    def __init__(
        self,
        config: StyleGANTConfig,
        compute: Compute,
        clip: ConditioningModel,
        tower: TextTower | None = None,
        *,
        network: FeatureNetwork | None = None,
    ) -> None:
        """`tower` conditions the generator in place of the CLIP's own; `network` is the feature network where it is
        open already.

        Raises `RunError` for a feature network without the taps asked for, `FeatureError` for one that cannot be had.
        """
        self.config, self.compute, self.clip = config, compute, clip
        device, weights = compute.device, weight_dtype(compute.dtype)
        half_life = config.ema_half_life * config.batch * 1000
        self.text = _text_phase(config, clip, tower, device, half_life)
        """What conditions the generator where that is not the CLIP's own text tower."""
        shape = shape_of(config, clip.embed_dim if self.text is None else self.text.dim)
        self.generator = Generator(shape).to(device, weights).to(memory_format=torch.channels_last)
        if config.prepared:
            _prepare(self.generator)
        freeze(self.generator, config.frozen_to)
        self.network = network or _open_network(config, clip, device)
        if weights == torch.float64:
            for frozen in (clip, self.network):
                assert isinstance(frozen, nn.Module)
                frozen.double()
            if self.text is not None:
                self.text.double()
        self.discriminator = _discriminator(config, self.network, clip).to(device, weights)
        self.ema = Ema(self.generator, half_life=half_life)
        self.reconstruction: Reconstruction | None = None
        learner: nn.Module | TextTower = self.generator
        if self.text is not None and self.text.learns:
            self.generator.requires_grad_(False)
            learner = self.text.tower
        self.optimiser_g = _adam(learner, config.learning_rate_g)
        self.optimiser_d = _adam(self.discriminator, config.learning_rate_d)
        self.optimiser_paired: torch.optim.Adam | None = None
        if config.paired_kimg:
            self.optimiser_paired = _adam(self.generator, config.paired_rate, momentum=0.9)
        self.adaptive: AdaptiveStrength | None = None
        if config.augment_target:
            self.adaptive = AdaptiveStrength(config.augment_target, config.augment_kimg)
        if config.reconstruction:
            self.reconstruction = Reconstruction(self.generator, learning_rate=config.encoder_rate, nats=config.nats)
        self.texts = TextEmbeddings(clip, self.text, device, compute.dtype)
        self.losses = Losses(
            config=config,
            generator=self.generator,
            discriminator=self.discriminator,
            network=self.network,
            clip=clip,
            texts=self.texts,
            reconstruction=self.reconstruction,
            paired=_paired_loss(config, device) if config.regresses else None,
            device=device,
            dtype=compute.dtype,
            timer=compute.timer,
            synthesis=compiled(self.generator.synthesis) if config.compile else self.generator.synthesis,
        )
        self.captions = torch.zeros(0, clip.embed_dim, device=device, dtype=weights)
        """Text embeddings of the last steps, [<= other_captions, D], newest first."""

    @property
    def modules(self) -> dict[str, nn.Module]:
        modules = {"generator": self.generator, "ema": self.ema.module, "discriminator": self.discriminator}
        if self.reconstruction is not None:
            modules["encoder"] = self.reconstruction.encoder
        if isinstance(self.clip, SentenceConditioning):
            modules["sentence"] = self.clip
        return modules | ({} if self.text is None else self.text.modules)

    @property
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        optimisers: dict[str, torch.optim.Optimizer] = {"g": self.optimiser_g, "d": self.optimiser_d}
        if self.reconstruction is not None:
            optimisers["encoder"] = self.reconstruction.optimiser
        if self.optimiser_paired is not None:
            optimisers["paired"] = self.optimiser_paired
        return optimisers

    @property
    def z_dim(self) -> int:
        return self.generator.z_dim

    @property
    def sample_conditions(self) -> tuple[str, ...]:
        return self.config.prompts

    @property
    def own_clip(self) -> ClipModel | PublishedClip | None:
        return self.clip if isinstance(self.clip, ClipModel | PublishedClip) else None

    def batches(self, images: int) -> int:
        return 1 if images < self.config.paired_kimg * 1000 else self.config.critic_steps

    def schedule(self, images: int, step: int) -> Schedule:
        return self.losses.schedule(images, 1.0 if self.adaptive is None else self.adaptive.strength)

    def full_schedule(self) -> Schedule:
        paired = self.config.paired
        return Schedule(
            noise="random", sigma=0.0, taps=True, generator=True, strength=1.0, paired=paired, everything=True
        )

    def phases(self, schedule: Schedule) -> list[Phase[MicroBatch]]:
        warm_up: list[Phase[MicroBatch]] = []
        if schedule.warm_up < 1 or (schedule.everything and self.optimiser_paired is not None):
            warm_up = [Phase(name="paired", optimisers=("paired",), loss=self._loss_paired, after=self._after_paired)]
        if schedule.warm_up < 1:
            return warm_up
        together = ("g",) if self.reconstruction is None else ("g", "encoder")
        pixels = [
            Phase(
                name="d_pixels",
                optimisers=("d",),
                loss=partial(self._loss_pixels, number),
                logged=False,
                after=self._remember_captions,
            )
            for number in range(self.config.critic_steps - 1)
        ]
        d = Phase(name="d", optimisers=("d",), loss=self._loss_d, after=self._after_d)
        g = Phase(name="g", optimisers=together, loss=self._loss_g, frozen=("discriminator",))
        return [*warm_up, *pixels, d, g] if schedule.generator else [*pixels, d]

    def begin(self, batches: Sequence[Batch], rng: torch.Generator, schedule: Schedule, *, keep: bool) -> MicroBatch:
        """Reals, captions and fakes of a micro-batch."""
        first, *more = batches
        real, captions, c = self._reals(first, rng)
        latents = first.latents.to(real) if first.latents is not None else None
        if latents is None and schedule.everything:
            latents = torch.randn(len(real), self.generator.z_dim).to(real)
        before = rng.get_state()
        if schedule.warm_up < 1:
            fakes = NO_FAKES
        else:
            with torch.set_grad_enabled(keep and schedule.generator):
                fakes = self.losses.draw(rng, real, c, captions, latents, schedule)
        return MicroBatch(
            rng=rng,
            schedule=schedule,
            latents=latents,
            keep=keep,
            more=more,
            real=real,
            captions=captions,
            c=c,
            half=self.losses.captions_of_fakes(len(real)),
            fakes=fakes,
            before_fakes=before,
            before_augment=before,
            every_c=c,
        )

    def _loss_paired(self, micro_batch: MicroBatch) -> PhaseLoss:
        """The regression alone, at the learning rate of this part of the warm-up."""
        assert self.optimiser_paired is not None
        for group in self.optimiser_paired.param_groups:
            group["lr"] = warm_up_rate(self.config.paired_rate, micro_batch.schedule.warm_up)
        loss, figures, f_mean = self.losses.regress(micro_batch)
        return PhaseLoss(loss=loss, figures=figures, means={"f": f_mean})

    def _after_paired(self, result: PhaseResult) -> dict[str, Tensor]:
        self.generator.mapping.update_average(result.means["f"][None])
        return {}

    def _loss_pixels(self, number: int, micro_batch: MicroBatch) -> PhaseLoss:
        """The discriminator's loss by the pixel head alone, with new reals.

        It is cheap beside a generator's step, and learns from more pictures than the generator does from its judgement.
        """
        rng, schedule = micro_batch.rng, micro_batch.schedule
        self.compute.timer.mark("data")
        real, _, c = self._reals(micro_batch.more[number], rng)
        self.compute.timer.mark("discriminator")
        fake = self.losses.augment(micro_batch.fakes.pictures.detach(), rng, schedule)
        shown = DiscriminatorInputs(fake=fake, real=self.losses.augment(blur(real, schedule.sigma), rng, schedule))
        every_c = torch.cat([c, self.captions])
        loss, figures, _ = self.losses.loss_d(shown, c, micro_batch.c_fake, every_c, [])
        return PhaseLoss(loss=loss, figures=figures, rows={"captions": c})

    def _loss_d(self, micro_batch: MicroBatch) -> PhaseLoss:
        """The discriminator's loss by all heads."""
        micro_batch.every_c = torch.cat([micro_batch.c, self.captions])
        micro_batch.before_augment = micro_batch.rng.get_state()
        shown = self.losses.discriminator_inputs(micro_batch)
        loss, figures, micro_batch.paired = self.losses.loss_d(
            shown, micro_batch.c, micro_batch.c_fake, micro_batch.every_c, [tap.detach() for tap in shown.fake_taps]
        )
        if micro_batch.keep:
            micro_batch.shown = shown
        return PhaseLoss(
            loss=loss,
            figures=figures,
            means={"f": micro_batch.fakes.f_mean},
            rows={"captions": micro_batch.c},
        )

    def _loss_g(self, micro_batch: MicroBatch) -> PhaseLoss:
        """The generator's loss, or the text tower's, on the fakes that the discriminator was shown."""
        if not micro_batch.keep:
            rng = micro_batch.rng
            rng.set_state(micro_batch.before_fakes)
            micro_batch.fakes = self.losses.draw(
                rng,
                micro_batch.real,
                micro_batch.c,
                micro_batch.captions,
                micro_batch.latents,
                micro_batch.schedule,
            )
            rng.set_state(micro_batch.before_augment)
            micro_batch.shown = self.losses.discriminator_inputs(micro_batch)
        loss, figures = self.losses.loss_g(micro_batch)
        if not micro_batch.keep:
            micro_batch.shown = EMPTY
        return PhaseLoss(loss=loss, figures=figures)

    def _remember_captions(self, result: PhaseResult) -> dict[str, Tensor]:
        """The batch's text embeddings become those of earlier steps."""
        keep = self.config.other_captions
        self.captions = torch.cat([result.rows["captions"][:keep], self.captions])[:keep]
        return {}

    def _after_d(self, result: PhaseResult) -> dict[str, Tensor]:
        """Move the mean of the mapped latents and the strength of the augmentation."""
        self._remember_captions(result)
        if self.config.phase == "generator":
            self.generator.mapping.update_average(result.means["f"][None])
        if self.adaptive is None:
            return {}
        self.adaptive.observe(result.figures["sign_real"], self.config.batch)
        return {"augment_strength": torch.tensor(self.adaptive.strength, device=self.compute.device)}

    def after_step(self, schedule: Schedule, images: int) -> dict[str, Tensor]:
        """Move the average of what learns."""
        if schedule.generator or schedule.warm_up < 1:
            if self.text is not None and self.text.learns:
                self.text.update(batch=self.config.batch, images_seen=images)
            else:
                self.ema.update(self.generator, batch=self.config.batch, images_seen=images)
        return {}

    def _reals(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        """Pictures [N, 3, R, R] in [-1, 1], and a caption drawn from each one's list, with its embedding [N, D]."""
        draws = torch.rand(len(batch.captions), generator=rng).tolist()
        captions = [every[int(draw * len(every))] for every, draw in zip(batch.captions, draws, strict=True)]
        return batch.images.to(self.captions) / 127.5 - 1, captions, self.texts.for_discriminator(captions)

    @torch.no_grad()
    def render(self, conditions: Sequence[str], z_NZ: Tensor, /, *, psi: float = 1.0) -> Tensor:
        """Pictures for prompts, with constant noise."""
        model = self.clip if self.text is None else self.text.average()
        c = model.encode_text(conditions).to(self.captions)
        pictures: Tensor = self.ema.module(z_NZ.to(self.captions), c, psi=psi)
        return pictures.float().clamp(-1, 1)

    @property
    def text_source(self) -> TextSource:
        """The text tower that checkpoints of this generator go with."""
        return self.clip if self.text is None else self.text.average()

    def checkpoint(self, start_notes: Mapping[str, Any]) -> tuple[Header, dict[str, Tensor]]:
        """The generator and the text tower that conditions it."""
        generator, text = self.ema.module, self.text_source
        tuned = self.config.phase == "text" or (start_notes.get(TUNED) and self.config.encoder == START)
        header = Header(
            name="",
            family="stylegan_t",
            config=asdict(generator.config),
            text=text.text_spec(),
            images_seen=0,
            vocabulary=(),
            licence="Apache-2.0",
            notes={TUNED: True} if tuned else {},
        )
        tensors = {f"generator.{key}": _half(value) for key, value in generator.state_dict().items()}
        tensors |= {f"text.{key}": _half(value) for key, value in text.text_state_dict().items()}
        return header, tensors

    @torch.no_grad()
    def start_from(self, start: Start) -> None:
        """Load a generator of this resolution or a lower one, see `training.methods.stylegan_t.growth`; discriminator
        and encoder of the run it comes from are grown in the same way."""
        checkpoint = start.checkpoint
        check_fits(checkpoint, self.generator.config)
        if isinstance(self.clip, SentenceConditioning):
            self.clip.take_over(checkpoint)
        if self.config.encoder != START:
            self._check_text(start)
        load_lower_resolution(self.generator, checkpoint.part("generator"))
        self.ema.module.load_state_dict(self.generator.state_dict())
        if start.state is None:
            return
        modules = start.state["modules"]
        self.discriminator.load_state_dict(modules["discriminator"], strict=False)
        if self.discriminator.pixels is not None:
            for side in self.discriminator.pixels.sides:
                if side >= checkpoint.header.config["resolution"]:
                    self.discriminator.pixels.mute(side)
        if self.reconstruction is not None and "encoder" in modules:
            encoder = self.reconstruction.encoder
            if checkpoint.header.config["resolution"] >= encoder.side:
                encoder.load_state_dict(modules["encoder"])

    def _check_text(self, start: Start) -> None:
        """Raises `RunError` for a generator that is used to another text encoder than the run's CLIP."""
        checkpoint = start.checkpoint
        text, own = checkpoint.part("text"), self.clip.text_state_dict()
        same = checkpoint.header.text == self.clip.text_spec() if not own else set(text) == set(own)
        if not same or not all(torch.equal(text[name].half(), own[name].cpu().half()) for name in own):
            raise RunError(
                f"{checkpoint.path}: expected a generator trained with this run's CLIP, got one with another; "
                "--set text.encoder=start goes on with the checkpoint's own"
            )

    def prepare(self, data: Data) -> None:
        """Raises `RunError` for data without the latents that the configuration needs."""
        if self.config.regresses:
            check_latents(data.latents, self.generator.z_dim)
        if isinstance(self.clip, SentenceConditioning):
            self.clip.measure(data)

    def precompute_conditions(self, data: Data, *, progress: bool) -> None:
        """Embeddings of all captions, where the captions are known."""
        self.texts.precompute(data, progress=progress)

    def reconfigure(self, config: StyleGANTConfig) -> None:
        """Take over the learning rates."""
        self.config = config
        rates = ((self.optimiser_g, config.learning_rate_g), (self.optimiser_d, config.learning_rate_d))
        for optimiser, rate in rates:
            for group in optimiser.param_groups:
                group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        return {
            "captions": self.captions,
            "augment": self.adaptive.state_dict() if self.adaptive is not None else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.captions = state["captions"].to(self.captions)
        if self.adaptive is not None and state["augment"] is not None:
            self.adaptive.load_state_dict(state["augment"])


def _text_phase(
    config: StyleGANTConfig, clip: ConditioningModel, tower: TextTower | None, device: torch.device, half_life: float
) -> TextPhase | None:
    """What conditions the generator where that is not the CLIP's own text tower."""
    if config.phase == "text":
        return TextPhase(tower or clip.tower, device, half_life=half_life)
    return None if tower is None else TextPhase(tower, device)


def _open_network(config: StyleGANTConfig, clip: ConditioningModel, device: torch.device) -> FeatureNetwork:
    """The discriminator's feature network. Raises `FeatureError`."""
    if config.features != CLIP_FEATURES:
        return open_feature_network(config.features, device)
    assert isinstance(clip, ClipModel | PublishedClip)
    return clip


def _discriminator(config: StyleGANTConfig, network: FeatureNetwork, clip: ConditioningModel) -> Discriminator:
    """Raises `RunError` for a feature network without the taps asked for."""
    tap_channels = network.tap_channels
    if max(config.taps) >= len(tap_channels):
        raise RunError(f"taps: the feature network has {len(tap_channels)}, counted from 0; got {config.taps}")
    return Discriminator(
        [tap_channels[tap] for tap in config.taps],
        clip.embed_dim,
        resolution=config.resolution,
        pixel_channels=config.pixel_channels,
        paper=config.logits == "paper",
    )


@torch.no_grad()
def _prepare(generator: Generator) -> None:
    """Start where a short run can get somewhere, within what the architecture allows.

    Captions speak as loudly as latents: the embedding has unit length, the latent unit variance, so at equal weights
    the caption counts for less than a hundredth of a style's variance, and a short run is over before it has grown. And
    latents move the Fourier input, sideways by a sixth of the picture (standard deviation) and a little up and down:
    with an input that stands still, one caption's pictures all took the same layout, mirrored about the middle.
    """
    if generator.joint is not None:
        return  # it sees both alike
    for module in generator.modules():
        if isinstance(module, Style):
            module.weight[:, generator.z_dim :] *= math.sqrt(generator.text_dim)
    affine = generator.input.affine
    latent = affine.weight[:, : generator.z_dim]
    for row, deviation in ((2, 1 / 6), (3, 1 / 16)):
        latent[row] = torch.randn_like(latent[row]) * deviation / (affine.weight_gain * math.sqrt(generator.z_dim))


def _paired_loss(config: StyleGANTConfig, device: torch.device) -> PairedLoss:
    """Raises `FeatureError` where the features' network is not installed."""
    network = EfficientNetLite0.pretrained().to(device) if config.paired_features else None
    return PairedLoss(network=network, features=config.paired_features, side=config.paired_side)


def _adam(module: nn.Module | TextTower, learning_rate: float, *, momentum: float = 0.0) -> torch.optim.Adam:
    parameters = trainable_parameters(module)
    return torch.optim.Adam(parameters, lr=learning_rate, betas=(momentum, 0.99), eps=1e-8, fused=True)


def _half(tensor: Tensor) -> Tensor:
    dtype = torch.float16 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", dtype, copy=True)
