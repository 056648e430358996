"""Arguments that several subcommands share, and how they are read."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import UserError

if TYPE_CHECKING:
    from core.engine import Engine

# The names that `core.engine` takes; said again here because importing it would import torch.
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
NOISES = ("const", "random", "none")

# A folder of so many pictures is still one that a file browser opens.
MOST_SEEDS = 65_536


class Parser(argparse.ArgumentParser):
    """An argument parser whose every command takes --debug, and that never guesses at shortened options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})
        self.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
        )


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """CHECKPOINT, --precision and --device."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        nargs="?",
        type=Path,
        help="a .safetensors checkpoint; the bundled one if none",
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="auto takes the fastest that is safe on this machine"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def open_engine(args: argparse.Namespace) -> Engine:
    """The engine that `add_engine_arguments` describes."""
    from core.engine import Engine

    return Engine.open(checkpoint_path(args), device=args.device, precision=args.precision)


def checkpoint_path(args: argparse.Namespace) -> Path:
    """The checkpoint that was named, or the bundled one."""
    from core.checkpoints import bundled_checkpoint

    path: Path | None = args.checkpoint
    return bundled_checkpoint() if path is None else path


def prompt_text(text: str) -> str:
    """A prompt as typed. Bytes that were no text in this locale would break later, in the tokenizer or the PNG."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("expected text in UTF-8") from None
    return text


def parse_seeds(text: str) -> list[int]:
    """Seeds from ranges and lists: "0-3,7,-1" is [0, 1, 2, 3, 7, -1]. Any whole number is a seed, modulo 2**32.

    Raises `UserError` for anything else, and for more than MOST_SEEDS.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(-?\d{1,19})\s*(?:-\s*(-?\d{1,19})\s*)?", part)
        if match is None:
            raise UserError(
                f'--seeds: expected numbers and ranges such as "0-15" or "3,7,-1", got {part!r} in {text!r:.80}'
            )
        first = int(match[1])
        last = int(match[2]) if match[2] is not None else first
        if last < first:
            raise UserError(f"--seeds: expected ranges that rise, got {part.strip()}")
        if last - first + len(seeds) >= MOST_SEEDS:
            raise UserError(f"--seeds: expected at most {MOST_SEEDS} seeds, got {part.strip()}")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    return list(seeds)
