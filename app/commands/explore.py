"""`glissando explore [FILE | RUN]`: open the window, or where there is none, show what the model does in files."""

from __future__ import annotations

import argparse
from pathlib import Path

from app import display
from app.errors import UserError
from app.runs import LATEST, LOG, is_run

HEADLESS_FOLDER = Path("glissando-out")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser("explore", help="open the explorer window (the default)")
    parser.add_argument(
        "checkpoint",
        metavar="FILE",
        nargs="?",
        type=Path,
        help="a .safetensors checkpoint or a published .pkl; the bundled one if none. The folder of a training run is "
        "followed: each new snapshot is shown by itself",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open the window; without a display write a demonstration to ./glissando-out/ instead."""
    folder = args.checkpoint if args.checkpoint is not None and args.checkpoint.is_dir() else None
    if folder is not None and not is_run(folder):
        raise UserError(
            f"{folder}: expected a checkpoint, or the folder of a training run, which holds {LOG}; got another folder"
        )
    absent = display.why_no_display()
    if absent is not None:
        print(f"{absent}: writing a video and a contact sheet to ./{HEADLESS_FOLDER}/ instead of opening a window.")
        return _demonstrate(args.checkpoint if folder is None else folder / LATEST)
    missing = display.missing_libraries()
    if missing:
        raise UserError(display.install_advice(missing))
    try:
        from app.explorer import window
    except ImportError as error:
        library = display.library_in(error)
        if library is None:
            raise
        raise UserError(display.install_advice([library])) from error
    return window.run(args.checkpoint)


def _demonstrate(checkpoint: Path | None) -> int:
    from app.demonstration import demonstrate
    from core.checkpoints import bundled_checkpoint

    for path in demonstrate(checkpoint or bundled_checkpoint(), HEADLESS_FOLDER):
        print(path)
    return 0
