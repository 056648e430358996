"""`glissando train`: a CLIP, a GAN, and the classifier that judges postcards."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from app.commands.arguments import add_overwrite
from app.commands.data import DRAWING, add_drawing, data_config
from app.commands.progress import StageBar
from app.errors import UserError
from app.files import cannot_write, check_writable
from app.runs import CONFIG, LOG, holder_of, is_run
from core.run_control import ACTIONS, SETTINGS, ControlError, send

DEFAULT_METHOD = "stylegan-t"
DEFAULT_RECIPE = "postcards"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser("train", help="train a model on a folder of captioned pictures")
    kinds = parser.add_subparsers(title="what to train", metavar="WHAT", required=True)

    clip = kinds.add_parser("clip", help="a small CLIP, which a GAN run needs")
    _add_recipe(clip)
    clip.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="captioned pictures: a folder, a .zip or a file of captions",
    )
    clip.add_argument("--out", type=Path, required=True, metavar="CLIP_RUN", help="the run's folder")
    clip.add_argument("--steps", type=int, metavar="N", help="how long, in batches (default: the recipe's)")
    clip.add_argument("--resume", action="store_true", help="go on with the run in --out")
    clip.set_defaults(run=run_clip, alone=True)

    gan = kinds.add_parser(
        "gan",
        help="a GAN, of the method that --method names",
        description="Start with --recipe and --data; go on with --resume RUN. Ctrl-C saves the run first. "
        "docs/training.md tells the recipes. On a CPU its threads spin while they wait for each other, which is "
        "fastest alone; beside other programs set OMP_WAIT_POLICY=PASSIVE.",
    )
    gan.add_argument("--method", metavar="NAME", help=f"the training method (default: {DEFAULT_METHOD})")
    _add_recipe(gan)
    add_drawing(gan)
    gan.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings as TOML, such as another run's config.toml; --set goes first",
    )
    gan.add_argument(
        "--clip",
        metavar="CLIP",
        help="a run of `glissando train clip`, or open_clip:MODEL/TAG (default: the recipe's, where it has one)",
    )
    gan.add_argument("--out", type=Path, metavar="RUN", help="the run's folder, a new one (default: runs/RECIPE)")
    gan.add_argument(
        "--start",
        type=Path,
        metavar="RUN",
        help="begin with what this run has learnt, grown when the recipe's pictures are larger; a checkpoint gives its "
        "generator alone",
    )
    gan.add_argument("--kimg", type=float, help="how long, in thousands of pictures shown (default: the recipe's)")
    gan.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting of the recipe, or of the resumed run from here on; may be given again (the names are in "
        "a run's config.toml, plain or with their section, such as trainer.batch)",
    )
    gan.add_argument("--resume", type=Path, metavar="RUN", help="go on with the run in this folder")
    gan.add_argument(
        "--dry-run",
        action="store_true",
        help="start nothing: print sizes, memory and time, measured by a few steps where --data and networks are here",
    )
    gan.add_argument(
        "--tensorboard",
        action="store_true",
        help="write the log and the sample grids for TensorBoard too, in RUN/tensorboard",
    )
    gan.set_defaults(run=run_gan, alone=True)

    tell = kinds.add_parser(
        "tell",
        help="a command for a run in progress, on this machine or another with the same folder",
        description="The run obeys after the step it is in, and its log says so. Commands: "
        + "; ".join(f"{name} {does}" for name, does in ACTIONS.items())
        + f"; {', '.join(f'{name}=VALUE' for name in SETTINGS)}.",
    )
    tell.add_argument("run_folder", metavar="RUN", type=Path, help="the run's folder")
    tell.add_argument("command", metavar="COMMAND", help=f"{', '.join(ACTIONS)} or NAME=VALUE")
    tell.set_defaults(run=run_tell)

    classifier = kinds.add_parser(
        "classifier",
        help="the judge of `glissando evaluate postcards`",
        description="Draws postcards of all kinds and learns to tell their attributes; minutes on two cores. "
        "One is bundled: train another when the postcards change.",
    )
    classifier.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .safetensors file to write")
    classifier.add_argument(
        "--art", type=Path, metavar="DIR", help="the art of Stickers (see `glissando data stickers`): judge those"
    )
    classifier.add_argument("--pictures", type=int, metavar="N", help="how many to train on (default 20000)")
    classifier.add_argument("--epochs", type=int, metavar="N", help="how often to see each (default 5)")
    classifier.add_argument("--seed", type=int, default=0, help="another seed gives another classifier (default 0)")
    add_overwrite(classifier)
    classifier.set_defaults(run=run_classifier, alone=True)


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipe",
        help="postcards (the default) or tiny, which is quick; for a GAN also postcards-32, lite-64, full-64, grow, "
        "text-encoder and fine-tune",
    )


def run_clip(args: argparse.Namespace) -> int:
    """Start a CLIP run, or go on with one."""
    from dataclasses import replace

    from training.clip import clip_recipe, train_clip

    config = clip_recipe(args.recipe or DEFAULT_RECIPE)
    if args.steps is not None:
        config = replace(config, steps=args.steps)
    print(train_clip(config, args.data, args.out, resume=args.resume))
    return 0


def run_classifier(args: argparse.Namespace) -> int:
    """Train the classifier that judges postcards, or stickers."""
    check_writable(args.out, overwrite=args.overwrite)

    from training.metrics.classifier import STICKERS_MODEL
    from training.metrics.classifier_training import TrainClassifierConfig, train_classifier, train_stickers_classifier

    chosen = {name: value for name in ("pictures", "epochs") if (value := getattr(args, name)) is not None}
    with StageBar() as progress:
        if args.art is None:
            accuracy = train_classifier(args.out, TrainClassifierConfig(seed=args.seed, **chosen), progress)
        else:
            config = TrainClassifierConfig(seed=args.seed, **{"model": STICKERS_MODEL, **chosen})
            accuracy = train_stickers_classifier(args.out, args.art, config, progress)
    print("accuracy on real pictures it has not seen, in %:")
    for name, value in accuracy.items():
        print(f"{name:10}{100 * value:6.1f}")
    return 0


def run_gan(args: argparse.Namespace) -> int:
    """Start a GAN run, or go on with one."""
    settings = [*args.set, *([] if args.kimg is None else [f"kimg={args.kimg}"])]
    if args.resume is not None:
        names = ("method", "recipe", "config", "clip", "out", "start", *DRAWING, "dry_run")
        given = [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) not in (None, False)]
        if given:
            raise UserError(f"--resume goes on with the run as it was started: leave out {', '.join(given)}")

        from training.runs.run import resume

        print(resume(args.resume, settings=settings, tensorboard=args.tensorboard))
        return 0

    from training.methods.registry import method_spec
    from training.runs.config_file import SettingsFile, read_settings_file

    wishes = read_settings_file(args.config) if args.config is not None else SettingsFile()

    def asked(name: str) -> str | None:
        value = getattr(args, name)
        return wishes.run.get(name) if value is None else str(value)

    spec = method_spec(asked("method") or DEFAULT_METHOD)
    recipe, start, out = asked("recipe") or next(iter(spec.recipes)), asked("start"), asked("out")
    data = data_config(args, wishes.data)
    config = spec.recipe(recipe).updated(wishes.settings)
    clip = asked("clip")
    if clip:
        config = config.changed([f"clip={clip}"])
    config = config.changed(settings)
    missing = [
        f"--{name}"
        for name, value in (("data", data or args.dry_run), ("clip", getattr(config, "clip", True)))
        if not value
    ]
    if missing:
        raise UserError(f"a new run needs {', '.join(missing)}; to go on with one, give --resume RUN")
    begin = Path(start) if start else None
    if args.dry_run:
        from training.runs.dry_run import dry_run

        print(dry_run(config, data, begin))
        return 0

    from training.runs.run import train

    assert data is not None
    folder = Path(out) if out else _free_folder(recipe)
    print(train(config, data, folder, start=begin, tensorboard=args.tensorboard))
    return 0


def run_tell(args: argparse.Namespace) -> int:
    """Leave a command for a run."""
    folder: Path = args.run_folder
    if not is_run(folder):
        raise UserError(f"{folder}: expected the folder of a run, with a {CONFIG} or a {LOG} in it")
    name, equals, value = str(args.command).partition("=")
    try:
        if equals:
            command = send(folder, "set", name=name.strip(), value=float(value))
        else:
            command = send(folder, name)
    except ControlError as error:
        raise UserError(str(error)) from error
    except ValueError as error:
        raise UserError(f"{name}: expected a number, got {value!r}") from error
    except OSError as error:
        raise cannot_write(folder, error) from error
    print(f"{folder}: told {command}")
    # Windows has no lock to see, and not every network disk says what other machines do.
    if sys.platform != "win32" and holder_of(folder) is None:
        print("glissando: no run seems to be in progress there; one that starts later does not obey", file=sys.stderr)
    return 0


def _free_folder(recipe: str) -> Path:
    """runs/RECIPE, with a number where that is taken."""
    folder, number = Path("runs") / recipe, 2
    while folder.exists():
        folder, number = Path("runs") / f"{recipe}-{number}", number + 1
    return folder
