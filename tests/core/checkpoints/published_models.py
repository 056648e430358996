"""Look-alikes of whole published generators: shells under the published names around the tensors of our own models, so
that what an import draws can be compared with the model it came from.
"""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from core.checkpoints.conversion import Conversion
from core.checkpoints.pickles import Published
from core.models import registry, stylegan2, stylegan3, stylegan_t, stylegan_xl
from core.models.layers import Dense, MappedGenerator
from tests.conftest import TINY_TEXT_CFG
from tests.core.checkpoints.lookalikes import EasyDict, Persistent, dumps, snapshot

M = TypeVar("M", bound=nn.Module)

SG2: dict[str, Any] = {"resolution": 16, "z_dim": 6, "w_dim": 7, "mapping_layers": 3, "max_channels": 8}
SG3: dict[str, Any] = {
    "resolution": 16, "z_dim": 5, "w_dim": 7, "base_channels": 32, "max_channels": 4, "num_layers": 4, "margin": 2,
    "first_cutoff": 1.0, "first_stopband": 2**1.1,
}  # fmt: skip
XL: dict[str, Any] = SG3 | {"embed_classes": 6, "embed_features": 8}
SGT: dict[str, Any] = {
    "resolution": 16, "text_dim": 16, "z_dim": 8, "base_channels": 128, "max_channels": 12, "convs_per_block": 1,
    "norm_groups": 2,
}  # fmt: skip


def stirred(make: Callable[[], M], seed: int = 0) -> M:
    """A model with every parameter and buffer moved away from its neutral start, the same for a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make()
        for name, values in model.state_dict().items():
            if name.endswith(("up_filter", "down_filter", "resample_filter", "transform")):
                continue
            if name.endswith(("magnitude_ema", "_var")):
                values.uniform_(0.5, 2.0)
            elif not values.is_floating_point():
                values.add_(9)
            elif not name.startswith("mapping.fc"):
                values.add_(torch.randn_like(values) * 0.3)
    return model.eval().requires_grad_(False)


def shell(kind: str, source: nn.Module | None, parts: dict[str, nn.Module], /, **attributes: Any) -> nn.Module:
    """A persistent class's module with the tensors of `source` itself, and these parts."""
    kwargs = attributes.pop("init_kwargs", {})
    node: nn.Module = type(kind, (Persistent,), {})(**kwargs)
    if source is not None:
        node._parameters.update(source._parameters)
        node._buffers.update(source._buffers)
    for name, part in parts.items():
        node.add_module(name, part)
    node.__dict__.update(attributes)
    return node


def dense(ours: nn.Module, activation: str = "linear") -> nn.Module:
    assert isinstance(ours, Dense)
    gain = ours.bias_gain / np.sqrt(ours.weight.shape[1])
    return shell("FullyConnectedLayer", ours, {}, activation=activation, weight_gain=gain, bias_gain=ours.bias_gain)


def mapping(model: MappedGenerator) -> nn.Module:
    ours = model.mapping
    parts = {
        # StyleGAN-XL's table is torch's own module.
        name: part if isinstance(part, nn.Embedding) else dense(part, "linear" if name == "embed" else "lrelu")
        for name, part in ours.named_children()
    }
    return shell(
        "MappingNetwork", ours, parts,
        z_dim=ours.z_dim, c_dim=ours.c_dim, w_dim=ours.w_dim, num_ws=model.num_ws, num_layers=len(ours.layers),
        w_avg_beta=0.995,
    )  # fmt: skip


def root(model: Any, parts: dict[str, nn.Module], **kwargs: Any) -> nn.Module:
    return shell(
        "Generator", None, parts,
        z_dim=model.z_dim, c_dim=model.c_dim, w_dim=model.w_dim, img_resolution=model.output_size[0], img_channels=3,
        num_ws=model.num_ws, init_kwargs=kwargs,
    )  # fmt: skip


def stylegan2_shell(model: stylegan2.Generator, *, old: bool = False) -> nn.Module:
    """`old` nests the synthesis's keyword arguments as the first release of ADA did."""
    config, blocks = model.config, {}
    for name, block in model.synthesis.named_children():
        assert isinstance(block, stylegan2.Block)
        parts: dict[str, nn.Module] = {}
        for part, ours in block.named_children():
            inner = {"affine": dense(ours.affine)} if hasattr(ours, "affine") else {}
            match ours:
                case stylegan2.Convolution():
                    parts[part] = shell(
                        "SynthesisLayer", ours, inner,
                        resolution=int(name[1:]), up=2 if ours.up else 1, use_noise=ours.has_noise, activation="lrelu",
                        conv_clamp=config.conv_clamp, padding=1, act_gain=np.sqrt(2),
                    )  # fmt: skip
                case stylegan2.ToRGB():
                    gain = 1 / np.sqrt(ours.weight.shape[1])
                    parts[part] = shell("ToRGBLayer", ours, inner, conv_clamp=config.conv_clamp, weight_gain=gain)
                case _:
                    parts[part] = shell(
                        "Conv2dLayer", ours, inner, activation="linear", up=2, down=1, conv_clamp=None, padding=0,
                        weight_gain=0.5, act_gain=1,
                    )  # fmt: skip
        blocks[name] = shell(
            "SynthesisBlock", block, parts,
            in_channels=0 if block.first else 8, w_dim=config.w_dim, resolution=int(name[1:]), img_channels=3,
            is_last=int(name[1:]) == config.resolution, architecture=config.architecture, use_fp16=False,
            num_conv=len(block.convolutions), num_torgb=int(block.has_rgb),
        )  # fmt: skip
    synthesis = shell(
        "SynthesisNetwork", None, blocks,
        w_dim=config.w_dim, img_resolution=config.resolution, img_channels=3, num_ws=model.num_ws,
        block_resolutions=list(config.resolutions), num_fp16_res=0,
    )  # fmt: skip
    kwargs = {"channel_base": 32768, "channel_max": 512, "conv_clamp": config.conv_clamp}
    return root(
        model, {"synthesis": synthesis, "mapping": mapping(model)}, z_dim=config.z_dim, mapping_kwargs=EasyDict(),
        **({"synthesis_kwargs": EasyDict(kwargs)} if old else kwargs),
    )  # fmt: skip


