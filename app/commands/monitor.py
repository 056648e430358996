"""`glissando monitor RUN [RUN ...]`: watch runs of the trainer, and tell them what to do."""

from __future__ import annotations

import argparse
from pathlib import Path

from app import display
from app.errors import UserError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser(
        "monitor",
        help="watch training runs: curves, sample grids, commands",
        description="Opens a window on the folders of one or more runs of `glissando train`, whether they go on or "
        "not. Without a display, or with --text, it says where each run stands and ends.",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="a run's folder")
    parser.add_argument("--text", action="store_true", help="a few lines for each run instead of the window")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open the window, or print."""
    from app.monitor.state import MonitorState

    state = MonitorState(args.runs)  # mistakes in the command are told before any window opens
    absent = None if args.text else display.why_no_display()
    if args.text or absent is not None:
        from app.monitor.text import report

        if absent is not None:
            print(f"{absent}: the runs in words instead of a window.")
        print(report(state))
        return 0
    missing = display.missing_libraries()
    if missing:
        raise UserError(display.install_advice(missing))
    try:
        from app.monitor import window
    except ImportError as error:
        library = display.library_in(error)
        if library is None:
            raise
        raise UserError(display.install_advice([library])) from error
    return window.run(state)
