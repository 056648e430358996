"""`glissando data`: check pictures for training, make shards of them, or draw some."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands.arguments import add_json
from app.errors import UserError
from app.files import check_writable, free_path, write_json

if TYPE_CHECKING:
    from training.datasets.config import DataConfig, SourceSpec

SHEET = Path("data-check.png")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser("data", help="check and make training data")
    kinds = parser.add_subparsers(title="what to do", metavar="WHAT", required=True)
    check = kinds.add_parser(
        "check",
        help="what data hold, before a run finds out",
        description="Reads every picture: counts, captions, classes, sizes, broken ones, duplicates; a contact sheet.",
    )
    add_places(check)
    check.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="the contact sheet to write (default data-check.png, with a number where that is taken)",
    )
    add_json(check)
    check.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="look at every N-th portion only: 64 pictures, or a shard (default 1, all)",
    )
    check.set_defaults(run=run_check)

    build = kinds.add_parser(
        "build",
        help="WebDataset shards of any data",
        description="Write OUT/00000.tar and so on, shuffled, and index.json. Run again, it goes on.",
    )
    add_places(build)
    build.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder, made if it is not there")
    build.add_argument(
        "--resolution",
        type=int,
        default=0,
        metavar="R",
        help="cut square and resize (default: keep the files as they are)",
    )
    build.add_argument("--resize", choices=("area", "lanczos"), default="area", help="how (default area)")
    build.add_argument(
        "--jpeg", type=int, default=0, metavar="QUALITY", help="write resized pictures as JPEG (default: PNG, lossless)"
    )
    build.add_argument("--pictures", type=int, default=1000, metavar="N", help="in a shard (default 1000)")
    build.add_argument("--seed", type=int, default=0, help="another seed shuffles otherwise (default 0)")
    build.set_defaults(run=run_build)

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

    stickers = kinds.add_parser(
        "stickers",
        help="emoji art in several manners, recoloured and composed, with captions",
        description="Write OUT/00000/000000.png and so on, captions beside each, and the latents that determine them. "
        "Run again, it goes on.",
    )
    stickers.add_argument("out", metavar="OUT", type=Path, nargs="?", help="a folder, made if it is not there")
    stickers.add_argument(
        "--art",
        type=Path,
        metavar="DIR",
        help="where the art packages lie; without it, print the line that brings them",
    )
    stickers.add_argument("--count", type=int, default=60_000, metavar="N", help="how many pictures (default 60000)")
    stickers.add_argument("--resolution", type=int, default=64, metavar="R", help="pixels a side (default 64)")
    stickers.add_argument("--seed", type=int, default=0, help="another seed gives other pictures (default 0)")
    stickers.add_argument(
        "--split",
        choices=("train", "heldout", "all"),
        default="train",
        help="which pairs of concept and manner or colour (default train)",
    )
    stickers.add_argument("--workers", type=int, default=2, help="processes that draw (default 2)")
    stickers.set_defaults(run=run_stickers)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Where pictures come from, and how many processes read them."""
    parser.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="a folder of captioned pictures, a .zip, shards ({00000..00099}.tar or http://...), or a file of captions",
    )
    _add_reading(parser)
    parser.add_argument("--workers", type=int, default=2, help="processes that read (default 2)")


def _add_reading(parser: argparse._ActionsContainer) -> None:
    """How captions and classes are read."""
    parser.add_argument("--template", metavar="TEXT", help="captions for folders of classes, such as 'a photo of a {}'")
    parser.add_argument("--caption-column", metavar="NAME", help="the column or key of metadata files with captions")
    parser.add_argument("--label-column", metavar="NAME", help="the column or key of metadata files with classes")


READING = ("template", "caption_column", "label_column")
"""Names of the arguments of `_add_reading`."""


def _specs(args: argparse.Namespace) -> list[SourceSpec]:
    """The sources that the arguments name. Raises `DataError`."""
    from training.datasets.config import SourceSpec

    reading = {name: value for name in READING if (value := getattr(args, name)) is not None}
    return [SourceSpec.parse(place, **reading) for place in args.data]


