"""The plain StyleGAN-T that the fast one must equal and is measured against: channels first, tensor after tensor."""

from __future__ import annotations

from dataclasses import replace

import timm
import torch
from torch import Tensor

from core.models.layers import styles_by_layer, upsample
from core.models.stylegan_t import Block, Generator
from core.perception.clip import ClipHeader, ClipModel
from core.perception.clip_towers import build_clip
from core.perception.feature_networks import open_feature_network
from core.perception.features import TIMM_PREFIX, FeatureNetwork
from core.perception.timm_vit import TimmViT
from core.request import SynthesisOptions
from training.clip.config import ClipConfig
from training.engine.protocol import Compute
from training.methods.stylegan_t.config import CLIP_FEATURES, StyleGANTConfig
from training.methods.stylegan_t.method import StyleGANT


def bench(config: StyleGANTConfig, compute: Compute) -> tuple[StyleGANT, StyleGANT]:
    """The method as configured, and the plain one; frozen networks have random weights, which are as fast as any."""
    clip, network = _frozen(config, compute.device)
    torch.manual_seed(config.seed)
    fast = StyleGANT(config, compute, clip, network=network)
    torch.manual_seed(config.seed)
    plainly = Compute(device=compute.device, dtype=torch.float32)
    plain = StyleGANT(replace(config, precision="float32", compile=False), plainly, clip, network=network)
    make_plain(plain)
    return fast, plain


def make_plain(method: StyleGANT) -> None:
    """Turn a method that computes in float32 into the plain one."""
    method.generator.to(memory_format=torch.contiguous_format)
    if method.discriminator.pixels is not None:
        method.discriminator.pixels.memory_format = torch.contiguous_format
    if method.reconstruction is not None:
        method.reconstruction.encoder.to(memory_format=torch.contiguous_format)
    for optimiser in method.optimisers.values():
        for settings in (optimiser.defaults, *optimiser.param_groups):
            settings["fused"], settings["foreach"] = False, False
    method.losses = replace(method.losses, synthesis=_PlainSynthesis(method.generator))


class _PlainSynthesis:
    """`Generator.synthesis` with channels first."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def __call__(
        self, w_NW: Tensor, options: SynthesisOptions, /, *, generator: torch.Generator | None, dtype: torch.dtype
    ) -> Tensor:
        styles = styles_by_layer(self.generator.joined(w_NW), self.generator.num_ws)
        x = self.generator.first_maps(styles[0]).to(dtype)
        rgb: Tensor | None = None
        index = 1
        for block in self.generator.blocks:
            assert isinstance(block, Block)
            for layer in block.layers:
                x = layer(x, styles[index], options, generator)
                index += 1
            skip = block.to_rgb(x, styles[index])
            rgb = skip if rgb is None else upsample(rgb) + skip
        assert rgb is not None
        return rgb


def _frozen(config: StyleGANTConfig, device: torch.device) -> tuple[ClipModel, FeatureNetwork | None]:
    """A CLIP of the size that `glissando train clip` makes, and the feature network if it is another."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shape = ClipConfig()
        tower = build_clip(shape.embed_dim, shape.vision_cfg(), shape.text_cfg())
        header = ClipHeader(embed_dim=shape.embed_dim, vision_cfg=shape.vision_cfg(), text_cfg=shape.text_cfg())
        clip = ClipModel(tower, header).to(device)
        if config.features == CLIP_FEATURES:
            return clip, None
        if not config.features.startswith(TIMM_PREFIX):
            return clip, open_feature_network(config.features, device)
        model = config.features.removeprefix(TIMM_PREFIX).partition("=")[0]
        vit = timm.create_model(model, pretrained=False, num_classes=0)
        return clip, TimmViT(vit, (0.5,) * 3, (0.5,) * 3).to(device)
