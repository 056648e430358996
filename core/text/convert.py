"""all-MiniLM-L6-v2 as sentence-transformers publishes it, to the file that Glissando ships.

    python -m core.text.convert FOLDER OUT.safetensors

FOLDER holds `model.safetensors`, `config.json` and `vocab.txt`. Pieces of scripts other than Latin are left out, of
which the model knows single letters at most.
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from core.text.minilm import FORMAT_VERSION, METADATA_KEY, SCALE, VOCABULARY, Config
from core.text.wordpiece import END, START, UNKNOWN

NOTES = {
    "name": "all-MiniLM-L6-v2",
    "origin": "sentence-transformers/all-MiniLM-L6-v2, from nreimers/MiniLM-L6-H384-uncased",
    "licence": "Apache-2.0",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--context-length", type=int, default=128, help="tokens of a text that count (default 128)")
    values = parser.parse_args(arguments)
    pieces = (values.folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
    rows = [row for row, piece in enumerate(pieces) if is_kept(piece)]
    shape = json.loads((values.folder / "config.json").read_text(encoding="utf-8"))
    config = Config(
        vocabulary=len(rows),
        width=shape["hidden_size"],
        heads=shape["num_attention_heads"],
        layers=shape["num_hidden_layers"],
        hidden=shape["intermediate_size"],
        context_length=values.context_length,
    )
    published = safetensors.torch.load_file(values.folder / "model.safetensors")
    tensors = quantised(from_sentence_transformers(published, config, rows))
    save(values.out, config, tensors, [pieces[row] for row in rows], NOTES)


def is_kept(piece: str) -> bool:
    """Whether a piece of BERT's vocabulary is worth its row: the three marks in use, Latin letters, digits, signs."""
    if len(piece) > 1 and piece.startswith("["):
        return piece in (UNKNOWN, START, END)
    return all(_is_latin(c) for c in piece.removeprefix("##"))


def _is_latin(c: str) -> bool:
    if c.isascii() or "LATIN" in unicodedata.name(c, ""):
        return True
    return not c.isalpha() and ord(c) < 0x3000


def save(
    path: Path, config: Config, tensors: Mapping[str, Tensor], vocabulary: Sequence[str], notes: Mapping[str, Any]
) -> None:
    """Write what `core.text.minilm.load` reads; `tensors` as `quantised` gives them."""
    fields = {"kind": "minilm", "format_version": FORMAT_VERSION, "config": asdict(config), "notes": dict(notes)}
    pieces = torch.frombuffer(bytearray("\n".join(vocabulary).encode()), dtype=torch.uint8)
    path.write_bytes(safetensors.torch.save({**tensors, VOCABULARY: pieces}, {METADATA_KEY: json.dumps(fields)}))


def quantised(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices in int8, in 127 steps up to the largest of each row; vectors and positions as they are."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim != 2 or name == "positions":
            found[name] = tensor.float().contiguous()
            continue
        scale = (tensor.abs().amax(dim=1) / 127).clamp(min=1e-12)
        found[name] = (tensor / scale[:, None]).round().to(torch.int8)
        found[name + SCALE] = scale.float()
    return found


def from_sentence_transformers(tensors: Mapping[str, Tensor], config: Config, rows: list[int]) -> dict[str, Tensor]:
    """The published tensors under this module's names, in full precision; `rows` are the pieces to keep."""
    embeddings = "embeddings."
    found = {
        "words": tensors[embeddings + "word_embeddings.weight"][rows],
        # All tokens are of the first of BERT's two types.
        "positions": tensors[embeddings + "position_embeddings.weight"][: config.context_length]
        + tensors[embeddings + "token_type_embeddings.weight"][0],
    }
    for kind in ("weight", "bias"):
        found[f"norm.{kind}"] = tensors[f"{embeddings}LayerNorm.{kind}"]
        for number in range(config.layers):
            source, target = f"encoder.layer.{number}.", f"layers.{number}."
            parts = [tensors[f"{source}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            found[f"{target}qkv.{kind}"] = torch.cat(parts)
            for name, theirs in (
                ("out", "attention.output.dense"),
                ("norm1", "attention.output.LayerNorm"),
                ("up", "intermediate.dense"),
                ("down", "output.dense"),
                ("norm2", "output.LayerNorm"),
            ):
                found[f"{target}{name}.{kind}"] = tensors[f"{source}{theirs}.{kind}"]
    return found


if __name__ == "__main__":
    main()
