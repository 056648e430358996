"""`glissando evaluate`: how good a checkpoint is, by a classifier of Postcards or against real pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands.arguments import NOISES, PRECISIONS, add_json, add_overwrite
from app.commands.progress import StageBar
from app.errors import UserError, reason
from app.files import check_writable, free_paths, write_json

if TYPE_CHECKING:
    from training.datasets.config import DataConfig
    from training.metrics.quality import QualityConfig

# As `training.metrics.quality` has them; said again here because importing it would import torch.
_METRICS = "fid, kid, precision, recall, clip, ppl, is, sfid, rfid, eqt, eqt_frac, eqr"
_FEATURES = (
    "inception[=FILE] (the default, for figures that compare with published ones), dino[=FILE], dinov2[=FILE], "
    "timm:MODEL[=FILE], open_clip:MODEL/TAG[=FILE], clip=RUN, or classifier[=FILE] (for Postcards)"
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser("evaluate", help="measure a checkpoint")
    kinds = parser.add_subparsers(title="evaluations", metavar="NAME", required=True)
    postcards = kinds.add_parser(
        "postcards", help="accuracy by attribute, swaps, variety and FID, for a checkpoint trained on Postcards"
    )
    postcards.add_argument("checkpoint", metavar="CHECKPOINT", type=Path)
    postcards.add_argument("--captions", type=int, default=2048, metavar="N", help="how many (default 2048)")
    postcards.add_argument(
        "--classifier",
        type=Path,
        metavar="FILE",
        help="judge with one of `glissando train classifier` (default: bundled)",
    )
    postcards.add_argument("--seed", type=int, default=0, help="another seed draws other captions (default 0)")
    add_json(postcards)
    postcards.set_defaults(run=run_postcards)

    stickers = kinds.add_parser(
        "stickers", help="accuracy by attribute, swaps, synonyms, variety and FID, for a checkpoint trained on Stickers"
    )
    stickers.add_argument("checkpoint", metavar="CHECKPOINT", type=Path)
    stickers.add_argument(
        "--art", type=Path, required=True, metavar="DIR", help="the art packages (see `glissando data stickers`)"
    )
    stickers.add_argument("--captions", type=int, default=2048, metavar="N", help="how many (default 2048)")
    stickers.add_argument(
        "--classifier",
        type=Path,
        metavar="FILE",
        help="judge with one of `glissando train classifier --art DIR` (default: bundled)",
    )
    stickers.add_argument(
        "--data", type=Path, metavar="DIR", help="the training pictures: show those nearest to generated ones"
    )
    stickers.add_argument(
        "--sheet", type=Path, default=Path("nearest.png"), metavar="FILE", help="where to (default nearest.png)"
    )
    stickers.add_argument("--seed", type=int, default=0, help="another seed draws other captions (default 0)")
    add_json(stickers)
    stickers.set_defaults(run=run_stickers)

    quality = kinds.add_parser(
        "quality",
        help="FID, KID, precision, recall, CLIP score and path length, against real pictures",
        description="Compare a checkpoint's pictures with real ones. docs/evaluation.md says what each figure means.",
    )
    _add_data(quality)
    quality.add_argument(
        "--metrics", default="fid,kid,precision,recall", metavar="A,B", help=f"some of {_METRICS} (default %(default)s)"
    )
    _add_common(quality)
    quality.add_argument(
        "--ppl-distance",
        default="lpips",
        metavar="NAME",
        help="of the path length: lpips[=DIR], or features for that in --features (default %(default)s)",
    )
    quality.add_argument("--psi", type=float, default=1.0, help="truncation (default 1: none)")
    quality.set_defaults(run=run_quality)

    curve = kinds.add_parser(
        "curve",
        help="FID against CLIP score as psi goes, as a plot",
        description="Draw the same captions and seeds at several psi. Writes curve.png, curve.svg and curve.json, "
        "with a number where they are there already.",
    )
    _add_data(curve)
    curve.add_argument(
        "--psi", default="0.2,0.4,0.6,0.7,0.8,0.9,1", metavar="A,B", help="at least two (default %(default)s)"
    )
    curve.add_argument("--out", type=Path, default=Path("."), metavar="DIR", help="where to write (default: here)")
    _add_common(curve, json=False)
    add_overwrite(curve)
    curve.set_defaults(run=run_curve)

    coco = kinds.add_parser(
        "coco",
        help="the zero-shot COCO protocol: FID and CLIP score on captions of COCO",
        description="For those who have COCO: 30,000 captions, pictures cropped to their middle square, 256 pixels.",
    )
    coco.add_argument("checkpoint", metavar="CHECKPOINT", type=Path)
    coco.add_argument("--images", type=Path, required=True, metavar="DIR", help="COCO's pictures, such as val2014")
    coco.add_argument(
        "--captions", type=Path, required=True, metavar="FILE.json", help="such as annotations/captions_val2014.json"
    )
    coco.add_argument("--size", type=int, default=256, help="pixels a side; 64 for 64-pixel figures (default 256)")
    _add_common(coco, pictures=30_000)
    coco.set_defaults(run=run_coco)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="a .safetensors or a published .pkl")
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="DATA[=WEIGHT]",
        help="real pictures: a folder, a .zip, shards ({00000..00099}.tar or http://...), or a file of captions; with "
        "captions as for training where the generator takes text; may be given again, mixed as for training",
    )


def _add_common(parser: argparse.ArgumentParser, *, pictures: int = 10_000, json: bool = True) -> None:
    parser.add_argument("--features", default="inception", metavar="NETWORK", help=f"one of {_FEATURES}")
    parser.add_argument(
        "--clip",
        metavar="NETWORK",
        help="the CLIP score's: open_clip:MODEL/TAG[=FILE] or clip=RUN "
        "(default open_clip:ViT-g-14/laion2b_s12b_b42k, as in the StyleGAN-T paper)",
    )
    parser.add_argument(
        "--pictures", type=int, default=pictures, metavar="N", help="how many to generate (default %(default)s)"
    )
    parser.add_argument(
        "--reals", type=int, default=50_000, metavar="N", help="at most so many real ones (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed draws others (default 0)")
    parser.add_argument("--noise", choices=NOISES, default="const", help="per-pixel noise (default %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="of the generator (default %(default)s)"
    )
    if json:
        add_json(parser)


def _config(args: argparse.Namespace, **chosen: Any) -> QualityConfig:
    """What the common arguments say."""
    from training.metrics.quality import QualityConfig

    names = ("features", "pictures", "reals", "seed", "noise", "device", "precision")
    judge = {} if args.clip is None else {"clip": args.clip}
    return QualityConfig(**{name: getattr(args, name) for name in names}, **judge, **chosen)


def _reals(args: argparse.Namespace) -> DataConfig:
    """What --data says."""
    from training.datasets.config import DataConfig, SourceSpec

    return DataConfig(sources=tuple(SourceSpec.parse(place) for place in args.data))


def run_postcards(args: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    if args.json is not None:
        check_writable(args.json, overwrite=args.overwrite)

    from training.metrics.postcards_eval import evaluate, format_table

    with StageBar() as progress:
        figures = evaluate(
            args.checkpoint, captions=args.captions, classifier=args.classifier, seed=args.seed, progress=progress
        )
    print(format_table(figures))
    if args.json is not None:
        write_json(args.json, figures)
    return 0


def run_stickers(args: argparse.Namespace) -> int:
    """Evaluate, print the table, and show the nearest training pictures."""
    if args.json is not None:
        check_writable(args.json, overwrite=args.overwrite)
    if args.data is not None:
        check_writable(args.sheet, overwrite=args.overwrite)

    from app.images import contact_sheet, write_png
    from training.metrics.stickers_eval import evaluate, format_table

    with StageBar() as progress:
        figures, nearest = evaluate(
            args.checkpoint,
            args.art,
            captions=args.captions,
            classifier=args.classifier,
            data=args.data,
            seed=args.seed,
            progress=progress,
        )
    print(format_table(figures))
    if args.json is not None:
        write_json(args.json, figures)
    if nearest is not None:
        write_png(args.sheet, contact_sheet(nearest.side_by_side(), captions=nearest.prompts))
        print(f"generated pictures, each with the training picture nearest to it: {args.sheet}")
    return 0


def run_quality(args: argparse.Namespace) -> int:
    """Measure and print the table."""
    if args.json is not None:
        check_writable(args.json, overwrite=args.overwrite)

    from training.metrics.quality import evaluate_quality, format_table

    metrics = tuple(name.strip() for name in args.metrics.split(","))
    config = _config(args, metrics=metrics, psi=args.psi, ppl_distance=args.ppl_distance)
    with StageBar() as progress:
        figures = evaluate_quality(args.checkpoint, _reals(args), config, progress=progress)
    print(format_table(figures))
    if args.json is not None:
        write_json(args.json, figures)
    return 0


def run_curve(args: argparse.Namespace) -> int:
    """Measure each psi, print the table and write the plot."""
    try:
        psis = [float(part) for part in args.psi.split(",")]
    except ValueError:
        raise UserError(f"--psi: expected numbers between commas, got {args.psi!r}") from None
    files = {suffix: args.out / f"curve.{suffix}" for suffix in ("json", "svg", "png")}
    if not args.overwrite:
        files = dict(zip(files, free_paths(list(files.values())), strict=True))
    for path in files.values():
        check_writable(path, overwrite=args.overwrite)

    from training.metrics.curve import evaluate_curve, format_curve
    from training.metrics.plot import curve_drawing, write_png, write_svg

    with StageBar() as progress:
        figures = evaluate_curve(args.checkpoint, _reals(args), _config(args), psis=psis, progress=progress)
    print(format_curve(figures))
    drawing = curve_drawing(figures["curve"], f"{args.checkpoint.stem}, {args.pictures} pictures")
    write_json(files["json"], figures)
    try:
        write_svg(files["svg"], drawing)
        write_png(files["png"], drawing)
    except OSError as error:
        raise UserError(f"{args.out}: cannot write the plot: {reason(error)}; choose another place") from error
    print(f"{', '.join(path.name for path in files.values())} in {args.out}")
    return 0


def run_coco(args: argparse.Namespace) -> int:
    """Measure and print the table."""
    if args.json is not None:
        check_writable(args.json, overwrite=args.overwrite)

    from training.metrics.coco import COCO_METRICS, evaluate_coco
    from training.metrics.quality import format_table

    config = _config(args, metrics=COCO_METRICS)
    with StageBar() as progress:
        figures = evaluate_coco(args.checkpoint, args.images, args.captions, config, size=args.size, progress=progress)
    print(format_table(figures))
    if args.json is not None:
        write_json(args.json, figures)
    return 0
