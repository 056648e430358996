"""`glissando bench engine`: how fast this machine renders, against a plain reference in the same run."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser("bench", help="measure this machine")
    kinds = parser.add_subparsers(title="what to measure", metavar="WHAT", required=True)
    engine = kinds.add_parser("engine", help="ms a frame, plain float32 and the fast mode")
    engine.add_argument("checkpoint", metavar="CHECKPOINT", nargs="?", type=Path, help="the bundled one if none")
    engine.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    engine.set_defaults(run=run_engine)


def run_engine(args: argparse.Namespace) -> int:
    """Measure the engine and print a table."""
    raise NotImplementedError
