"""State dicts (.pt) whose tensors are named like a published generator's: what shapes and filters say, put where a
published file has its attributes, so that one converter reads both.

What they do not say is taken to be as the published trainers set it, and told as an assumption; where that would be a
guess that shows in the picture the file is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from core.checkpoints.conversion import at, child, listed, modules, tensor
from core.checkpoints.opcodes import PublishedError
from core.checkpoints.pickles import PublishedModule

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.stylegan3 import Config

PICKLE = "Import the .pkl that it was taken from."
MAPPING_MULTIPLIER = 0.01
MAX_DEPTH = 50


def tree(tensors: Mapping[str, Tensor]) -> PublishedModule:
    """Modules without attributes from dotted names, in the order of the numbers in them: whoever saved the tensors may
    have sorted them. Whether one is a parameter or a buffer is not known.
    """
    root = _empty()
    for name, values in sorted(tensors.items(), key=lambda item: _natural(item[0])):
        *path, last = name.split(".")
        if len(path) > MAX_DEPTH:
            raise PublishedError(f"expected names of at most {MAX_DEPTH} levels, got {name[:60]!r} ... {PICKLE}")
        node = root
        for part in path:
            node = node.children.setdefault(part, _empty())
        node.parameters[last] = values
    return root


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts b8 before b16: runs of digits by their length, then by themselves."""
    return [(len(part), part) if part.isdigit() else (0, part) for part in re.split(r"([0-9]+)", name)]


def dress_stylegan2(root: PublishedModule) -> tuple[str, ...]:
    """Gives a tree the attributes that StyleGAN2's converter reads; returns what was assumed."""
    _dress_mapping(root)
    synthesis = child(root, "", "synthesis")
    with_rgb = [name for name, block in synthesis.children.items() if "torgb" in block.children]
    resnet = any("skip" in block.children for block in synthesis.children.values())
    every = with_rgb == list(synthesis.children)
    architecture = "resnet" if resnet else "skip" if every else "orig"
    synthesis.attributes["img_channels"] = _rgb_channels(synthesis, with_rgb)
    for block in synthesis.children.values():
        block.attributes["architecture"] = architecture
        for name, module in block.children.items():
            noise = "noise_const" in module.parameters
            module.attributes.update({"conv_clamp": 256.0, "use_noise": noise, "up": 2 if name == "conv0" else 1})
            module.attributes.update({"activation": "lrelu", "act_gain": math.sqrt(2)})
            if name == "skip":
                module.attributes.update({"activation": "linear", "up": 2, "down": 1, "conv_clamp": None})
            _dress_dense(module, "linear")
    return (f"mapping at a learning rate of {MAPPING_MULTIPLIER}", "activations clamped at 256, as ADA's trainer does")


def dress_stylegan3(root: PublishedModule) -> tuple[str, ...]:
    """Gives a tree the attributes that StyleGAN3's converter reads, by the published rule, which the filters in the
    file must confirm; returns what was assumed.
    """
    _dress_mapping(root)
    return _dress_layers3(child(root, "", "synthesis"))


def dress_stylegan_xl(root: PublishedModule) -> tuple[str, ...]:
    """Gives a tree the attributes that StyleGAN-XL's converter reads; returns what was assumed. Stems follow
    StyleGAN3's rule. Generators that grew do not, so their layers' cutoffs are in no state dict.
    """
    mapping, z_dim, w_dim = _dress_dense_layers(root)
    c_dim = 0
    if "embed_proj" in mapping.children:
        z_dim = len(tensor(mapping.children["embed_proj"], "mapping.embed_proj", "weight", 2))
        c_dim = len(tensor(mapping, "mapping", "w_avg", 2))
        _dress_dense(mapping, "lrelu", only="embed_proj")
    mapping.attributes.update({"z_dim": z_dim, "c_dim": c_dim, "w_dim": w_dim})
    return _dress_layers3(child(root, "", "synthesis"))


