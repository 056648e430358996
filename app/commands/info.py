"""`glissando info FILE`: what a checkpoint or a saved picture says about itself."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.errors import UserError, reason

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser("info", help="what a checkpoint or a saved picture says about itself")
    parser.add_argument("file", metavar="FILE", type=Path, help="a .safetensors checkpoint or a .png")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the header of a checkpoint, or the metadata of a PNG."""
    values = _picture(args.file) if _is_png(args.file) else _checkpoint(args.file)
    if args.json:
        print(json.dumps(values, indent=2, ensure_ascii=False))
        return 0
    width = max(len(name) for name in values)
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        # Values of several lines, such as a prompt with its parameters, stay in their column.
        print(f"{name:{width}}  " + text.replace("\n", "\n" + " " * (width + 2)))
    return 0


def _is_png(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(PNG_SIGNATURE)) == PNG_SIGNATURE
    except IsADirectoryError:
        raise UserError(f"{path}: expected a checkpoint or a picture, got a folder") from None
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"{path}: cannot read it: {why}") from error


def _checkpoint(path: Path) -> dict[str, Any]:
    from core.checkpoints import read_header

    values = asdict(read_header(path))
    words = values.pop("vocabulary")
    return {"file": str(path), "bytes": path.stat().st_size, **values, "vocabulary": " ".join(words)}


def _picture(path: Path) -> dict[str, Any]:
    from app.images import read_png

    picture = read_png(path)
    values: dict[str, Any] = {"file": str(path), "size": f"{picture.width}x{picture.height}"}
    values["parameters"] = picture.parameters or "none"
    if picture.request is not None:
        values |= {"request": asdict(picture.request), "checkpoint": picture.checkpoint}
    return values
