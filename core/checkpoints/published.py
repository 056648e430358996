"""Published generators become ours: which of the published families a file holds, and its converter.

To add a family, write its converter and enter it in `KINDS`, or in `NETWORKS` if its files are TensorFlow's. A family
is known by its modules, its attributes and the names of its tensors, never by the name of the file or of a class alone;
a network of TensorFlow by the functions that built it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from core.checkpoints.conversion import OTHER, Conversion, at, listed, modules
from core.checkpoints.from_fastgan import HOOKS, convert_fastgan
from core.checkpoints.from_r3gan import convert_r3gan, dress_r3gan, is_r3gan
from core.checkpoints.from_stylegan2 import convert_stylegan2
from core.checkpoints.from_stylegan3 import convert_stylegan3
from core.checkpoints.from_stylegan_t import convert_stylegan_t
from core.checkpoints.from_stylegan_xl import convert_stylegan_xl
from core.checkpoints.from_tensorflow import convert_stylegan1, convert_stylegan2_tf, is_stylegan1, is_stylegan2
from core.checkpoints.opcodes import PublishedError
from core.checkpoints.pickles import Published, PublishedModule, PublishedNetwork
from core.checkpoints.state_dicts import (
    PICKLE,
    dress_fastgan,
    dress_stylegan2,
    dress_stylegan3,
    dress_stylegan_xl,
    tree,
)

__all__ = ["KINDS", "NETWORKS", "Conversion", "Kind", "NetworkKind", "convert"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A published family in PyTorch."""

    name: str
    recognise: Callable[[PublishedModule], bool]
    """Whether a generator's module is of this family. The first kind that says so is asked to convert."""
    convert: Callable[[PublishedModule], Conversion]
    dress: Callable[[PublishedModule], tuple[str, ...]] | str
    """Gives a state dict's tree the attributes that `convert` reads and returns what it assumed; or why it cannot."""
    hooks: frozenset[str] = frozenset()
    """Those whose work `convert` does itself. Any other is refused: hooks change what weights mean."""


@dataclass(frozen=True, kw_only=True)
class NetworkKind:
    """A published family in TensorFlow."""

    name: str
    recognise: Callable[[PublishedNetwork], bool]
    convert: Callable[[PublishedNetwork], Conversion]


def _part(root: PublishedModule, *path: str) -> PublishedModule | None:
    node: PublishedModule | None = root
    for name in path:
        node = node.children.get(name) if node else None
    return node


def _is_fastgan(root: PublishedModule) -> bool:
    synthesis = _part(root, "synthesis") or root
    named = any("fastgan" in module.class_name.lower() for _, module in modules(root))
    return named or any(re.fullmatch(r"(feat|se)_\d+", name) for name in synthesis.children)


def _is_stylegan_xl(root: PublishedModule) -> bool:
    mapping = _part(root, "mapping")
    if mapping is None:
        return False
    average = mapping.buffers.get("w_avg", mapping.parameters.get("w_avg"))
    embed = mapping.children.get("embed")
    table = embed is not None and "weight" in embed.parameters and "bias" not in embed.parameters
    superresolution = "path_stem" in root.init_kwargs.keys() | root.attributes.keys()
    by_class = average is not None and average.ndim == 2
    return "embed_proj" in mapping.children or table or by_class or superresolution


def _is_stylegan_t(root: PublishedModule) -> bool:
    return _part(root, "synthesis", "b8", "input") is not None


def _is_stylegan3(root: PublishedModule) -> bool:
    synthesis = _part(root, "synthesis")
    if synthesis is None or "input" not in synthesis.children:
        return False
    return any(re.fullmatch(r"L\d+_\d+_\d+", name) for name in synthesis.children)


def _is_stylegan2(root: PublishedModule) -> bool:
    first = _part(root, "synthesis", "b4")
    return first is not None and "const" in first.parameters and "conv1" in first.children


KINDS: tuple[Kind, ...] = (
    Kind(name="R3GAN", recognise=is_r3gan, convert=convert_r3gan, dress=dress_r3gan),
    Kind(name="FastGAN", recognise=_is_fastgan, convert=convert_fastgan, dress=dress_fastgan, hooks=HOOKS),
    Kind(name="StyleGAN-XL", recognise=_is_stylegan_xl, convert=convert_stylegan_xl, dress=dress_stylegan_xl),
    Kind(
        name="StyleGAN-T",
        recognise=_is_stylegan_t,
        convert=convert_stylegan_t,
        dress="the groups of its norms and the heads of its text tower do not show in shapes",
    ),
    Kind(name="StyleGAN3", recognise=_is_stylegan3, convert=convert_stylegan3, dress=dress_stylegan3),
    Kind(name="StyleGAN2", recognise=_is_stylegan2, convert=convert_stylegan2, dress=dress_stylegan2),
)

NETWORKS: tuple[NetworkKind, ...] = (
    NetworkKind(name="StyleGAN", recognise=is_stylegan1, convert=convert_stylegan1),
    NetworkKind(name="StyleGAN2", recognise=is_stylegan2, convert=convert_stylegan2_tf),
)


def convert(published: Published) -> Conversion:
    """A generator that `read_published` returned as one of ours: nothing in it is changed but names, layouts, and what
    the authors' code works out from the tensors before it uses them.

    Raises `PublishedError` for a family or a variant that Glissando does not implement, for tensors that are missing or
    spare, and for values that are not finite.
    """
    content = published.content
    if isinstance(content, PublishedNetwork):
        return _network_kind(content).convert(content)
    root = content if isinstance(content, PublishedModule) else tree(content)
    kind = _kind(root, published.layout)
    _check_values(root, kind.hooks)
    if published.layout != "state_dict":
        return kind.convert(root)
    if isinstance(kind.dress, str):
        raise PublishedError(f"a state dict of {kind.name}: {kind.dress}. {PICKLE}")
    assumed = kind.dress(root)
    conversion = kind.convert(root)
    return replace(conversion, assumed=(*assumed, *conversion.assumed))


def _kind(root: PublishedModule, layout: str) -> Kind:
    for kind in KINDS:
        if kind.recognise(root):
            return kind
    if layout == "state_dict":
        found = f"tensors {listed(root.state_dict())}"
    else:
        found = f"a module of class {root.class_name[:60]!r} with parts {listed(root.children)}"
    known = ", ".join(sorted(kind.name for kind in KINDS))
    raise PublishedError(f"expected a generator of {known}, got {found}. {OTHER}")


def _network_kind(network: PublishedNetwork) -> NetworkKind:
    for kind in NETWORKS:
        if kind.recognise(network):
            return kind
    functions = [network.build_function, *(part.build_function for part in network.components.values())]
    found = listed(name[:60] for name in functions)
    known = " or ".join(kind.name for kind in NETWORKS)
    raise PublishedError(f"expected a TensorFlow generator of {known}, got one built by {found}. {OTHER}")


def _check_values(root: PublishedModule, known_hooks: frozenset[str]) -> None:
    """No hooks but known ones, and no value that would make every picture empty."""
    import torch

    for where, module in modules(root):
        hooks = [hook for hook in module.hooks if hook not in known_hooks]
        if hooks:
            raise PublishedError(f"{where or 'the generator'}: expected no hooks, got {hooks[0][:100]}. {OTHER}")
        for name, values in (module.parameters | module.buffers).items():
            masks = name == "attn_mask"  # minus infinity is what a mask is made of
            if values.is_floating_point() and not masks and not bool(torch.isfinite(values).all()):
                raise PublishedError(
                    f"tensor {at(where, name)} holds values that are not finite, so every picture would be empty. "
                    "Choose another file."
                )
