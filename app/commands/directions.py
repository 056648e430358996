"""`glissando directions CHECKPOINT`: finds directions to push pictures along, and saves them for the explorer."""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.classes import one_class
from app.commands.arguments import add_engine_arguments, add_overwrite, checkpoint_path, open_engine, prompt_text
from app.commands.progress import StageBar
from app.errors import UserError
from app.files import check_writable
from core.request import LAYER_LIMIT, SEED_LIMIT

if TYPE_CHECKING:
    from core.checkpoints.importing import Progress
    from core.edit.directions import DirectionModel, FoundDirection
    from core.vectors import Vector

METHODS = ("sefa", "ganspace", "styles", "text")
# Of w it takes milliseconds; of styles, time grows with the square.
SAMPLES = {"sefa": 4000, "ganspace": 4000, "styles": 2000, "text": 16}
SHEET_AMOUNTS = (-2.0, -1.0, 0.0, 1.0, 2.0)
SHEET_PSI = 0.7


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser(
        "directions",
        help="directions to push pictures along: SeFa, GANSpace, or from one text to another",
        description="Find directions in the space of styles and save them where the explorer finds them. sefa: what "
        "the style weights respond to most; ganspace: principal components of w; styles: principal components of the "
        "styles of some layers; text: what --text adds that --minus does not.",
    )
    add_engine_arguments(parser)
    parser.add_argument("--method", choices=METHODS, help="default sefa, or text with --text")
    parser.add_argument("--layers", default="", metavar="0-6", help="which layers, by number (default: all)")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="how many (default %(default)s)")
    parser.add_argument("--samples", type=int, metavar="N", help="how many w to sample (default: by method)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the samples, and of the sheet's picture")
    parser.add_argument("--prompt", type=prompt_text, default="", help="of the samples, for models that take text")
    parser.add_argument("--class", dest="label", metavar="CLASS", help="of the samples (default: a class for each)")
    parser.add_argument("--text", type=prompt_text, help='such as "snowy"')
    parser.add_argument("--minus", type=prompt_text, default="", help='such as "green" (default: no words)')
    parser.add_argument(
        "--template",
        action="append",
        type=prompt_text,
        metavar='"{} hills"',
        help="what the texts stand in; several times for a mean (default: the texts alone)",
    )
    parser.add_argument("--name", default="", help="what to call them; several get numbers")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.npz",
        help="added to this file (default: the explorer's own for this checkpoint)",
    )
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="a row of pictures for each, pushed -2 to 2")
    add_overwrite(parser)
    parser.add_argument(
        "--background",
        action="store_true",
        help="at low priority, with progress as lines of stage, done and total: what the explorer runs",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Find, save, print, and draw the sheet. What does not hang on the model is checked before it is loaded."""
    method = args.method or ("sefa" if args.text is None else "text")
    first, stop = parse_layers(args.layers)
    if (method == "text") != (args.text is not None):
        raise UserError("--text: expected with --method text, and only with it")
    if not 0 <= args.seed < SEED_LIMIT:
        raise UserError(f"--seed: expected 0 to 2**32 - 1, got {args.seed}")
    for path, suffix in ((args.out, ".npz"), (args.sheet, ".png")):
        if path is not None:
            if path.suffix.lower() != suffix:
                raise UserError(f"expected a file that ends in {suffix}, got {path}")
            # What is found is added to --out, which keeps what it has.
            check_writable(path, overwrite=args.overwrite or path is args.out)
    if args.background and hasattr(os, "nice"):
        os.nice(10)

    from app.vectors import keep_for_run, kept_path, read_for
    from core.edit.directions import DirectionModel
    from core.vectors import merged, save_vectors

    with StageBar(in_bytes=("hashing",)) as bar:
        progress: Progress = tell_lines if args.background else bar
        source = DirectionModel.open(checkpoint_path(args), progress)
        label = (
            None if args.label is None else one_class(args.label, _class_names(args, source), source.generator.c_dim)
        )
        found = _find(args, method, source, first, stop, label, progress)
    out = args.out or kept_path(source.sha256)
    before = read_for(out, source.sha256) if out.is_file() and out.stat().st_size else ()
    vectors = merged(before, [one.vector for one in found])
    save_vectors(out, vectors, source.sha256)
    if args.out is None:
        keep_for_run(checkpoint_path(args), [one.vector for one in found])
    # As they are called there: a taken name gets a number, and what was there keeps its name.
    by_digest = {vector.digest: vector for vector in vectors}
    named = tuple(by_digest[one.vector.digest] for one in found)
    width = max(len(vector.name) for vector in named)
    print(named[0].note.replace("component 1 ", "components ") if len(named) > 1 else named[0].note)
    print(f"{'name':{width}}   share  length  id")
    for one, vector in zip(found, named, strict=True):
        length = float((vector.values**2).sum() ** 0.5)
        print(f"{vector.name:{width}}  {one.share:6.1%}  {length:6.2f}  {vector.id}")
    print(f"{len(found)} saved to {out}, which has {len(vectors)} now")
    if args.sheet is not None:
        del source
        _draw_sheet(args, named, label or 0)
    return 0


def _find(
    args: argparse.Namespace,
    method: str,
    source: DirectionModel,
    first: int,
    stop: int,
    label: int | None,
    progress: Progress,
) -> tuple[FoundDirection, ...]:
    from core.edit.directions import Sampling, ganspace, ganspace_styles, sefa, text_direction

    samples = SAMPLES[method] if args.samples is None else args.samples
    if method == "text":
        one = text_direction(
            source,
            args.text,
            args.minus,
            templates=args.template or ("{}",),
            samples=samples,
            seed=args.seed,
            first=first,
            stop=stop,
            name=args.name,
            progress=progress,
        )
        return (one,)
    sampling = Sampling(samples=samples, seed=args.seed, prompt=args.prompt, label=label)
    compute = {"sefa": sefa, "ganspace": ganspace, "styles": ganspace_styles}[method]
    default = {"sefa": "sefa", "ganspace": "pca", "styles": "styles"}[method]
    name = args.name or (f"{default} {args.layers}" if args.layers else default)
    return compute(source, sampling, first=first, stop=stop, count=args.count, name=name, progress=progress)


def _class_names(args: argparse.Namespace, source: DirectionModel) -> tuple[str, ...]:
    from core.checkpoints import CheckpointError, read_header
    from core.engine import class_names

    if source.generator.conditioning != "class":
        raise UserError(f"--class: {source.name} has no classes")
    try:
        names = read_header(checkpoint_path(args)).class_names
    except CheckpointError:
        names = ()  # a published file's header is in its import
    return class_names(names, source.generator.c_dim)


def _draw_sheet(args: argparse.Namespace, vectors: tuple[Vector, ...], label: int) -> None:
    """A row a direction, pushed by -2 to 2 times its scale, each from the same picture."""
    from app.images import contact_sheet, save_png
    from core.request import Push, RenderRequest

    engine = open_engine(args)
    prompt = args.prompt
    if not prompt and args.text is not None:
        prompt = (args.template or ["{}"])[0].replace("{}", args.minus)
    frames, labels = [], []
    for vector in vectors:
        engine.register({vector.id: vector.values})
        labels.append(vector.name)
        for amount in SHEET_AMOUNTS:
            push = Push(direction=vector.id, amount=amount * vector.scale, first=vector.first, stop=vector.stop)
            place = RenderRequest(prompt=prompt, label=label, seed_x=float(args.seed), psi=SHEET_PSI, pushes=(push,))
            frames.append(engine.render(place))
    sheet = contact_sheet([frame.pixels for frame in frames], columns=len(SHEET_AMOUNTS), labels=labels)
    save_png(args.sheet, replace(frames[0], pixels=sheet), engine.info)
    print(f"sheet in {args.sheet}: each row from -2 to 2 times its scale")


def parse_layers(text: str) -> tuple[int, int]:
    """ "0-6" is (0, 7), "3" is (3, 4), "" all. Raises `UserError` for anything else."""
    match = re.fullmatch(r"\s*(?:(\d{1,3})\s*(?:-\s*(\d{1,3})\s*)?)?", text)
    if match is not None:
        if match[1] is None:
            return 0, LAYER_LIMIT
        first = int(match[1])
        last = int(match[2]) if match[2] is not None else first
        if first <= last < LAYER_LIMIT:
            return first, last + 1
    raise UserError(f'--layers: expected a range such as "0-6", of numbers below {LAYER_LIMIT}, got {text!r:.80}')


def tell_lines(stage: str, done: int, total: int) -> None:
    """Progress for another program."""
    sys.stdout.write(f"progress\t{stage}\t{done}\t{total}\n")
    sys.stdout.flush()
