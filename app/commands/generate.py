"""`glissando generate`: one PNG a seed of one prompt or class, and a contact sheet of them."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands.arguments import (
    NOISES,
    add_engine_arguments,
    add_overwrite,
    add_subject_arguments,
    open_engine,
    parse_seeds,
    subjects,
)
from app.errors import UserError, reason
from app.files import free_paths

if TYPE_CHECKING:
    from core.request import Frame

# The sheet keeps its pictures in memory; beyond this many nobody looks at them on one page.
SHEET_LIMIT = 1024


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser(
        "generate",
        help="pictures of one prompt or class, one per seed, and a contact sheet",
        description="Write DIR/seedNNNN.png for each seed, and DIR/sheet.png, with a number behind the names "
        "where some are there already. A PNG says how it was made.",
    )
    add_engine_arguments(parser)
    add_subject_arguments(parser, several=False)
    parser.add_argument("--seeds", default="0-15", help="ranges and lists: 0-3,7,-1 (default %(default)s)")
    parser.add_argument("--psi", type=float, default=1.0, help="truncation: 1 is none, 0 the average (default 1)")
    parser.add_argument("--noise", choices=NOISES, default="const", help="per-pixel noise (default %(default)s)")
    parser.add_argument("--noise-seed", type=int, default=0, metavar="N", help="which noise, for --noise random")
    parser.add_argument("--out", type=Path, default=Path("glissando-out"), metavar="DIR", help="default %(default)s")
    add_overwrite(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render every seed and write the files. What does not hang on the model is checked before it is loaded."""
    from core.request import SEED_LIMIT, RenderRequest

    seeds = parse_seeds(args.seeds)
    requests = [
        RenderRequest(seed_x=seed % SEED_LIMIT, psi=args.psi, noise=args.noise, noise_seed=args.noise_seed)
        for seed in seeds
    ]
    engine = open_engine(args)
    (subject,) = subjects(args, engine.info)
    _make_folder(args.out)
    # Numbered together, so that one run's files are seen to belong together.
    plain = [*(args.out / f"seed{seed:04d}.png" for seed in seeds), args.out / "sheet.png"]
    *paths, sheet_path = plain if args.overwrite else free_paths(plain)

    from tqdm import tqdm

    from app.images import contact_sheet, save_png

    frames: list[Frame] = []
    for path, request in zip(paths, tqdm(requests, unit="picture", disable=None), strict=True):
        frame = engine.render(replace(request, **subject))
        save_png(path, frame, engine.info)
        if len(frames) < SHEET_LIMIT:
            frames.append(frame)
    sheet = contact_sheet([frame.pixels for frame in frames])
    save_png(sheet_path, replace(frames[0], pixels=sheet), engine.info)
    print(f"{len(seeds)} pictures and {sheet_path.name} in {args.out}")
    if sheet_path != plain[-1]:
        print(f"Others are there already: these are {paths[0].name} and so on; --overwrite would replace them.")
    if len(seeds) > SHEET_LIMIT:
        print(f"The sheet shows the first {SHEET_LIMIT}.")
    return 0


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {path}: expected a folder that can be written, got: {reason(error)}") from error