def add_drawing(parser: argparse.ArgumentParser) -> None:
    """Which data a run draws from, and how their pictures are cut."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data",
        action="append",
        metavar="DATA[=WEIGHT]",
        help="captioned pictures: a folder, a .zip, shards ({00000..00099}.tar or http://...), or a file of captions; "
        "may be given again. One of weight 2 has each of its pictures drawn twice as often as one of weight 1",
    )
    _add_reading(group)
    group.add_argument(
        "--crop", choices=("centre", "random"), help="the square of a picture that is not (default centre)"
    )
    group.add_argument("--mirror", action="store_true", help="mirror half of the pictures, chosen anew each time")
    group.add_argument("--resize", choices=("area", "lanczos"), help="how pictures are made smaller (default area)")
    group.add_argument("--workers", type=int, metavar="N", help="processes that decode what is not small (default 2)")
    group.add_argument("--lanes", type=int, metavar="N", help="shards read side by side by all ranks (default 16)")
    group.add_argument(
        "--text-cache", action="store_true", help="work out the text embeddings of all captions once, and keep them"
    )


DRAWING = ("data", *READING, "crop", "mirror", "resize", "workers", "lanes", "text_cache")
"""Names of the arguments of `add_drawing`."""


def data_config(args: argparse.Namespace, usual: DataConfig | None = None) -> DataConfig | None:
    """What `add_drawing` asked for, and `usual` where it did not; None without any data. Raises `DataError`."""
    from training.datasets.config import DataConfig

    if args.template is not None and not args.data:
        raise UserError("--template: is for the folders of classes that --data names; name them")
    for name in READING[1:]:
        if getattr(args, name) is not None and not args.data:
            raise UserError(f"--{name.replace('_', '-')}: is for the metadata files of what --data names; name it")
    given: dict[str, Any] = {
        name: getattr(args, name) for name in DRAWING if name not in ("data", *READING) and getattr(args, name)
    }
    if args.workers is not None:
        given["workers"] = args.workers
    if args.data:
        given["sources"] = tuple(_specs(args))
    if usual is None:
        return DataConfig(**given) if args.data else None
    return replace(usual, **given)


def run_check(args: argparse.Namespace) -> int:
    """Read everything and report."""
    sheet: Path = args.sheet or (SHEET if args.overwrite else free_path(SHEET))
    check_writable(sheet, overwrite=args.overwrite)
    if args.json is not None:
        check_writable(args.json, overwrite=args.overwrite)

    from app.images import contact_sheet, write_png
    from training.datasets.check import Check, describe, printable

    check = Check(_specs(args), every=args.every)
    report = check.run(workers=args.workers)
    print(describe(report))
    if check.tiles:
        captions = [printable(caption[:80]) for _, caption in check.tiles]
        write_png(sheet, contact_sheet([tile for tile, _ in check.tiles], captions=captions))
        print(f"contact sheet {sheet}")
    if args.json is not None:
        write_json(args.json, report.to_json())
    if not report.usable:
        raise UserError("there is no picture that a run could use")
    return 0


def run_build(args: argparse.Namespace) -> int:
    """Write shards."""
    from training.datasets.build import BuildConfig, build

    config = BuildConfig(
        resolution=args.resolution, resize=args.resize, quality=args.jpeg, pictures=args.pictures, seed=args.seed
    )
    built = build(_specs(args), args.out, config, workers=args.workers)
    lacking = {"captions": "broken or without a caption", "classes": "broken or without a class", "none": "broken"}
    left_out = f" ({built.left_out} {lacking[built.condition]} left out)" if built.left_out else ""
    print(f"{built.pictures} pictures in {built.shards} shards in {args.out}{left_out}")
    return 0


def run_postcards(args: argparse.Namespace) -> int:
    """Draw the pictures."""
    from training.datasets.postcards import write_dataset

    write_dataset(args.out, args.count, args.resolution, seed=args.seed, split=args.split, workers=args.workers)
    print(f"{args.count} postcards of {args.resolution} x {args.resolution} in {args.out}")
    return 0


def run_stickers(args: argparse.Namespace) -> int:
    """Compose the pictures, or say how to get the art."""
    from training.datasets.stickers import install_line, write_dataset

    if args.out is None or args.art is None:
        line = f"in an empty folder, run: {install_line()} (then: glissando data stickers OUT --art THAT_FOLDER)"
        if args.out is None and args.art is None:
            print(f"The art is not part of Glissando. To fetch it, {line}")
            return 0
        missing = "OUT, the folder to write" if args.out is None else "--art DIR, the folder with the art packages"
        raise UserError(f"expected {missing}. To fetch the art, {line}")
    write_dataset(
        args.out, args.art, args.count, args.resolution, seed=args.seed, split=args.split, workers=args.workers
    )
    print(f"{args.count} stickers of {args.resolution} x {args.resolution} in {args.out}")
    return 0
