"""`glissando evaluate postcards CHECKPOINT`: does the picture show what the caption says?"""

from __future__ import annotations

import argparse
from pathlib import Path

from app.commands.progress import StageBar
from app.files import check_writable, write_json


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser("evaluate", help="measure a checkpoint")
    kinds = parser.add_subparsers(title="evaluations", metavar="NAME", required=True)
    postcards = kinds.add_parser(
        "postcards", help="accuracy by attribute, swaps, variety and FID, for a checkpoint trained on Postcards"
    )
    postcards.add_argument("checkpoint", metavar="CHECKPOINT", type=Path)
    postcards.add_argument("--captions", type=int, default=2048, metavar="N", help="how many (default 2048)")
    postcards.add_argument(
        "--classifier",
        type=Path,
        metavar="FILE",
        help="judge with one of `glissando train classifier` (default: bundled)",
    )
    postcards.add_argument("--seed", type=int, default=0, help="another seed draws other captions (default 0)")
    postcards.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    postcards.set_defaults(run=run_postcards)


def run_postcards(args: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    if args.json is not None:
        check_writable(args.json)

    from training.metrics.postcards_eval import evaluate, format_table

    with StageBar() as progress:
        figures = evaluate(
            args.checkpoint, captions=args.captions, classifier=args.classifier, seed=args.seed, progress=progress
        )
    print(format_table(figures))
    if args.json is not None:
        write_json(args.json, figures)
    return 0
