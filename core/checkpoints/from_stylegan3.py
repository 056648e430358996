"""Published StyleGAN3 generators, configurations T and R, as ours, and what StyleGAN-XL's share with them.

Every layer says its own sizes, rates and cutoffs, so no growth rule is assumed. The names of tensors are the same on
both sides, and so are the filters, which a file carries. Sizes in a file are [width, height], here (height, width).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from core.checkpoints.conversion import (
    OTHER,
    Conversion,
    at,
    attribute,
    check_dense,
    child,
    finished,
    flag,
    mapping_values,
    number,
    one,
    optional_number,
    plain,
    shown,
    size,
    tensor,
    whole,
)
from core.checkpoints.opcodes import PublishedError
from core.checkpoints.pickles import PublishedModule

if TYPE_CHECKING:
    from core.models.stylegan3 import Config, LayerSpec

C = TypeVar("C", bound="Config")


def convert_stylegan3(root: PublishedModule) -> Conversion:
    """The generator of a file. Raises `PublishedError` for a variant that `core.models.stylegan3` is not."""
    from core.models import stylegan3

    config = config_of_layers("StyleGAN3", root, stylegan3.Config, mapping_values(child(root, "", "mapping")))
    radial = any(spec.radial for spec in config.layer_specs)
    return finished("StyleGAN3-R" if radial else "StyleGAN3-T", "stylegan3", config, root.state_dict())


def layer_names(root: PublishedModule) -> tuple[str, ...]:
    """Of the synthesis's layers, in order."""
    names = attribute(child(root, "", "synthesis"), "synthesis", "layer_names")
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise PublishedError(f"synthesis.layer_names: expected a list of names, got {shown(names)}. {OTHER}")
    return tuple(names)


def config_of_layers(kind: str, root: PublishedModule, make: Callable[..., C], others: dict[str, Any]) -> C:
    """The configuration by what the synthesis's layers say, and the `others` of its fields.

    Raises `PublishedError` where our layers would not do what the file's do; `kind` is for its message.
    """
    from core.models import stylegan3

    synthesis = child(root, "", "synthesis")
    source = child(synthesis, "synthesis", "input")
    check_dense(child(source, "synthesis.input", "affine"), "synthesis.input.affine", activation="linear")
    layers = {at("synthesis", name): child(synthesis, "synthesis", name) for name in layer_names(root)}
    try:
        specs = tuple(_spec(module, where) for where, module in layers.items())
        if specs[-1].out_channels != 3:
            raise PublishedError(
                f"synthesis: expected a last layer of 3 channels, got {specs[-1].out_channels}. {OTHER}"
            )
        config = make(
            resolution=max(specs[-1].out_size),
            num_layers=max(len(specs) - 1, 2),
            filter_size=_filter_size(layers),
            oversampling=_oversampling(layers),
            conv_clamp=one((optional_number(m, where, "conv_clamp") for where, m in layers.items()), "conv_clamp"),
            output_scale=number(synthesis, "synthesis", "output_scale"),
            input=stylegan3.InputSpec(
                channels=len(tensor(source, "synthesis.input", "weight", 2)),
                size=size(source, "synthesis.input", "size"),
                rate=number(source, "synthesis.input", "sampling_rate"),
                bandwidth=number(source, "synthesis.input", "bandwidth"),
            ),
            layers=specs,
            **others,
        )
    except PublishedError:
        raise
    except ValueError as error:
        raise PublishedError(f"{kind}: {error}. {OTHER}") from None
    _check_steps(layers, config)
    return config


def _spec(module: PublishedModule, where: str) -> LayerSpec:
    from core.models.stylegan3 import LayerSpec

    check_dense(child(module, where, "affine"), at(where, "affine"), activation="linear")
    outputs, inputs, kernel, _ = tensor(module, where, "weight", 4).shape
    return LayerSpec(
        in_channels=inputs,
        out_channels=outputs,
        in_size=size(module, where, "in_size"),
        out_size=size(module, where, "out_size"),
        in_rate=number(module, where, "in_sampling_rate"),
        out_rate=number(module, where, "out_sampling_rate"),
        in_cutoff=number(module, where, "in_cutoff"),
        out_cutoff=number(module, where, "out_cutoff"),
        in_half_width=number(module, where, "in_half_width"),
        out_half_width=number(module, where, "out_half_width"),
        kernel=kernel,
        critical=flag(module, where, "is_critically_sampled"),
        radial=flag(module, where, "down_radial"),
        rgb=flag(module, where, "is_torgb"),
    )


def _filter_size(layers: dict[str, PublishedModule]) -> int:
    """Taps for each step of up- or downsampling; where a layer has no filter it says nothing of them."""
    found = []
    for where, module in layers.items():
        for way in ("up", "down"):
            factor = whole(module, where, f"{way}_factor")
            if factor > 1:
                found.append(whole(module, where, f"{way}_taps") / factor)
    taps = one(found, "synthesis: taps for each step") if found else 6.0
    if taps % 1:
        raise PublishedError(f"synthesis: expected whole taps for each step, got {taps:g}. {OTHER}")
    return int(taps)


def _oversampling(layers: dict[str, PublishedModule]) -> int:
    """How much higher than its higher rate the non-linearity of a layer runs."""
    found = []
    for where, module in layers.items():
        rates = [number(module, where, f"{end}_sampling_rate") for end in ("in", "out")]
        if not flag(module, where, "is_torgb") and min(rates) > 0:
            found.append(number(module, where, "tmp_sampling_rate") / max(rates))
    factor = one(found, "synthesis: oversampling") if found else 2.0
    if factor % 1:
        raise PublishedError(f"synthesis: expected a whole oversampling, got {factor:g}. {OTHER}")
    return int(factor)


def _check_steps(layers: dict[str, PublishedModule], config: Config) -> None:
    """What our layers work out for themselves must be what the file's layers were built with."""
    import torch

    from core.models import stylegan3

    with torch.device("meta"):
        ours = stylegan3.Synthesis(config)
    for (where, module), name in zip(layers.items(), ours.layers, strict=True):
        layer = ours.get_submodule(name)
        assert isinstance(layer, stylegan3.Layer)
        for label, value in (("up_factor", layer.up), ("down_factor", layer.down), ("padding", list(layer.padding))):
            found = plain(attribute(module, where, label))
            items = found if isinstance(found, list) else [found]
            if not all(isinstance(item, int | float) for item in items) or found != value:
                raise PublishedError(f"{at(where, label)}: expected {value}, got {shown(found)}. {OTHER}")
