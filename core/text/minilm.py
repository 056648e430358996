"""all-MiniLM-L6-v2, a sentence encoder: BERT of six layers, mean over tokens, rows of length one.

Sources: BERT (Devlin et al. 2019), MiniLM (Wang et al. 2020), Sentence-BERT (Reimers and Gurevych 2019). Its weights
lie in one file beside the checkpoints that use it, matrices in int8 with one scale a row. Shape letters: N texts, L
tokens, C width.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.text.encoder import WEIGHTS_VARIABLE, EncoderFileError
from core.text.wordpiece import WordPiece

FILE_NAME = "minilm-l6-int8.safetensors"
METADATA_KEY = "glissando-text-encoder"
FORMAT_VERSION = 1
SCALE = ".scale"
"""An int8 matrix NAME [O, I] has its scales [O] beside it as NAME.scale."""
VOCABULARY = "vocabulary"
"""The pieces in UTF-8, one a line."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of the network. Raises `ValueError` for one that cannot be built."""

    vocabulary: int
    """Pieces."""
    width: int = 384
    heads: int = 12
    layers: int = 6
    hidden: int = 1536
    context_length: int = 128
    """Tokens of a text at most, its two marks included; the rest is left out."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("vocabulary", 3, 2**20),
            ("width", 1, 8192),
            ("heads", 1, 256),
            ("layers", 1, 96),
            ("hidden", 1, 65536),
            ("context_length", 2, 512),
        ):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name}: expected an integer from {low} to {high}, got {value!r}")
        if self.width % self.heads:
            raise ValueError(f"heads: expected a divisor of the width {self.width}, got {self.heads}")


class MiniLM(nn.Module):
    """Token numbers [N, L], all rows of one length, to embeddings [N, C] of length one."""

    words: Tensor
    word_scales: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        # In int8 as they are stored: a text looks up a few rows only.
        self.register_buffer("words", torch.zeros(config.vocabulary, config.width, dtype=torch.int8))
        self.register_buffer("word_scales", torch.ones(config.vocabulary))
        self.positions = nn.Parameter(torch.zeros(config.context_length, config.width))
        self.norm = _norm(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))

    def forward(self, tokens_NL: Tensor) -> Tensor:
        x = self.words[tokens_NL].to(self.positions.dtype) * self.word_scales[tokens_NL][..., None]
        x = self.norm(x + self.positions[: tokens_NL.shape[1]])
        for layer in self.layers:
            x = layer(x)
        return F.normalize(x.mean(dim=1), dim=-1)


class Layer(nn.Module):
    """Attention and a feed-forward network, each with a norm behind the sum (post-norm)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm1 = _norm(config)
        self.up = nn.Linear(config.width, config.hidden)
        self.down = nn.Linear(config.hidden, config.width)
        self.norm2 = _norm(config)

    def forward(self, x_NLC: Tensor) -> Tensor:
        n, length, width = x_NLC.shape
        qkv = self.qkv(x_NLC).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [N, heads, L, width / heads]
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width)
        x = self.norm1(x_NLC + self.out(y))
        z: Tensor = self.norm2(x + self.down(F.gelu(self.up(x))))
        return z


def _norm(config: Config) -> nn.LayerNorm:
    return nn.LayerNorm(config.width, eps=1e-12)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pretrained:
    """A network with its tokenizer, and the SHA-256 of the file they came from."""

    network: MiniLM
    tokenizer: WordPiece
    sha256: str


def find_file(name: str = FILE_NAME) -> Path:
    """From `GLISSANDO_TEXT_WEIGHTS` (the file, or a folder that holds it), else from the assets of the package.

    Raises `EncoderFileError` that names the file and where to put it.
    """
    place = os.environ.get(WEIGHTS_VARIABLE)
    if place:
        path = Path(place)
        path = path / name if path.is_dir() else path
        if path.name == name and path.is_file():
            return path
    path = Path(str(resources.files("assets") / name))
    if path.is_file():
        return path
    raise EncoderFileError(
        f"The text encoder needs the file {name}, which comes with Glissando, and {path} does not exist. "
        f"Install Glissando again, or put the file anywhere and set {WEIGHTS_VARIABLE} to its path."
    )