def stylegan3_shell(model: stylegan3.Generator, **kwargs: Any) -> nn.Module:
    """StyleGAN-XL's too. `kwargs` are what the file says that it was made with."""
    config, source = model.config, model.synthesis.input

    def sides(size: tuple[int, int]) -> Any:
        return np.broadcast_to(np.asarray(size[::-1]), [2])  # [width, height]

    parts: dict[str, nn.Module] = {
        "input": shell(
            "SynthesisInput",
            source,
            {"affine": dense(source.affine)},
            w_dim=config.w_dim,
            channels=source.spec.channels,
            size=sides(source.spec.size),
            sampling_rate=np.float64(source.spec.rate),
            bandwidth=np.float64(source.spec.bandwidth),
        )
    }
    for name in model.synthesis.layers:
        ours = model.synthesis.get_submodule(name)
        assert isinstance(ours, stylegan3.Layer)
        spec, oversampling = ours.spec, 1 if ours.spec.rgb else config.oversampling
        values: dict[str, Any] = {
            "up_factor": ours.up, "up_taps": 1 if ours.up_filter is None else len(ours.up_filter),
            "down_factor": ours.down, "down_taps": 1 if ours.down_filter is None else len(ours.down_filter),
            "down_radial": spec.radial and not spec.critical, "padding": list(ours.padding), "use_fp16": False,
            "is_torgb": spec.rgb, "is_critically_sampled": spec.critical, "conv_kernel": spec.kernel,
            "conv_clamp": config.conv_clamp, "magnitude_ema_beta": 0.999,
            "tmp_sampling_rate": np.float64(max(spec.in_rate, spec.out_rate) * oversampling),
        }  # fmt: skip
        for end in ("in", "out"):
            values[f"{end}_channels"] = getattr(spec, f"{end}_channels")
            values[f"{end}_size"] = sides(getattr(spec, f"{end}_size"))
            values[f"{end}_sampling_rate"] = np.float64(getattr(spec, f"{end}_rate"))
            values[f"{end}_cutoff"] = np.float64(getattr(spec, f"{end}_cutoff"))
            values[f"{end}_half_width"] = np.float64(getattr(spec, f"{end}_half_width"))
        parts[name] = shell("SynthesisLayer", ours, {"affine": dense(ours.affine)}, w_dim=config.w_dim, **values)
    synthesis = shell(
        "SynthesisNetwork", None, parts,
        w_dim=config.w_dim, num_ws=model.num_ws, img_resolution=model.output_size[0], img_channels=3,
        num_layers=len(parts) - 2, num_critical=config.num_critical, margin_size=config.margin,
        output_scale=config.output_scale, num_fp16_res=4, layer_names=list(model.synthesis.layers),
    )  # fmt: skip
    return root(
        model, {"synthesis": synthesis, "mapping": mapping(model)}, z_dim=config.z_dim, **(kwargs or {"num_layers": 4})
    )


