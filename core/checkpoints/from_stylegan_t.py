"""Published StyleGAN-T generators as ours. None were ever published; this is for those who trained one with that code.

Tensors have other names here, so layers are found by what they are (a kernel, a noise field, a norm) in the order in
which they were made, and every tensor of the file must have found its place in the end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from core.checkpoints.conversion import (
    OTHER,
    Conversion,
    at,
    check_dense,
    check_resampling,
    child,
    expect,
    finished,
    listed,
    modules,
    one,
    shown,
    size,
    tensor,
    whole,
)
from core.checkpoints.opcodes import PublishedError
from core.checkpoints.pickles import PublishedModule

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.stylegan_t import Config

# What open_clip's CLIP has beside its text tower.
_NOT_TEXT = ("visual.", "logit_scale", "logit_bias")


def convert_stylegan_t(root: PublishedModule) -> Conversion:
    """The generator of a file, with the text tower if it brings one. Raises `PublishedError` for a variant that
    `core.models.stylegan_t` is not.
    """
    rename = _Renaming(root)
    config = rename.config()
    spec, tower, dropped = _text(root, config.text_dim)
    left = [name for name in rename.tensors if name not in rename.used and not name.startswith("mapping.clip.")]
    if left:
        raise PublishedError(f"the file has spare tensors {listed(left)} for a StyleGAN-T generator. {OTHER}")
    return finished(
        "StyleGAN-T",
        "stylegan_t",
        config,
        rename.found,
        names=rename.names,
        text=spec,
        text_tensors=tower,
        dropped=dropped,
    )


class _Renaming:
    """Collects the generator's tensors under our names, and which of the file's were used for them."""

    def __init__(self, root: PublishedModule) -> None:
        self.root = root
        self.tensors = root.state_dict()
        self.found: dict[str, Tensor] = {}
        self.names: dict[str, str] = {}
        self.used: set[str] = set()

    def take(self, ours: str, where: str, *names: str) -> None:
        """The tensors of one module, which keep the ends of their names."""
        for name in names:
            self.move(f"{ours}.{name}", at(where, name))

    def move(self, ours: str, theirs: str) -> None:
        """One tensor; one that is not there is told of when all are compared."""
        if ours in self.names:
            raise PublishedError(f"{theirs}: expected one such tensor, got {self.names[ours]} too. {OTHER}")
        self.names[ours] = theirs
        if theirs in self.tensors:
            self.found[ours] = self.tensors[theirs]
            self.used.add(theirs)

    def config(self) -> Config:
        """Finds every layer, and the configuration that they amount to."""
        from core.models import stylegan_t

        self.mapping()
        blocks = child(self.root, "", "synthesis").children
        sides = [int(name[1:]) for name in blocks if re.fullmatch(r"b\d{1,4}", name)]
        if len(sides) != len(blocks) or sides != [8 << step for step in range(len(sides))]:
            raise PublishedError(f"synthesis: expected blocks b8, b16, b32, ..., got {listed(blocks)}. {OTHER}")
        shapes = [self.block(index, at("synthesis", f"b{side}")) for index, side in enumerate(sides)]
        channels = {side: width for side, (width, _, _) in zip(sides, shapes, strict=True)}
        highest = max(channels.values())
        base = max(side * width for side, width in channels.items())
        z_dim = whole(child(self.root, "", "mapping"), "mapping", "z_dim")
        w_dim = whole(child(self.root, "", "mapping"), "mapping", "w_dim")
        try:
            config = stylegan_t.Config(
                resolution=sides[-1],
                text_dim=w_dim - z_dim,
                z_dim=z_dim,
                base_channels=base,
                max_channels=highest,
                convs_per_block=one((pairs for _, pairs, _ in shapes), "synthesis: convolutions of a block"),
                norm_groups=one((groups for _, _, groups in shapes), "synthesis: groups of the norms"),
            )
        except PublishedError:
            raise
        except ValueError as error:
            raise PublishedError(f"StyleGAN-T: {error}. {OTHER}") from None
        if any(config.channels(side) != width for side, width in channels.items()):
            raise PublishedError(f"synthesis: expected channels that halve, got {list(channels.values())}. {OTHER}")
        return config

    def mapping(self) -> None:
        """z -> f: two fully connected layers, and the average of what they give."""
        mapping = child(self.root, "", "mapping")
        layers = [
            (where, module)
            for where, module in modules(mapping, "mapping")
            if "bias_gain" in module.attributes and not where.startswith("mapping.clip")
        ]
        if len(layers) != 2:
            raise PublishedError(f"mapping: expected two layers, got {listed(where for where, _ in layers)}. {OTHER}")
        for (where, module), name, activation in zip(layers, ("hidden", "out"), ("lrelu", "linear"), strict=True):
            check_dense(module, where, activation=activation, multiplier=0.01)
            self.take(f"mapping.{name}", where, "weight", "bias")
        averages = [name for name in mapping.buffers if name.endswith("_avg")]
        self.move("mapping.f_avg", at("mapping", averages[0] if averages else "x_avg"))

    def block(self, index: int, where: str) -> tuple[int, int, int]:
        """Channels, pairs of convolutions and groups of the norms of a block."""
        found: list[tuple[str, PublishedModule]] = []
        rgb: list[tuple[str, PublishedModule]] = []
        block = child(child(self.root, "", "synthesis"), "synthesis", where.rpartition(".")[2])
        for name, module in modules(block, where):
            self.filter(module, name)
            if "noise_const" in module.buffers:
                found.append((name, module))
            elif "freqs" in module.buffers | module.parameters:
                self.input(module, name)
            elif "weight" in module.parameters and module.parameters["weight"].ndim == 4:
                rgb.append((name, module))
        if len(rgb) != 1:
            raise PublishedError(f"{where}: expected one layer to RGB, got {listed(name for name, _ in rgb)}. {OTHER}")
        ups = [name for name, module in found if whole(module, name, "up") == 2]
        if ups != ([found[0][0]] if index and found else []) or (len(found) - len(ups)) % 2 or len(found) < 2:
            raise PublishedError(f"{where}: expected pairs of convolutions, got {listed(n for n, _ in found)}. {OTHER}")
        if ups and not any("resample_filter" in module.buffers for _, module in modules(block, where)):
            raise PublishedError(f"the file lacks tensor {at(where, 'resample_filter')}. Choose another file.")
        groups = []
        for place, (name, module) in enumerate(found):
            up = place < len(ups)
            expect(module, name, activation="lrelu", conv_clamp=256.0, use_noise=True, up=2 if up else 1)
            ours = f"blocks.{index}.layers.{place}"
            if place >= len(ups) and (place - len(ups)) % 2:
                norm = child(module, name, "norm")
                expect(norm, at(name, "norm"), eps=1e-5)
                groups.append(whole(norm, at(name, "norm"), "num_groups"))
                self.take(f"{ours}.norm", at(name, "norm"), "weight", "bias")
                self.move(f"{ours}.gamma", at(name, "gamma"))
                gamma = self.found.get(f"{ours}.gamma")
                if gamma is not None and gamma.shape == (1, gamma.numel(), 1, 1):  # stored ready to multiply a picture
                    self.found[f"{ours}.gamma"] = gamma.flatten()
                ours = f"{ours}.conv"
            self.take(ours, name, "weight", "bias", "noise_const", "noise_strength")
            self.style(ours, module, name)
        ((name, module),) = rgb
        expect(module, name, conv_clamp=256.0)
        self.take(f"blocks.{index}.to_rgb", name, "weight", "bias")
        self.style(f"blocks.{index}.to_rgb", module, name)
        width = len(tensor(found[0][1], found[0][0], "weight", 4))
        return width, (len(found) - len(ups)) // 2, one(groups, f"{where}: groups of the norms")

    def style(self, ours: str, module: PublishedModule, where: str) -> None:
        """The fully connected layer somewhere below a convolution that gives its style."""
        layers = [(name, part) for name, part in modules(module, where) if "bias_gain" in part.attributes]
        if len(layers) != 1:
            raise PublishedError(f"{where}: expected one layer for styles, got {listed(n for n, _ in layers)}. {OTHER}")
        ((name, part),) = layers
        check_dense(part, name, activation="linear")
        self.take(f"{ours}.style", name, "weight", "bias")

    def input(self, module: PublishedModule, where: str) -> None:
        """The Fourier input. Its own transform is the identity in every generator, which ours takes for granted."""
        import torch

        expect(module, where, bandwidth=2.0, sampling_rate=8.0)
        if size(module, where, "size") != (8, 8):
            raise PublishedError(
                f"{at(where, 'size')}: expected [8, 8], got {shown(module.attributes['size'])}. {OTHER}"
            )
        check_dense(child(module, where, "affine"), at(where, "affine"), activation="linear")
        transform = at(where, "transform")
        if transform in self.tensors:
            if not torch.equal(self.tensors[transform].float(), torch.eye(3)):
                raise PublishedError(
                    f"{transform}: expected the identity, got {shown(self.tensors[transform])}. {OTHER}"
                )
            self.used.add(transform)
        self.move("input.frequencies", at(where, "freqs"))
        self.take("input", where, "phases", "weight")
        self.take("input.affine", at(where, "affine"), "weight", "bias")

    def filter(self, module: PublishedModule, where: str) -> None:
        """The resampling filter, which ours does not store."""
        if "resample_filter" in module.buffers:
            check_resampling(module, where)
            self.used.add(at(where, "resample_filter"))


def _text(root: PublishedModule, text_dim: int) -> tuple[dict[str, Any], dict[str, Tensor], tuple[str, ...]]:
    """The text tower of a file as a bundled one; without one, the published tower whose embeddings are as wide."""
    mapping = child(root, "", "mapping")
    clip = mapping.children.get("clip")
    model = clip.children.get("model") if clip else None
    found = clip.state_dict("mapping.clip.") if clip else {}
    if model is not None and "transformer" in model.children:
        others = [name for name in found if not name.startswith("mapping.clip.model.")]
        if others:
            raise PublishedError(f"the file has spare tensors {listed(others)} beside its text tower. {OTHER}")
        return _tower(model, "mapping.clip.model", text_dim)
    if found:  # perhaps another encoder: whose embeddings the generator learned cannot be guessed
        raise PublishedError(f"mapping.clip: expected open_clip's text tower, got tensors {listed(found)}. {OTHER}")
    if text_dim != 768:
        raise PublishedError(
            f"mapping.clip: expected a text tower, got none, and no published one is known to give {text_dim} numbers. "
            "Choose a file with its text encoder."
        )
    return {"kind": "open_clip", "model": "ViT-L-14-quickgelu", "pretrained": "openai"}, {}, ()


def _tower(
    model: PublishedModule, where: str, text_dim: int
) -> tuple[dict[str, Any], dict[str, Tensor], tuple[str, ...]]:
    """open_clip's text tower has the same names inside its CLIP and alone."""
    import torch

    from core.text import TextEncoderError, bundled_text_tower

    place = at(where, "transformer.resblocks")
    blocks = child(child(model, where, "transformer"), at(where, "transformer"), "resblocks").children
    if not blocks:
        raise PublishedError(f"{place}: expected the blocks of open_clip's text tower, got none. {OTHER}")
    tokens = tensor(child(model, where, "token_embedding"), at(where, "token_embedding"), "weight", 2)
    heads = (
        whole(child(block, at(place, name), "attn"), at(at(place, name), "attn"), "num_heads")
        for name, block in blocks.items()
    )
    quick = (any(part.class_name == "QuickGELU" for _, part in modules(block)) for block in blocks.values())
    for name, part in modules(model, where):
        if "eps" in part.attributes and not name.startswith(at(where, "visual")):
            expect(part, name, eps=1e-5)
    spec: dict[str, Any] = {
        "kind": "bundled",
        "embed_dim": text_dim,
        "text_cfg": {
            "context_length": len(tensor(model, where, "positional_embedding", 2)),
            "vocab_size": tokens.shape[0],
            "width": tokens.shape[1],
            "heads": one(heads, f"{place}: heads"),
            "layers": len(blocks),
        },
        "quick_gelu": one(quick, f"{place}: activation"),
    }
    state = model.state_dict()
    dropped = tuple(sorted({f"{where}.{name.partition('.')[0]}" for name in state if name.startswith(_NOT_TEXT)}))
    tower = {name: values for name, values in state.items() if not name.startswith(_NOT_TEXT)}
    try:
        with torch.device("meta"):
            expected = bundled_text_tower(text_dim, spec["text_cfg"], quick_gelu=spec["quick_gelu"]).state_dict()
    except TextEncoderError as error:
        raise PublishedError(f"{where}: {error}. {OTHER}") from None
    if "attn_mask" not in expected and tower.pop("attn_mask", None) is not None:  # made again when the tower is built
        dropped += (f"{where}.attn_mask",)
    shapes = {name: tuple(values.shape) for name, values in tower.items()}
    if shapes != {name: tuple(values.shape) for name, values in expected.items()}:
        wrong = sorted(expected.keys() ^ shapes.keys()) or [n for n in shapes if shapes[n] != tuple(expected[n].shape)]
        raise PublishedError(f"{where}: expected open_clip's text tower, got another: {listed(wrong)}. {OTHER}")
    for name, values in tower.items():
        if values.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise PublishedError(
                f"tensor {at(where, name)}: expected floating point of 16 or 32 bits, got {values.dtype}. {OTHER}"
            )
    return spec, tower, dropped
