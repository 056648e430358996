"""What a StyleGAN-T run will take: its networks counted on the meta device, which holds no numbers."""

from __future__ import annotations

import open_clip
import torch
from torch import Tensor, nn

from core.models.stylegan_t import Generator
from core.perception.clip import ClipModel, load_clip
from core.perception.clip_published import PublishedClip
from core.perception.feature_networks import open_feature_network
from core.perception.features import OPEN_CLIP_PREFIX, TIMM_PREFIX, FeatureError, FeatureNetwork
from core.perception.text_tower import TextTower, load_tower
from core.perception.timm_vit import TimmViT
from core.request import SynthesisOptions
from training.discriminators.projected import Discriminator
from training.engine.costs import Estimate, NetworkCost, count_network
from training.engine.distributed import Ranks
from training.engine.micro_batches import plan_micro_batches
from training.engine.precision import compute_dtype
from training.engine.prefetch import AHEAD
from training.errors import RunError
from training.methods.protocol import Files
from training.methods.stylegan_t.config import CLIP_FEATURES, MINILM, START, StyleGANTConfig
from training.methods.stylegan_t.growth import TOWER, freeze, shape_of
from training.methods.stylegan_t.sentence import SentenceConditioning
from training.methods.stylegan_t.text_phase import ConditioningModel, open_conditioning_model

CAPTION_TOKENS = 40
"""The arithmetic of a caption is counted with so many, where the text tower takes them."""


def estimate(config: StyleGANTConfig, device: torch.device, files: Files) -> Estimate:
    """Count the networks of a configuration that leaves nothing open.

    Raises `RunError`, `FeatureError`, `ClipError` for networks that nobody knows the shape of, and `RunError` for a
    batch that cannot be divided as asked.
    """
    plan = plan_micro_batches(config.batch, config.micro_batch, Ranks())
    tower = load_tower(files(TOWER)) if START in (config.encoder, config.clip) else None
    dtype = compute_dtype(config.precision, device)
    clip = _clip(config, tower)
    network = _network(config, clip)
    assert isinstance(network, nn.Module)
    with torch.device("meta"):
        if max(config.taps) >= len(network.tap_channels):
            raise RunError(
                f"taps: the feature network has {len(network.tap_channels)}, counted from 0; got {config.taps}"
            )
        conditioning: TextTower | SentenceConditioning
        if isinstance(clip, SentenceConditioning):
            conditioning = clip
        else:
            conditioning = tower if tower is not None and config.encoder == START else clip.tower
        words = conditioning
        if isinstance(conditioning, TextTower):
            words = conditioning.trainable_copy().requires_grad_(config.phase == "text").to("meta")
        generator = Generator(shape_of(config, conditioning.embed_dim))
        freeze(generator, config.frozen_to)
        if config.phase == "text":
            generator.requires_grad_(False)
        heads = Discriminator(
            [network.tap_channels[tap] for tap in config.taps],
            clip.embed_dim,
            resolution=config.resolution,
            pixel_channels=config.pixel_channels,
            paper=config.logits == "paper",
        )
        x = torch.zeros(1, 3, config.resolution, config.resolution, requires_grad=True)
        w = torch.zeros(1, generator.w_dim, requires_grad=True)
        tokens = torch.zeros(1, min(CAPTION_TOKENS, conditioning.context_length), dtype=torch.long)
        taps: list[Tensor] = []

        def see() -> None:
            found = network.features(x).taps
            taps[:] = [found[tap].detach().requires_grad_() for tap in config.taps]

        half = dtype != torch.float32
        options = SynthesisOptions(noise="random")
        parts = [
            count_network("generator", generator, lambda: generator.synthesis(w, options, dtype=dtype)),
            count_network("feature network", network, see, half=half),
            count_network("discriminator", heads, lambda: heads(taps, heads.stages(x)), half=half),
            count_network("text tower", words, lambda: words.encode_tokens(tokens), half=half),
        ]
        shared = config.features == CLIP_FEATURES and config.resolution <= config.guidance_crop
        if config.guidance and not shared:
            assert isinstance(clip, ClipModel | PublishedClip)
            side = min(config.resolution, config.guidance_crop)
            seen = torch.zeros(1, 3, side, side, requires_grad=True)
            parts.append(count_network("guidance", clip.clip.visual, lambda: clip.encode_image(seen), half=half))
    return _add_up(config, tuple(parts), again=plan.count > 1)


