"""StyleGAN-T (sections 3 and 4 of the paper): the generator or, in phase 2, the text tower that conditions it, against
the discriminator.

`GanTrainer` is the networks and one step; `training.runs.run` is the folder around them. A step's batch may be cut into
parts, see `training.engine.micro_batches`: each part goes through the networks by itself
(`training.methods.stylegan_t.objective`), one after another or on several ranks. All randomness comes from one
generator whose state is saved, so a resumed run repeats the uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from core.checkpoints.native import Checkpoint
from core.models.stylegan_t import Generator, Style
from core.perception.clip import ClipModel
from core.perception.clip_published import PublishedClip
from core.perception.feature_networks import open_feature_network
from core.perception.features import FeatureNetwork
from core.perception.text_tower import TextTower
from training.augmentation.diffaugment import AdaptiveStrength, blur
from training.config import CLIP_FEATURES, GanConfig
from training.datasets.opening import Data
from training.discriminators.projected import Discriminator
from training.engine.compiling import compiled
from training.engine.distributed import Ranks
from training.engine.ema import Ema
from training.engine.micro_batches import plan_micro_batches
from training.engine.precision import compute_dtype, weight_dtype
from training.engine.prefetch import Batch, Prefetcher
from training.engine.step_timer import NullTimer
from training.engine.updates import SpectralNormState, Updater
from training.errors import RunError
from training.methods.stylegan_t.growth import check_fits, freeze, load_lower_resolution, shape_of, trainable_parameters
from training.methods.stylegan_t.objective import EMPTY, DiscriminatorInputs, Losses, MicroBatch, Schedule
from training.methods.stylegan_t.reconstruction import Reconstruction
from training.methods.stylegan_t.text_phase import ConditioningModel, TextPhase, TextSource
from training.methods.stylegan_t.texts import TextEmbeddings
from training.runs.states import VERSION


class GanTrainer:
    """Generator, discriminator, their optimisers and the data order; `step` is one update of each."""

    def __init__(
        self,
        config: GanConfig,
        data: Data,
        clip: ConditioningModel,
        device: torch.device,
        tower: TextTower | None = None,
        *,
        ranks: Ranks | None = None,
        timer: NullTimer | None = None,
        network: FeatureNetwork | None = None,
    ) -> None:
        """`tower` conditions the generator in place of the CLIP's own; `network` is the feature network where it is
        open already.

        Raises `RunError` for a feature network without the taps asked for and for a batch that cannot be divided as
        asked, `FeatureError` for a network that cannot be had.
        """
        self.config, self.data, self.clip, self.device = config, data, clip, device
        self.ranks, self.timer = ranks or Ranks(), timer or NullTimer()
        self.plan = plan_micro_batches(config.batch, config.micro_batch, self.ranks)
        self.dtype = compute_dtype(config.precision, device)
        weights = weight_dtype(self.dtype)
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
        self.generator = Generator(shape).to(device, weights).to(memory_format=torch.channels_last)
        if config.prepared:
            _prepare(self.generator)
        freeze(self.generator, config.frozen_to)
        self.network = network or self._open_network()
        if weights == torch.float64:
            for frozen in (clip, self.network, *([] if self.text is None else [self.text.tower.module])):
                assert isinstance(frozen, nn.Module)
                frozen.double()
        tap_channels = self.network.tap_channels
        if max(config.taps) >= len(tap_channels):
            raise RunError(f"taps: the feature network has {len(tap_channels)}, counted from 0; got {config.taps}")
        self.discriminator = Discriminator(
            [tap_channels[tap] for tap in config.taps],
            clip.embed_dim,
            resolution=config.resolution,
            pixel_channels=config.pixel_channels,
            paper=config.logits == "paper",
        ).to(device, weights)
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
        self.texts = TextEmbeddings(clip, self.text, device, self.dtype)
        self.losses = Losses(
            config=config,
            generator=self.generator,
            discriminator=self.discriminator,
            network=self.network,
            clip=clip,
            texts=self.texts,
            reconstruction=self.reconstruction,
            device=device,
            dtype=self.dtype,
            timer=self.timer,
            synthesis=compiled(self.generator.synthesis) if config.compile else self.generator.synthesis,
        )
        together = [] if self.reconstruction is None else [self.reconstruction.optimiser]
        self.update_g = Updater([self.optimiser_g, *together], self.ranks, device, self.dtype)
        self.update_d = Updater([self.optimiser_d], self.ranks, device, self.dtype)
        self.spectral_norms = SpectralNormState(self.discriminator)
        self.prefetcher = Prefetcher(data, self.plan, config.seed, device)
        self.rng = torch.Generator().manual_seed(config.seed)
        self.captions = torch.zeros(0, clip.embed_dim, device=device, dtype=weights)
        """Text embeddings of the last steps, [<= other_captions, D], newest first."""

    def _open_network(self) -> FeatureNetwork:
        """The discriminator's feature network. Raises `FeatureError`."""
        if self.config.features != CLIP_FEATURES:
            return open_feature_network(self.config.features, self.device)
        assert isinstance(self.clip, ClipModel | PublishedClip)
        return self.clip

    def step(self) -> dict[str, Tensor]:
        """The discriminator's updates, then the generator's on the same fakes. Returns losses and other figures.

        Where this process has one part, the fakes and the frozen network's features of them are worked out once and
        serve all updates. With more, only their pictures are kept and the generator's update draws them once more: the
        memory is that of one part.
        """
        self.timer.mark("data")
        config = self.config
        now = self.losses.now(self.images_seen, 1.0 if self.adaptive is None else self.adaptive.strength)
        first, *more = self.prefetcher.take(config.critic_steps)
        streams = self.plan.streams(self.rng)
        once = len(streams) == 1
        parts = []
        for rng, pictures in zip(streams, first, strict=True):
            parts.append(self._begin(rng, pictures, now, keep=once and now.generator))
        for batch in more:
            self._update_pixel_head(parts, batch, now)
        self.images_seen += config.batch * config.critic_steps

        every = self.captions
        for part in parts:
            part.every_c = torch.cat([part.c, every])
            part.before_augment = part.rng.get_state()
        self.update_d.zero_grad()
        self.spectral_norms.save()
        for part in parts:
            self.spectral_norms.restore()
            part.shown = self.losses.show(part, now)
            loss, figures, part.paired = self.losses.loss_d(
                part.shown, part.c, part.c_fake, part.every_c, [tap.detach() for tap in part.shown.fake_taps]
            )
            self.update_d.accumulate(loss, figures, self.plan.count)
            if not once:
                part.shown = EMPTY
        f_mean = torch.stack([part.fakes.f_mean for part in parts]).sum(dim=0)
        if self.plan.count > 1:
            f_mean = f_mean / self.plan.count
        figures = self._finish(self.update_d, "d", [part.c for part in parts], [f_mean])
        if config.phase == "generator":
            self.generator.mapping.update_average(f_mean[None])
        if self.adaptive is not None:
            self.adaptive.observe(figures["sign_real"], config.batch)
            figures["augment_strength"] = torch.tensor(self.adaptive.strength, device=self.device)
        if not now.generator:
            return figures | self._skips()

        self.update_g.zero_grad()
        self.spectral_norms.save()
        self.discriminator.requires_grad_(False)
        for part in parts:
            self.spectral_norms.restore()
            if not once:
                part.rng.set_state(part.before_fakes)
                part.fakes = self.losses.draw(part.rng, part.real, part.c, part.captions, now)
                part.rng.set_state(part.before_augment)
                part.shown = self.losses.show(part, now)
            self.update_g.accumulate(*self.losses.loss_g(part), self.plan.count)
            if not once:
                part.shown = EMPTY
        self.discriminator.requires_grad_(True)
        figures |= self._finish(self.update_g, "g", [], [])
        if self.text is not None and self.text.learns:
            self.text.update(batch=config.batch, images_seen=self.images_seen)
        else:
            self.ema.update(self.generator, batch=config.batch, images_seen=self.images_seen)
        self.timer.mark("other")
        return figures | self._skips()

    def _skips(self) -> dict[str, Tensor]:
        """How many updates were skipped since the start of the process, and now in a row, by either network."""
        return {
            "skipped": self.update_d.skipped + self.update_g.skipped,
            "skipped_in_a_row": torch.maximum(self.update_d.in_a_row, self.update_g.in_a_row),
        }

    def in_trouble(self) -> bool:
        """Whether the latest update was skipped; waits for the device."""
        return bool(self._skips()["skipped_in_a_row"] > 0)

    def rehearse(self, micro: int) -> None:
        """Both passes for a part of `micro` pictures of noise, beside the memory that the optimisers need: to see
        whether it fits. The networks' weights stay, the random state does not."""
        optimisers = [*self.update_d.optimisers, *self.update_g.optimisers]
        weights = [p for optimiser in optimisers for group in optimiser.param_groups for p in group["params"]]
        held = [
            torch.empty_like(p)
            for p in weights
            if not any(p in optimiser.state for optimiser in optimisers)
            for _ in range(2)
        ]
        size = self.config.resolution
        images = torch.randint(0, 256, (micro, 3, size, size), dtype=torch.uint8, device=self.device)
        now = Schedule(noise="random", sigma=0.0, taps=True, generator=True, strength=1.0)
        part = self._begin(self.rng, Batch(images=images, captions=[["a"]] * micro), now, keep=True)
        part.every_c = torch.cat([part.c, self.captions])
        part.shown = self.losses.show(part, now)
        self.update_d.zero_grad()
        loss, figures, part.paired = self.losses.loss_d(
            part.shown, part.c, part.c_fake, part.every_c, [tap.detach() for tap in part.shown.fake_taps]
        )
        self.update_d.accumulate(loss, figures, 1)
        self.update_g.zero_grad()
        self.update_g.accumulate(*self.losses.loss_g(part), 1)
        for update in (self.update_d, self.update_g):
            update.zero_grad()
        del held

    def _begin(self, rng: torch.Generator, pictures: Batch, now: Schedule, *, keep: bool) -> MicroBatch:
        """Reals, captions and fakes of a part; `keep` for the generator's update."""
        real, captions, c = self._pictures(pictures, rng)
        before = rng.get_state()
        with torch.set_grad_enabled(keep):
            fakes = self.losses.draw(rng, real, c, captions, now)
        return MicroBatch(
            rng=rng,
            real=real,
            captions=captions,
            c=c,
            half=self.losses.captions_of_fakes(len(real)),
            before_fakes=before,
            before_augment=before,
            fakes=fakes,
            shown=EMPTY,
            every_c=c,
            paired=[],
        )

    def _update_pixel_head(self, parts: list[MicroBatch], batch: list[Batch], now: Schedule) -> None:
        """An update of the pixel head alone, with new reals.

        It is cheap beside a generator's step, and learns from more pictures than the generator does from its judgement.
        """
        self.update_d.zero_grad()
        self.spectral_norms.save()
        every: list[Tensor] = []
        for part, pictures in zip(parts, batch, strict=True):
            self.spectral_norms.restore()
            self.timer.mark("data")
            real, _, c = self._pictures(pictures, part.rng)
            self.timer.mark("discriminator")
            fake = self.losses.augment(part.fakes.pictures.detach(), part.rng, now)
            shown = DiscriminatorInputs(fake=fake, real=self.losses.augment(blur(real, now.sigma), part.rng, now))
            loss, figures, _ = self.losses.loss_d(shown, c, part.c_fake, torch.cat([c, self.captions]), [])
            self.update_d.accumulate(loss, figures, self.plan.count)
            every.append(c)
        self._finish(self.update_d, "d", every, [])

    def _finish(self, update: Updater, name: str, every_c: list[Tensor], shared: list[Tensor]) -> dict[str, Tensor]:
        """Apply an update; this rank's text embeddings become earlier ones, with those of the other ranks."""
        self.timer.mark("optimiser")
        keep = self.config.other_captions
        if every_c:
            own = torch.cat(every_c)
            newest = own
            if self.ranks.world > 1:
                # Zeros where the other ranks have theirs, so that the sum is all of them.
                newest = own.new_zeros(self.config.batch, own.shape[1])
                newest[self.plan.rows(self.plan.mine[0]).start :][: len(own)] = own
                newest = newest[:keep]
                shared = [*shared, newest]
        figures = update.step(shared)
        if every_c:
            self.captions = torch.cat([newest, self.captions])[:keep]
        figures[f"gradient_{name}"] = figures.pop("gradient")
        return figures

    def precompute_texts(self) -> None:
        """Work out the embeddings of all captions now, or find them in the cache, where the captions are known."""
        self.texts.know(self.data, progress=self.ranks.first)

    def _pictures(self, pictures: Batch, rng: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        """A part's reals, [N, 3, R, R] in [-1, 1], and a caption drawn from each one's list, with its embedding."""
        draws = torch.rand(len(pictures.captions), generator=rng).tolist()
        captions = [every[int(draw * len(every))] for every, draw in zip(pictures.captions, draws, strict=True)]
        return pictures.images.to(self.captions) / 127.5 - 1, captions, self.texts.judged(captions)

    @torch.no_grad()
    def render(self, prompts: list[str], z_NZ: Tensor, *, psi: float = 1.0) -> Tensor:
        """Batch of the averaged generator, [N, 3, R, R] in [-1, 1], constant noise."""
        c = (self.clip if self.text is None else self.text.average()).encode_text(prompts).to(self.captions)
        pictures: Tensor = self.ema.module(z_NZ.to(self.captions), c, psi=psi)
        return pictures.float().clamp(-1, 1)

    @property
    def text_source(self) -> TextSource:
        """The text tower that checkpoints of this generator go with."""
        return self.clip if self.text is None else self.text.average()

    @torch.no_grad()
    def start_from(self, checkpoint: Checkpoint, state: Mapping[str, Any] | None = None) -> None:
        """Take over a checkpoint's generator, of this resolution or a lower one, before the first step.

        See `training.methods.stylegan_t.growth.load_lower_resolution`. `state` is that of the run it comes from, for
        discriminator and encoder, grown in the same way. Raises `RunError` when the checkpoint does not fit this run.
        """
        check_fits(checkpoint, self.generator.config)
        if self.config.encoder != "start":
            self._check_text(checkpoint)
        load_lower_resolution(self.generator, checkpoint.part("generator"))
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
            "version": VERSION,
            "images_seen": self.images_seen,
            "generator": self.generator.state_dict(),
            "ema": self.ema.module.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimiser_g": self.optimiser_g.state_dict(),
            "optimiser_d": self.optimiser_d.state_dict(),
            "stream": self.prefetcher.state_dict(),
            "rng": self.rng.get_state(),
            "captions": self.captions,
            "reconstruction": self.reconstruction.state_dict() if self.reconstruction is not None else None,
            "text": self.text.state_dict() if self.text is not None else None,
            "augment": self.adaptive.state_dict() if self.adaptive is not None else None,
            "loss_scales": {"d": self.update_d.state_dict(), "g": self.update_g.state_dict()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.images_seen = state["images_seen"]
        self.generator.load_state_dict(state["generator"])
        self.ema.module.load_state_dict(state["ema"])
        self.discriminator.load_state_dict(state["discriminator"])
        _load(self.optimiser_g, state["optimiser_g"])
        _load(self.optimiser_d, state["optimiser_d"])
        self.prefetcher.load_state_dict(state["stream"])
        self.rng.set_state(state["rng"])
        self.captions = state["captions"].to(self.captions)
        if self.reconstruction is not None and state["reconstruction"] is not None:
            self.reconstruction.load_state_dict(state["reconstruction"])
        # States from before there were these parts lack them.
        if self.text is not None and state.get("text") is not None:
            self.text.load_state_dict(state["text"])
        if self.adaptive is not None and state.get("augment") is not None:
            self.adaptive.load_state_dict(state["augment"])
        scales = state.get("loss_scales", {"d": {}, "g": {}})
        self.update_d.load_state_dict(scales["d"])
        self.update_g.load_state_dict(scales["g"])


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
    return torch.optim.Adam(trainable_parameters(module), lr=learning_rate, betas=(0.0, 0.99), eps=1e-8, fused=True)


def _load(optimiser: torch.optim.Adam, state: dict[str, Any]) -> None:
    """Load all but the settings, which may have changed since the state was saved."""
    settings = [{name: group[name] for name in ("lr", "betas")} for group in optimiser.param_groups]
    optimiser.load_state_dict(state)
    for group, kept in zip(optimiser.param_groups, settings, strict=True):
        group.update(kept)
