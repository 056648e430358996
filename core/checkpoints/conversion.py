"""What the converters of published generators share: reading a module's attributes with suspicion, and the check that
nothing is missing or left over. Every disappointment is a `PublishedError` that says where and what.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from core.checkpoints.opcodes import PublishedError
from core.checkpoints.pickles import PublishedModule

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.registry import Config

T = TypeVar("T")

OTHER = "Glissando does not implement this variant."
HUGE = 1e300
"""Whole numbers in a file have no limit; larger ones than this may not fit a float."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Conversion:
    """A published generator as one of ours."""

    kind: str
    """What it is called, "StyleGAN3-R"."""
    family: str
    """Key of `core.models.registry.FAMILIES`."""
    config: dict[str, Any]
    """Fields of the family's Config."""
    generator: dict[str, Tensor]
    """The family's state dict, in the types and with the values of the file."""
    size: tuple[int, int]
    """(height, width) of its pictures in pixels."""
    classes: int
    parameters: int
    """Of the generator."""
    text: dict[str, Any] | None = None
    """How to build the text encoder, for `Header.text`; None for a family without text."""
    text_tensors: dict[str, Tensor] = field(default_factory=dict)
    """The text tower's state dict where the file brings one that fits."""
    dropped: tuple[str, ...] = ()
    """What the part held that the generator does not need."""
    assumed: tuple[str, ...] = ()
    """What the file does not say and was taken to be as usual."""


def child(module: PublishedModule, where: str, name: str) -> PublishedModule:
    """A part of a module."""
    if name not in module.children:
        raise PublishedError(f"{at(where, name)}: expected a module, got none among {listed(module.children)}. {OTHER}")
    return module.children[name]


def tensor(module: PublishedModule, where: str, name: str, dimensions: int) -> Tensor:
    """A parameter or buffer with so many dimensions."""
    found = module.parameters.get(name, module.buffers.get(name))
    if found is None:
        raise PublishedError(f"the file lacks tensor {at(where, name)}. Choose another file.")
    if found.ndim != dimensions or not found.numel():
        raise PublishedError(
            f"{at(where, name)}: expected a tensor of {dimensions} dimensions, got shape {list(found.shape)}. {OTHER}"
        )
    return found


def attribute(module: PublishedModule, where: str, name: str) -> Any:
    """A plain value that a module must have."""
    if name not in module.attributes:
        raise PublishedError(f"{at(where, name)}: expected an attribute, got none. {OTHER}")
    return module.attributes[name]


def expect(module: PublishedModule, where: str, **wanted: Any) -> None:
    """Checks attributes against the only values that Glissando implements; numbers to seven digits."""
    for name, value in wanted.items():
        found = plain(attribute(module, where, name))
        right = isinstance(found, str | int | float | None) and found == value
        if isinstance(value, float) and isinstance(found, int | float) and abs(found) < HUGE:
            right = math.isclose(found, value, rel_tol=1e-6)
        if not right:
            raise PublishedError(f"{at(where, name)}: expected {value!r}, got {shown(found)}. {OTHER}")


def whole(module: PublishedModule, where: str, name: str) -> int:
    """An attribute that is a whole number, in whatever type."""
    value = number(module, where, name)
    if value % 1:
        raise PublishedError(f"{at(where, name)}: expected a whole number, got {value!r}. {OTHER}")
    return int(value)


def number(module: PublishedModule, where: str, name: str) -> float:
    """An attribute that is a finite number, or an array of one."""
    value = plain(attribute(module, where, name))
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < HUGE:
        raise PublishedError(f"{at(where, name)}: expected a number, got {shown(value)}. {OTHER}")
    return float(value)


def flag(module: PublishedModule, where: str, name: str) -> bool:
    """An attribute that is true or false."""
    value = plain(attribute(module, where, name))
    if not isinstance(value, bool):
        raise PublishedError(f"{at(where, name)}: expected true or false, got {shown(value)}. {OTHER}")
    return value


def optional_number(module: PublishedModule, where: str, name: str) -> float | None:
    """An attribute that is a number or None."""
    return None if attribute(module, where, name) is None else number(module, where, name)


def size(module: PublishedModule, where: str, name: str) -> tuple[int, int]:
    """(height, width) of an attribute that says [width, height], or one side for both."""
    value = plain(attribute(module, where, name))
    sides = [value, value] if isinstance(value, int | float) else value
    fits = isinstance(sides, list | tuple) and len(sides) == 2
    if not fits or not all(type(side) in (int, float) and 0 < side < 2**16 and not side % 1 for side in sides):
        raise PublishedError(f"{at(where, name)}: expected width and height, got {shown(value)}. {OTHER}")
    return int(sides[1]), int(sides[0])


def one(values: Iterable[T], what: str) -> T:
    """The value that all have in common."""
    found = list({repr(value): value for value in values}.values())
    if len(found) != 1:
        raise PublishedError(f"{what}: expected the same for all layers, got {shown(found)}. {OTHER}")
    return found[0]


def check_dense(module: PublishedModule, where: str, *, activation: str, multiplier: float = 1.0) -> None:
    """Checks that a fully connected layer scales its weights as ours does."""
    inputs = tensor(module, where, "weight", 2).shape[1]
    expect(module, where, activation=activation, bias_gain=multiplier, weight_gain=multiplier / math.sqrt(inputs))


