"""Arguments that several subcommands share, and how they are read."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.classes import one_class
from app.errors import UserError

if TYPE_CHECKING:
    from core.engine import Engine
    from core.model_info import ModelInfo

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
        help="a .safetensors checkpoint or a published .pkl; the bundled one if none",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="auto takes the fastest that is safe on this machine; float32 is the plain model, to the bit",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--centroids",
        type=Path,
        metavar="FILE.npy",
        help="StyleGAN-XL: truncate towards the nearest row (default: NAME.centroids.npy beside the file)",
    )


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """--overwrite, for every command that writes a file which may be there already."""
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there already")


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json FILE and --overwrite, for commands that print figures."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    add_overwrite(parser)


def open_engine(args: argparse.Namespace) -> Engine:
    """The engine that `add_engine_arguments` describes; it knows the directions saved for its checkpoint."""
    from app.vectors import register_saved_vectors
    from core.engine import Engine

    path = checkpoint_path(args)
    engine = Engine.open(path, device=args.device, precision=args.precision, centroids=args.centroids)
    register_saved_vectors(engine, path)
    return engine


def checkpoint_path(args: argparse.Namespace) -> Path:
    """The checkpoint that was named, or the bundled one."""
    from core.checkpoints import bundled_checkpoint

    path: Path | None = args.checkpoint
    return bundled_checkpoint() if path is None else path


def add_subject_arguments(parser: argparse.ArgumentParser, *, several: bool) -> None:
    """--prompt and --class; `several` times each, as stops of a video."""
    text = "the text, for models that take one"
    label = "the class, by number or name, for models that have classes"
    if several:
        parser.add_argument("--prompt", action="append", type=prompt_text, dest="prompts", help=f"a stop: {text}")
        parser.add_argument("--class", action="append", dest="classes", metavar="CLASS", help=f"a stop: {label}")
    else:
        parser.add_argument("--prompt", action=_Once, type=prompt_text, dest="prompts", help=f'{text}; "" is allowed')
        parser.add_argument("--class", action=_Once, dest="classes", metavar="CLASS", help=label)


class _Once(argparse.Action):
    """Keeps the last value, in a list as "append" does."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, [values])


def subjects(args: argparse.Namespace, info: ModelInfo) -> list[dict[str, Any]]:
    """What the pictures are of, one for each stop: the fields of `RenderRequest` that --prompt or --class give.

    Raises `UserError` when the model takes something else than was given.
    """
    given = [name for name, values in (("--prompt", args.prompts), ("--class", args.classes)) if values]
    wanted = {"text": ["--prompt"], "class": ["--class"], "none": []}[info.conditioning]
    if given != wanted:
        takes = {
            "text": "a prompt: give --prompt",
            "class": "a class: give --class",
            "none": "neither prompt nor class",
        }
        got = " and ".join(given) or "neither --prompt nor --class"
        raise UserError(f"{info.name} takes {takes[info.conditioning]}; got {got}")
    if info.conditioning == "class":
        return [{"label": one_class(text, info.class_names, info.classes)} for text in args.classes]
    return [{"prompt": prompt} for prompt in args.prompts or ()] or [{}]


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