def dress_fastgan(root: PublishedModule) -> tuple[str, ...]:
    """Gives a tree the attributes that FastGAN's converter reads; returns what was assumed."""
    table = child(root, "", "synthesis").children.get("embed")
    if table is not None:
        rows = len(tensor(table, "synthesis.embed", "weight", 2))
        raise PublishedError(
            f"a state dict of FastGAN with classes: it does not say how many of its {rows} were learned. {PICKLE}"
        )
    root.attributes["c_dim"] = 0
    for where, module in modules(root):
        weight = module.parameters.get("weight_orig", module.parameters.get("weight"))
        if "running_mean" in module.parameters:
            module.attributes["eps"] = 1e-5
        if weight is not None and weight.ndim == 4:
            side = 1 if weight.shape[2:] == (3, 3) else 0
            module.attributes.update({"stride": (1, 1), "dilation": (1, 1), "padding": (side, side), "groups": 1})
            module.attributes.update({"padding_mode": "zeros", "transposed": where == "synthesis.init.init.0"})
    return ("pictures that end in a convolution, as Projected GAN's do, not in a tanh",)


def _dress_layers3(synthesis: PublishedModule) -> tuple[str, ...]:
    config = _ruled(synthesis)
    names = [name for name in synthesis.children if name != "input"]
    source = child(synthesis, "synthesis", "input")
    first = config.input_spec
    source.attributes.update({"size": [first.size[1], first.size[0]], "sampling_rate": first.rate})
    source.attributes.update({"bandwidth": first.bandwidth})
    _dress_dense(source, "linear")
    synthesis.attributes.update({"layer_names": names, "output_scale": config.output_scale})
    built = _built(config)
    for name, ours, spec in zip(names, built, config.layer_specs, strict=True):
        values = asdict(spec)
        module = child(synthesis, "synthesis", name)
        for end in ("in", "out"):
            height, width = values[f"{end}_size"]
            module.attributes.update({f"{end}_size": [width, height], f"{end}_sampling_rate": values[f"{end}_rate"]})
            module.attributes.update({key: values[key] for key in (f"{end}_cutoff", f"{end}_half_width")})
        for way, factor, filter_ in (("up", ours.up, ours.up_filter), ("down", ours.down, ours.down_filter)):
            module.attributes.update({f"{way}_factor": factor, f"{way}_taps": 1 if filter_ is None else len(filter_)})
        module.attributes.update(
            {
                "is_torgb": spec.rgb,
                "is_critically_sampled": spec.critical,
                "down_radial": spec.radial and not spec.critical,
                "tmp_sampling_rate": max(spec.in_rate, spec.out_rate) * (1 if spec.rgb else config.oversampling),
                "conv_clamp": config.conv_clamp,
                "padding": list(ours.padding),
            }
        )
        _dress_dense(module, "linear")
    return (
        f"mapping at a learning rate of {MAPPING_MULTIPLIER}",
        "activations clamped at 256 and output times 0.25, as in every published file",
    )


def _ruled(synthesis: PublishedModule) -> Config:
    """The published schedule with the file's widths, if the file's filters are those it gives."""
    import torch

    from core.models import stylegan3

    names = [name for name in synthesis.children if name != "input"]
    weights = [tensor(child(synthesis, "synthesis", name), at("synthesis", name), "weight", 4) for name in names]
    sides = [part for part in names[-1].split("_")[1:2] if part.isdecimal()] if names else []
    radial = any(part.parameters["down_filter"].ndim == 2 for part in synthesis.children.values()
                 if "down_filter" in part.parameters)  # fmt: skip
    try:
        rule = stylegan3.Config(
            resolution=int(sides[0]) if sides else 0,
            num_layers=len(names) - 1,
            kernel=weights[0].shape[-1] if weights else 3,
            radial=radial,
        )
        config = replace(
            rule,
            layers=tuple(
                replace(spec, in_channels=weight.shape[1], out_channels=weight.shape[0])
                for spec, weight in zip(rule.layer_specs, weights, strict=True)
            ),
        )
    except ValueError as error:
        raise PublishedError(f"expected StyleGAN3's published schedule, got other layers ({error}). {PICKLE}") from None
    if config.layer_names != tuple(names):  # they hold sizes, which no tensor shows
        raise PublishedError(
            f"synthesis: expected layers {listed(config.layer_names)} by StyleGAN3's published schedule, got "
            f"{listed(names)}. {PICKLE}"
        )
    for name, ours in zip(names, _built(config), strict=True):
        theirs = child(synthesis, "synthesis", name).parameters
        for label in ("up_filter", "down_filter"):
            wanted, found = getattr(ours, label), theirs.get(label)
            same = (wanted is None) == (found is None)
            if same and wanted is not None and found is not None:
                same = wanted.shape == found.shape and torch.allclose(wanted, found.float(), atol=1e-3 * wanted.max())
            if not same:
                raise PublishedError(
                    f"synthesis.{name}.{label}: expected the filter of StyleGAN3's published schedule, got another, "
                    f"so the cutoffs of the layers are not known. {PICKLE}"
                )
    return config