def _add_up(config: StyleGANTConfig, parts: tuple[NetworkCost, ...], *, again: bool) -> Estimate:
    """`again`: fakes are drawn and looked at once for each network, as a micro-batch's are not kept for the other."""
    by_name = {part.name: part for part in parts}
    g, see, d, text = (by_name[name] for name in ("generator", "feature network", "discriminator", "text tower"))
    guidance = by_name.get("guidance", NetworkCost(name="guidance", parameters=0, learning=0, flops=0, kept=0))
    # A backward pass costs as much as the forward one for the inputs, and once more for the weights where they learn.
    generator = g.flops * ((3 if g.learning else 2) + again)
    features = (see.flops * (2 + 1 + 2 * again) + guidance.flops * 2) / config.taps_every  # reals need no gradients
    judgement = d.flops * (2 * 3 * config.critic_steps + 2) / (config.taps_every if not config.pixel_channels else 1)
    words = text.flops * (config.critic_steps + (3 + again if text.learning else 0))
    flops = (generator + features + judgement + words) / config.critic_steps
    # Weights, and for what learns a gradient and two moments; the generator, or the tower that learns, has an average.
    total = sum(part.parameters for part in parts)
    averaged = text.parameters if text.learning else g.parameters
    learnt = sum(part.learning for part in parts)
    # Bytes of the pictures fetched ahead; in float32 the real one, the fake, and that once more where it is blurred.
    values = 3 * config.resolution**2
    held = values * (AHEAD + config.critic_steps) + 4.0 * values * (3 if config.blur_sigma and config.blur_kimg else 2)
    named = config.clip.startswith(OPEN_CLIP_PREFIX) and "=" not in config.clip
    holds_text = text.learning or config.encoder == START or not named
    snapshot = 2.0 * (g.parameters + (text.parameters if holds_text else 0))
    state = 4.0 * (g.parameters * 2 + (2 * text.parameters if text.learning else 0) + d.parameters + 2 * learnt)
    return Estimate(
        networks=parts,
        flops=flops,
        fixed_bytes=4.0 * (total + averaged + 3 * learnt),
        kept_bytes=g.kept + see.kept + d.kept + text.kept + guidance.kept,
        held_bytes=held,
        snapshot_bytes=snapshot,
        state_bytes=state,
        batches=config.critic_steps,
        cycle=config.taps_every,
    )


def _clip(config: StyleGANTConfig, tower: TextTower | None) -> ConditioningModel:
    """The run's CLIP, without numbers."""
    if config.clip == START:
        assert tower is not None
        return tower.trainable_copy().to("meta")
    if config.clip.startswith(OPEN_CLIP_PREFIX):
        return _published(config.clip)
    if config.clip == MINILM:
        found = open_conditioning_model(MINILM, torch.device("cpu"))
        assert isinstance(found, SentenceConditioning)
        return found.to("meta")
    return load_clip(config.clip).to("meta")


def _network(config: StyleGANTConfig, clip: ConditioningModel) -> FeatureNetwork:
    """The feature network, without numbers."""
    if config.features == CLIP_FEATURES:
        assert isinstance(clip, ClipModel | PublishedClip)
        return clip
    if config.features.startswith(OPEN_CLIP_PREFIX):
        return _published(config.features, text=False)
    if config.features.startswith(TIMM_PREFIX):
        import timm

        name = config.features.removeprefix(TIMM_PREFIX).partition("=")[0]
        if not timm.is_model(name.split(".")[0]):
            raise FeatureError(f"timm has no model called {name!r}")
        with torch.device("meta"):
            return TimmViT(timm.create_model(name, pretrained=False, num_classes=0), (0.5,) * 3, (0.5,) * 3)
    found = open_feature_network(config.features)
    assert isinstance(found, nn.Module)
    moved: FeatureNetwork = found.to("meta")
    return moved


def _published(name: str, *, text: bool = True) -> PublishedClip:
    named = name.removeprefix(OPEN_CLIP_PREFIX).partition("=")[0]
    model = named.partition("/")[0]
    if model not in open_clip.list_models():
        raise FeatureError(f"open_clip has no model called {model!r}")
    config = open_clip.get_model_config(model)
    # Straight from the configuration, with no text tower where none is wanted: it might be one to download.
    with torch.device("meta"):
        clip = open_clip.model.CustomTextCLIP(
            config["embed_dim"],
            {**config["vision_cfg"], "timm_model_pretrained": False},
            config["text_cfg"] if text else {"width": 64, "heads": 1, "layers": 1},
            quick_gelu=bool(config.get("quick_gelu", False)),
        )
        return PublishedClip(clip, config, tag=None, name=named, text=text)