def check_resampling(module: PublishedModule, where: str) -> None:
    """Checks that a stored filter is the binomial one, the only one our layers use."""
    import torch

    found = tensor(module, where, "resample_filter", 2)
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    if found.shape != (4, 4) or not torch.allclose(found.float(), torch.outer(row, row), atol=1e-4):
        raise PublishedError(
            f"{at(where, 'resample_filter')}: expected the outer product of [1, 3, 3, 1] / 8, "
            f"got {list(found.shape)} taps of {shown(found.flatten()[:4].tolist())} ... {OTHER}"
        )


def mapping_values(mapping: PublishedModule, where: str = "mapping") -> dict[str, Any]:
    """The fields that StyleGAN2's and StyleGAN3's Configs have for the mapping from z and label to w."""
    values = dense_layer_values(mapping, where)
    if "embed" in mapping.children:
        embed = mapping.children["embed"]
        check_dense(embed, at(where, "embed"), activation="linear")
        values["embed_features"] = tensor(embed, at(where, "embed"), "weight", 2).shape[0]
    return values


def dense_layer_values(mapping: PublishedModule, where: str = "mapping") -> dict[str, Any]:
    """The same without what embeds the label, in which the families differ."""
    names = [f"fc{index}" for index in range(len(mapping.children)) if f"fc{index}" in mapping.children]
    if not names:
        raise PublishedError(f"{where}: expected layers fc0, fc1, ..., got {listed(mapping.children)}. {OTHER}")
    layers = {name: child(mapping, where, name) for name in names}
    multiplier = one((number(layer, at(where, name), "bias_gain") for name, layer in layers.items()), "bias_gain")
    for name, layer in layers.items():
        check_dense(layer, at(where, name), activation="lrelu", multiplier=multiplier)
    widths = [tensor(layer, at(where, name), "weight", 2).shape[0] for name, layer in layers.items()]
    return {
        "z_dim": whole(mapping, where, "z_dim"),
        "c_dim": whole(mapping, where, "c_dim"),
        "w_dim": whole(mapping, where, "w_dim"),
        "mapping_layers": len(names),
        "mapping_features": one(widths[:-1], f"{where}: features") if widths[:-1] else None,
        "mapping_lr_multiplier": multiplier,
    }


def finished(
    kind: str,
    family: str,
    config: Config,
    tensors: Mapping[str, Tensor],
    *,
    names: Mapping[str, str] | None = None,
    **rest: Any,
) -> Conversion:
    """Compares the tensors with the model that the configuration describes, built without memory: all there, none over,
    of the right shape and type.

    `names` gives the file's name for each of ours, for messages; `rest` are further fields of `Conversion`.
    """
    import torch

    from core.models import registry

    values = asdict(config)
    with torch.device("meta"):
        model = registry.build(family, values)
    expected = model.state_dict()

    def told(items: Iterable[str]) -> str:
        return listed([(names or {}).get(item, item) for item in items])

    missing = [name for name in expected if name not in tensors]
    spare = [name for name in tensors if name not in expected]
    if missing or spare:
        parts = [f"lacks tensors {told(missing)}"] * bool(missing) + [f"has spare tensors {told(spare)}"] * bool(spare)
        raise PublishedError(f"the file {' and '.join(parts)} for a {kind} generator. {OTHER}")
    for name, wanted in expected.items():
        found, label = tensors[name], told([name])
        if found.shape != wanted.shape:
            raise PublishedError(
                f"tensor {label}: expected shape {list(wanted.shape)}, got {list(found.shape)}. {OTHER}"
            )
        if not wanted.is_floating_point():
            if found.dtype != wanted.dtype:
                raise PublishedError(f"tensor {label}: expected {wanted.dtype}, got {found.dtype}. {OTHER}")
        elif found.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise PublishedError(f"tensor {label}: expected floating point of 16 or 32 bits, got {found.dtype}.")
    conditional = model.conditioning == "class"
    return Conversion(
        kind=kind,
        family=family,
        config=values,
        generator=dict(tensors),
        size=model.output_size,
        classes=model.c_dim if conditional else 0,
        parameters=sum(p.numel() for p in model.parameters()),
        **rest,
    )


def modules(module: PublishedModule, where: str = "") -> Iterator[tuple[str, PublishedModule]]:
    """A module and all below it by their dotted names, in the order in which they were made."""
    yield where, module
    for name, part in module.children.items():
        yield from modules(part, at(where, name))


def at(where: str, name: str) -> str:
    """The dotted name of something inside a module."""
    return f"{where}.{name}" if where else name


def listed(names: Iterable[str]) -> str:
    """A few names for a message."""
    items = list(names)
    more = f" and {len(items) - 5} more" if len(items) > 5 else ""
    return (", ".join(items[:5]) + more) or "nothing"


def shown(value: Any) -> str:
    """A value from a file for a message, no longer than that."""
    text = " ".join(repr(plain(value)).split())
    return text if len(text) <= 60 else text[:60] + " ..."


def plain(value: Any) -> Any:
    """Small arrays of numpy come as tensors; here they are Python's own numbers."""
    if hasattr(value, "tolist") and value.numel() <= 16:
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) <= 16:
        return [plain(item) for item in value]
    return value