def stylegan_t_shell(model: stylegan_t.Generator, tower: nn.Module | None = None) -> nn.Module:
    """`tower` is a text tower, which the published class keeps in its mapping."""
    config = model.config
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8

    def style(ours: Any) -> dict[str, nn.Module]:
        layer = shell("FullyConnectedLayer", ours, {}, activation="linear", bias_gain=1, weight_gain=ours.weight_gain)
        return {"affine": shell("StyleSplit", None, {"proj": layer})}

    def convolution(ours: Any) -> nn.Module:
        residual = isinstance(ours, stylegan_t.ResidualConvolution)
        core = ours.conv if residual else ours
        node = shell(
            "SynthesisLayer", core, style(core.style) | ({"norm": ours.norm} if residual else {}),
            up=2 if core.up else 1, use_noise=True, activation="lrelu", conv_clamp=256, residual=residual,
            act_gain=math.sqrt(2),
        )  # fmt: skip
        if residual:
            node.gamma = nn.Parameter(ours.gamma.detach()[None, :, None, None])
        if core.up:
            node.register_buffer("resample_filter", torch.outer(row, row))
        return node

    blocks: dict[str, nn.Module] = {}
    for side, ours in zip(config.resolutions, model.blocks, strict=True):
        assert isinstance(ours, stylegan_t.Block)
        layers = [convolution(layer) for layer in ours.layers]
        parts: dict[str, nn.Module] = {}
        if side == 8:
            source = shell(
                "SynthesisInput", model.input, {"affine": dense(model.input.affine)},
                size=np.array([8, 8]), sampling_rate=8, bandwidth=2, channels=config.channels(8),
            )  # fmt: skip
            source._buffers["freqs"] = source._buffers.pop("frequencies")
            source.register_buffer("transform", torch.eye(3))
            parts["input"] = source
        else:
            parts["conv0"] = layers.pop(0)
        parts["convs1"] = nn.ModuleList(layers)
        parts["torgb"] = shell("ToRGBLayer", ours.to_rgb, style(ours.to_rgb.style), conv_clamp=256)
        blocks[f"b{side}"] = shell("SynthesisBlock", None, parts, resolution=side)
        blocks[f"b{side}"].register_buffer("resample_filter", torch.outer(row, row))
    synthesis = shell("SynthesisNetwork", None, blocks, img_resolution=config.resolution, img_channels=3)
    mlp = shell("MLP", None, {"fc0": dense(model.mapping.hidden, "lrelu"), "fc1": dense(model.mapping.out)})
    parts = {"mlp": mlp}
    if tower is not None:
        parts["clip"] = shell("CLIP", None, {"model": tower})
    latent = shell("MappingNetwork", None, parts, z_dim=config.z_dim, w_dim=config.w_dim, c_dim=config.text_dim)
    latent.register_buffer("x_avg", model.mapping.f_avg)
    return root(model, {"mapping": latent, "synthesis": synthesis}, z_dim=config.z_dim, conditional=True)


def stylegan2_model(seed: int = 0, **changes: Any) -> stylegan2.Generator:
    return stirred(lambda: stylegan2.Generator(stylegan2.Config(**(SG2 | changes))), seed)


def stylegan3_model(seed: int = 0, **changes: Any) -> stylegan3.Generator:
    return stirred(lambda: stylegan3.Generator(stylegan3.Config(**(SG3 | changes))), seed)


def stylegan_xl_model(seed: int = 0, **changes: Any) -> stylegan_xl.Generator:
    return stirred(lambda: stylegan_xl.Generator(stylegan_xl.Config(**(XL | changes))), seed)


def stylegan_t_model(seed: int = 0, **changes: Any) -> stylegan_t.Generator:
    return stirred(lambda: stylegan_t.Generator(stylegan_t.Config(**(SGT | changes))), seed)


def text_tower() -> nn.Module:
    """open_clip's own class, which published files hold."""
    from open_clip.model import CLIPTextCfg, _build_text_tower

    return _build_text_tower(16, CLIPTextCfg(**TINY_TEXT_CFG)).requires_grad_(False)


def file_of(generator: nn.Module, protocol: int = 4) -> bytes:
    """A snapshot with the generator as G_ema."""
    return dumps(snapshot(generator), protocol)


def saved(content: Any) -> bytes:
    """As torch.save writes it."""
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def edited(file: Published, path: str, value: Any) -> Published:
    """A copy of what was read, with an attribute, a tensor or the hooks of a module set by dotted name; None deletes a
    tensor or a module.
    """
    content: Any = copy.deepcopy(file.content)
    *parents, name = path.split(".")
    node = content
    for parent in parents:
        node = node.children[parent]
    if name == "hooks":
        object.__setattr__(node, name, value)
        return replace(file, content=content)
    for section in (node.children, node.parameters, node.buffers, node.attributes):
        if name in section:
            del section[name]
            if value is not None or section is node.attributes:
                section[name] = value
            return replace(file, content=content)
    (node.buffers if isinstance(value, torch.Tensor) else node.attributes)[name] = value
    return replace(file, content=content)


def rebuilt(conversion: Conversion) -> Any:
    generator = registry.build(conversion.family, conversion.config)
    generator.load_state_dict(conversion.generator)
    return generator.eval().requires_grad_(False)


def assert_same_pictures(conversion: Conversion, model: Any) -> None:
    state = model.state_dict()
    assert conversion.generator.keys() == state.keys()
    for name, tensor in conversion.generator.items():
        assert tensor.dtype == state[name].dtype, name
        assert torch.equal(tensor, state[name]), name
    ours, theirs = rebuilt(conversion), model.float()
    torch.manual_seed(1)
    z = torch.randn(2, model.z_dim)
    c = torch.rand(2, model.c_dim) if model.c_dim else None
    first = ours.synthesis(ours.map(z, c, psi=0.7))
    assert torch.equal(first, theirs.synthesis(theirs.map(z, c, psi=0.7)))
    assert bool(torch.isfinite(first).all())
    assert first.std() > 1e-3
    assert first.shape[2:] == conversion.size
    assert conversion.parameters == sum(p.numel() for p in model.parameters())
