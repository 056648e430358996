"""`glissando data postcards OUT`: write a data set of captioned pictures."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser("data", help="make training data")
    kinds = parser.add_subparsers(title="data sets", metavar="NAME", required=True)
    postcards = kinds.add_parser(
        "postcards",
        help="procedural landscapes with captions",
        description="Write OUT/00000/000000.png and so on, captions beside each. Run again, it goes on.",
    )
    postcards.add_argument("out", metavar="OUT", type=Path, help="a folder, made if it is not there")
    postcards.add_argument("--count", type=int, required=True, metavar="N", help="how many pictures")
    postcards.add_argument("--resolution", type=int, default=64, metavar="R", help="pixels a side (default 64)")
    postcards.add_argument("--seed", type=int, default=0, help="another seed gives other pictures (default 0)")
    postcards.add_argument(
        "--split",
        choices=("train", "heldout", "all"),
        default="train",
        help="which combinations of terrain, time and style (default train)",
    )
    postcards.add_argument("--workers", type=int, default=2, help="processes that draw (default 2)")
    postcards.set_defaults(run=run_postcards)


def run_postcards(args: argparse.Namespace) -> int:
    """Draw the pictures."""
    from training.datasets.postcards import write_dataset

    write_dataset(args.out, args.count, args.resolution, seed=args.seed, split=args.split, workers=args.workers)
    print(f"{args.count} postcards of {args.resolution} x {args.resolution} in {args.out}")
    return 0
