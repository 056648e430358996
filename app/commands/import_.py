"""`glissando import FILE_OR_URL`: a published generator becomes a checkpoint."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.commands.arguments import add_overwrite
from app.commands.progress import StageBar
from app.errors import UserError
from app.files import check_new


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser(
        "import",
        help="a published StyleGAN file becomes a checkpoint",
        description="Read a published .pkl (StyleGAN2, StyleGAN3, StyleGAN-T) or a state dict (.pt) without running "
        "anything in it, and write a checkpoint. A file that was imported before is known again.",
    )
    parser.add_argument("source", metavar="FILE_OR_URL", help="a file, or an http(s) address to download")
    parser.add_argument("--out", type=Path, metavar="X.safetensors", help="a new file (default: in the cache folder)")
    parser.add_argument(
        "--part", choices=("G_ema", "D"), default="G_ema", help="D writes the discriminator's tensors alone, to --out"
    )
    add_overwrite(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Download if need be, import, and print what came of it."""
    if args.part == "D" and args.out is None:
        raise UserError("--out: expected a file to write the discriminator to, got none")
    if args.out is not None:
        check_new(args.out, overwrite=args.overwrite)
        if args.out.exists() and args.out.resolve() == Path(args.source).resolve():
            raise UserError(f"--out {args.out}: expected another file than the one to import")
    from core.cache import cache_folder
    from core.checkpoints.importing import export_part, import_file

    with StageBar(in_bytes=("downloading", "hashing")) as bar:
        path = _local(args.source, cache_folder() / "downloads", bar)
        if args.part == "D":
            values: dict[str, Any] = {
                "path": str(args.out),
                **export_part(path, "D", args.out, overwrite=args.overwrite, progress=bar),
            }
        else:
            report = import_file(path, args.out, overwrite=args.overwrite, progress=bar)
            values = asdict(report) | {"path": str(report.path)}
    print(json.dumps(values, indent=2, ensure_ascii=False) if args.json else _lines(values))
    return 0


def _local(source: str, downloads: Path, bar: StageBar) -> Path:
    from app.downloads import download, is_url

    return download(source, downloads, bar) if is_url(source) else Path(source)


def _lines(values: dict[str, Any]) -> str:
    """A name and its value a line; what is empty is left out."""
    if "size" in values:
        height, width = values["size"]
        values = values | {"size": f"{width}x{height}", "parameters": f"{values['parameters'] / 1e6:.1f} M"}
    width = max(map(len, values))
    lines = []
    for name, value in values.items():
        if isinstance(value, bool):
            value = "yes" if value else ""
        text = ", ".join(value) if isinstance(value, list | tuple) else str(value)
        if text and text != "0":
            lines.append(f"{name:{width}}  {text}")
    return "\n".join(lines)
