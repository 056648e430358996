"""`glissando info FILE`: what a checkpoint, a published generator, a picture, a video or a file of directions says
about itself.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.request import LAYER_LIMIT
from core.values import to_json


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser(
        "info", help="what a checkpoint, a published file, a picture or a video says about itself"
    )
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="a checkpoint, .npz, .pkl, .pt, .png, .gif, .mp4, .mov, .mkv, .webm"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what a checkpoint's header, a published file, a picture, a video or a list of vectors holds."""
    from app.media import first_bytes, kind_of

    start = first_bytes(args.file)
    if kind_of(start) is not None:
        values = _picture(args.file)
    elif args.file.suffix.lower() == ".npz":
        values = _vectors(args.file)
    elif _is_published(args.file, start):
        values = _published(args.file)
    else:
        values = _checkpoint(args.file)
    if args.json:
        print(json.dumps(values, indent=2, ensure_ascii=False))
        return 0
    width = max(len(name) for name in values)
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        # Values of several lines, such as a prompt with its parameters, stay in their column.
        print(f"{name:{width}}  " + text.replace("\n", "\n" + " " * (width + 2)))
    return 0


def _is_published(path: Path, start: bytes) -> bool:
    # A safetensors file starts with a length, whose first byte may be a pickle's, and goes on with a brace.
    if start[8:9] == b"{" and start[7:8] == b"\0":
        return False
    return start.startswith((b"\x80", b"PK\x03\x04")) or path.suffix.lower() in (".pkl", ".pt", ".pth")


def _published(path: Path) -> dict[str, Any]:
    from core.checkpoints.importing import describe_published

    return {"file": str(path), "bytes": path.stat().st_size, **describe_published(path)}


def _checkpoint(path: Path) -> dict[str, Any]:
    from core.checkpoints import CheckpointError, read_header

    about: dict[str, Any] = {"file": str(path), "bytes": path.stat().st_size}
    try:
        values = asdict(read_header(path))
    except CheckpointError:
        from core.checkpoints.importing import read_part_header

        part = read_part_header(path)
        if part is None:
            raise
        return about | part
    words = values.pop("vocabulary")
    return {**about, **values, "vocabulary": " ".join(words)}


def _vectors(path: Path) -> dict[str, Any]:
    from core.vectors import load_vectors

    found = load_vectors(path)
    values: dict[str, Any] = {"file": str(path), "checkpoint": found.checkpoint}
    for vector in found.vectors:
        layers = f"layers {vector.first} to {'the last' if vector.stop == LAYER_LIMIT else vector.stop - 1}"
        shape = "x".join(map(str, vector.values.shape))
        values[vector.id] = f"{vector.kind}, {shape}, {layers}" + (f": {vector.note}" if vector.note else "")
    return values


def _picture(path: Path) -> dict[str, Any]:
    from app.media import read_media

    picture = read_media(path)
    values: dict[str, Any] = {"file": str(path), "size": f"{picture.width}x{picture.height}"}
    values["parameters"] = picture.parameters or "none"
    if picture.request is not None:
        values |= {"request": to_json(picture.request), "checkpoint": picture.checkpoint}
    for name in ("scene", "video"):
        if (part := getattr(picture, name)) is not None:
            values[name] = part
    return values