def load(path: Path, sha256: str | None = None) -> Pretrained:
    """Read the network and its vocabulary. Raises `EncoderFileError` for a file that is damaged, foreign, of a newer
    format, or not the one whose digest is asked for.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    again = "Install Glissando again, or copy the file again."
    try:
        content = path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if sha256 is not None and found != sha256:
            raise EncoderFileError(
                f"{path}: expected the text encoder that the checkpoint was trained with (SHA-256 {sha256}), got "
                f"another ({found}). Take the file of the Glissando that wrote the checkpoint, and set "
                f"{WEIGHTS_VARIABLE} to its path."
            )
        fields = json.loads(_metadata(content).get(METADATA_KEY) or "null")
        tensors = safetensors.torch.load(content)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        if isinstance(error, EncoderFileError):
            raise
        raise EncoderFileError(f"{path}: expected a text encoder, but it cannot be read ({error}). {again}") from error
    if not isinstance(fields, dict) or fields.get("kind") != "minilm":
        raise EncoderFileError(f"{path}: a safetensors file, but not a text encoder of Glissando's. {again}")
    if fields.get("format_version") != FORMAT_VERSION:
        raise EncoderFileError(
            f"{path}: expected format version {FORMAT_VERSION}, got {fields.get('format_version')!r}. Update Glissando."
        )
    try:
        config = Config(**fields["config"])
        vocabulary = bytes(tensors.pop(VOCABULARY).numpy()).decode("utf-8").split("\n")
        if len(vocabulary) != config.vocabulary:
            raise ValueError(f"vocabulary: expected {config.vocabulary} pieces, got {len(vocabulary)}")
        network = build(config, tensors)
        tokenizer = WordPiece(vocabulary, context_length=config.context_length)
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderFileError(f"{path}: the file does not fit its own header: {error}. {again}") from error
    return Pretrained(network=network, tokenizer=tokenizer, sha256=found)


def build(config: Config, tensors: Mapping[str, Tensor]) -> MiniLM:
    """The network of `core.text.convert.quantised` tensors, frozen. Raises `ValueError` for any that does not belong to
    the config.
    """
    with torch.device(
        "meta"
    ):  # without memory, so that a config cannot ask for more than the tensors that came with it
        network = MiniLM(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    del shapes["word_scales"]
    expected = {
        name: (shape, torch.int8 if len(shape) == 2 and name != "positions" else torch.float32)
        for name, shape in shapes.items()
    }
    expected |= {name + SCALE: (shape[:1], torch.float32) for name, (shape, d) in expected.items() if d == torch.int8}
    for name in sorted(expected.keys() ^ tensors.keys()):
        raise ValueError(f"tensor {name} {'is missing' if name in expected else 'is not part of it'}")
    for name, (shape, dtype) in expected.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            raise ValueError(
                f"tensor {name}: expected {list(shape)} of {dtype}, got {list(tensor.shape)} of {tensor.dtype}"
            )
        if dtype == torch.float32 and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"tensor {name} holds values that are not finite")
    state = {"words": tensors["words"], "word_scales": tensors["words" + SCALE]}
    for name in shapes.keys() - state.keys():
        scale = tensors.get(name + SCALE)
        if scale is None:
            state[name] = tensors[name]
        else:
            # Column by column in memory: with few tokens the product is a third faster than row by row.
            state[name] = tensors[name].t().to(torch.float32, memory_format=torch.contiguous_format).mul_(scale).t()
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def _metadata(content: bytes) -> dict[str, Any]:
    """The free part of a safetensors header."""
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= len(content) - 8:
        raise ValueError("it is cut off or not a safetensors file")
    document = json.loads(content[8 : 8 + length])
    metadata = document.get("__metadata__", {}) if isinstance(document, dict) else {}
    return metadata if isinstance(metadata, dict) else {}