def _built(config: Config) -> list[Any]:
    """Our layers for a configuration, with their filters; the weights are small or not there."""
    from core.models import stylegan3

    # A narrow copy: filters and paddings do not depend on the widths.
    narrow = tuple(replace(spec, in_channels=1, out_channels=1) for spec in config.layer_specs)
    return [stylegan3.Layer(spec, replace(config, layers=narrow, input=None, w_dim=1)) for spec in narrow]


def _dress_mapping(root: PublishedModule) -> None:
    mapping, z_dim, w_dim = _dress_dense_layers(root)
    c_dim = 0
    if "embed" in mapping.children:
        embedded, c_dim = tensor(mapping.children["embed"], "mapping.embed", "weight", 2).shape
        z_dim -= embedded
        _dress_dense(mapping, "linear", only="embed")
    mapping.attributes.update({"z_dim": z_dim, "c_dim": c_dim, "w_dim": w_dim})


def _dress_dense_layers(root: PublishedModule) -> tuple[PublishedModule, int, int]:
    """Attributes for the mapping's layers, whose weights are stored at one over the learning-rate multiplier, which
    tells it. Returns the mapping, and how many numbers enter and leave it.
    """
    mapping = child(root, "", "mapping")
    layers = {at("mapping", name): module for name, module in mapping.children.items() if name.startswith("fc")}
    if not layers:
        raise PublishedError(f"mapping: expected layers fc0, fc1, ..., got {listed(mapping.children)}. {PICKLE}")
    shapes = []
    for where, module in layers.items():
        weight = tensor(module, where, "weight", 2)
        shapes.append(weight.shape)
        spread = float(weight.float().std(correction=0))
        if not 0.2 < spread * MAPPING_MULTIPLIER < 5:
            raise PublishedError(
                f"{where}.weight: expected numbers of about {1 / MAPPING_MULTIPLIER:g}, got {spread:.3g}, so the scale "
                f"that they are used at is not known. {PICKLE}"
            )
        module.attributes.update({"activation": "lrelu", "bias_gain": MAPPING_MULTIPLIER})
        module.attributes["weight_gain"] = MAPPING_MULTIPLIER / math.sqrt(weight.shape[1])
    return mapping, shapes[0][1], shapes[-1][0]


def _dress_dense(module: PublishedModule, activation: str, only: str = "affine") -> None:
    for name, part in modules(module):
        weight = part.parameters.get("weight")
        if name.rpartition(".")[2] == only and weight is not None and weight.ndim == 2:
            gain = 1 / math.sqrt(max(weight.shape[1], 1))
            part.attributes.update({"activation": activation, "bias_gain": 1.0, "weight_gain": gain})


def _rgb_channels(synthesis: PublishedModule, blocks: list[str]) -> int:
    if not blocks:
        raise PublishedError(f"synthesis: expected a layer to RGB, got none. {PICKLE}")
    where = f"synthesis.{blocks[-1]}.torgb"
    return len(tensor(synthesis.children[blocks[-1]].children["torgb"], where, "weight", 4))


def _empty() -> PublishedModule:
    return PublishedModule(
        class_name="", module="", init_args=(), init_kwargs={}, parameters={}, buffers={}, attributes={}, children={},
        hooks=(),
    )  # fmt: skip
