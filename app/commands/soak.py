"""`glissando soak`: random actions in the explorer for some minutes, watched for errors."""

from __future__ import annotations

import argparse
from pathlib import Path

from app import display
from app.errors import UserError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser(
        "soak",
        help="random actions in the explorer for some minutes, watched for errors",
        description="Lets a seeded monkey at the explorer's widgets, with settings and files of its own. It fails on "
        "any error that is not said to the person, on memory that grows by more than 5 % after a warm-up of a quarter "
        "of the time (two minutes at least; shorter soaks do not judge it), and where the scene is not what a replay "
        "of its history gives.",
    )
    parser.add_argument("checkpoint", metavar="FILE", nargs="?", type=Path, help="the bundled one if none")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="which actions (default 0)")
    parser.add_argument(
        "--headless", action="store_true", help="without a display: widgets answer, but nothing is drawn"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Soak, print the report; the exit code is 1 when something was found."""
    if not 0 < args.minutes <= 24 * 60:
        raise UserError(f"--minutes: expected a number above 0, at most {24 * 60}, got {args.minutes:g}")
    if not args.headless:
        absent = display.why_no_display()
        if absent is not None:
            raise UserError(f"{absent}; use --headless")
        missing = display.missing_libraries()
        if missing:
            raise UserError(display.install_advice(missing))
    from app.soak import soak

    report = soak(args.minutes, args.seed, headless=args.headless, checkpoint=args.checkpoint)
    print(
        f"{report.minutes:g} minutes, seed {report.seed}: {report.actions} actions in {report.frames} frames, "
        f"{report.steps} edits, {report.messages} messages"
    )
    if report.start_mib:
        memory = f"{report.start_mib:.0f} MiB after the warm-up, {report.end_mib:.0f} at the end"
        print(f"memory: {memory}, {report.growth:+.1%}")
    for problem in report.problems:
        print(f"PROBLEM: {problem}")
    print("found nothing" if not report.problems else f"found {len(report.problems)} problems")
    return 1 if report.problems else 0
