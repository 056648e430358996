"""The frozen sentence encoder as a generator is trained on it and as its checkpoint names it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.text import minilm
from core.text.encoder import Standardisation, TextEncoder, TextEncoderError

BATCH = 64
_STATISTICS = ("mean", "std")


class SentenceEncoder:
    """Many texts at once to embeddings; the same network as that of `minilm_encoder`."""

    def __init__(self, pretrained: minilm.Pretrained, name: str, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.dim = pretrained.network.config.width
        self.network = pretrained.network.to(self.device)
        self._tokenizer = pretrained.tokenizer
        self._name, self._sha256 = name, pretrained.sha256

    @classmethod
    def open(cls, path: Path | None = None, device: torch.device | str = "cpu") -> SentenceEncoder:
        """That of a file, or the one that comes with Glissando. Raises `TextEncoderError`."""
        path = path or minilm.find_file()
        return cls(minilm.load(path), path.name, device)

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """[N, 384] float32, rows of length one. Equal texts are encoded once; in batches of one length in tokens, so
        that nothing is padded.
        """
        tokens: dict[str, list[int]] = {text: self._tokenizer(text) for text in texts}
        lengths: dict[int, list[str]] = {}
        for text, numbers in tokens.items():
            lengths.setdefault(len(numbers), []).append(text)
        row = {text: number for number, text in enumerate(tokens)}
        rows_UC = torch.empty(len(tokens), self.dim, device=self.device)
        for group in lengths.values():
            for start in range(0, len(group), BATCH):
                part = group[start : start + BATCH]
                numbers_NL = torch.tensor([tokens[text] for text in part], device=self.device)
                rows_UC[[row[text] for text in part]] = self.network(numbers_NL).float()
        return rows_UC[[row[text] for text in texts]] if texts else rows_UC

    def spec(self) -> dict[str, Any]:
        """How a checkpoint's header names this encoder; see `core.text.load_text_encoder`."""
        return {"kind": "minilm", "file": self._name, "sha256": self._sha256}


def statistics_tensors(standardisation: Standardisation) -> dict[str, Tensor]:
    """What a checkpoint holds of its text encoder, as "text.NAME"."""
    return {"mean": standardisation.mean_C.cpu().clone(), "std": standardisation.std_C.cpu().clone()}


def minilm_encoder(spec: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device | str) -> TextEncoder:
    """The encoder of a header {"kind": "minilm", "file", "sha256"}, standardised by `tensors` "mean" and "std"."""
    name, sha256 = spec["file"], spec["sha256"]
    # A name alone: a checkpoint does not choose which file of the machine is read.
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]{1,80}\.safetensors", name):
        raise TextEncoderError(f"text file: expected a name such as {minilm.FILE_NAME}, got {name!r}")
    if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise TextEncoderError(f"text sha256: expected 64 hexadecimal digits, got {sha256!r}")
    for wanted in sorted(set(_STATISTICS) ^ tensors.keys()):
        fault = "is missing" if wanted in _STATISTICS else "is not part of a sentence encoder"
        raise TextEncoderError(f"text encoder: tensor text.{wanted} {fault}")
    standardisation = Standardisation(tensors["mean"], tensors["std"])
    pretrained = minilm.load(minilm.find_file(name), sha256)
    width = pretrained.network.config.width
    if standardisation.mean_C.shape != (width,):
        raise TextEncoderError(
            f"text encoder: tensors text.mean and text.std: expected shape [{width}], "
            f"got {list(standardisation.mean_C.shape)}"
        )
    return TextEncoder(
        pretrained.network,
        lambda prompts: torch.tensor([pretrained.tokenizer(prompt) for prompt in prompts]),
        dim=width,
        device=device,
        standardisation=standardisation,
        knows_english=True,
    )
