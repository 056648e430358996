"""`glissando bench`: how fast this machine is, against a plain reference in the same run; the monitor on a long log."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.commands.arguments import add_json
from app.commands.progress import StageBar
from app.files import check_writable, write_json


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser("bench", help="measure this machine")
    kinds = parser.add_subparsers(title="what to measure", metavar="WHAT", required=True)
    engine = kinds.add_parser("engine", help="ms a frame, plain float32 and the fast mode")
    engine.add_argument("checkpoint", metavar="CHECKPOINT", nargs="?", type=Path, help="the bundled one if none")
    engine.add_argument("--rounds", type=int, default=7, metavar="N", help="medians of so many (default 7)")
    engine.add_argument("--no-lite", action="store_true", help="leave out the large reference model")
    engine.add_argument("--beside", action="store_true", help="also beside a program that keeps one core busy")
    add_json(engine)
    engine.set_defaults(run=run_engine)
    families = kinds.add_parser("families", help="ms a frame of each family at 256 px, plain, float32 and fast")
    families.add_argument("--family", action="append", metavar="NAME", help="only this one; may be given again")
    families.add_argument("--rounds", type=int, default=3, metavar="N", help="medians of so many (default 3)")
    add_json(families)
    families.set_defaults(run=run_families)
    train = kinds.add_parser("train", help="a GAN's training step: images/s, where the time goes, and a plain step")
    train.add_argument("--method", default="stylegan-t", metavar="NAME", help="the training method")
    train.add_argument("--recipe", default="tiny", help="whose networks and settings (default tiny)")
    train.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting of it")
    train.add_argument("--rounds", type=int, default=3, metavar="N", help="medians of so many (default 3)")
    add_json(train)
    train.set_defaults(run=run_train, alone=True)
    start = kinds.add_parser("start", help="seconds to the first picture, as a ratio to `import torch`")
    start.add_argument("checkpoint", metavar="CHECKPOINT", nargs="?", type=Path, help="the bundled one if none")
    start.add_argument("--rounds", type=int, default=3, metavar="N", help="the least of so many (default 3)")
    add_json(start)
    start.set_defaults(run=run_start)
    monitor = kinds.add_parser("monitor", help="seconds to open a very long log, and the cost of following it")
    monitor.add_argument("--rows", type=int, default=10_000_000, metavar="N", help="of the log (default 10 million)")
    add_json(monitor)
    monitor.set_defaults(run=run_monitor)


def run_engine(args: argparse.Namespace) -> int:
    """Measure the engine and print a table."""
    if args.json is not None:
        check_writable(args.json, overwrite=args.overwrite)

    from core.bench import bench_engine, format_report

    report = bench_engine(args.checkpoint, rounds=args.rounds, lite=not args.no_lite, beside=args.beside)
    print(format_report(report))
    if args.json is not None:
        write_json(args.json, report)
    return 0


def run_families(args: argparse.Namespace) -> int:
    """Measure the families and print a table."""
    if args.json is not None:
        check_writable(args.json, overwrite=args.overwrite)

    from core.bench_families import bench_families, format_families

    report = bench_families(args.family, rounds=args.rounds)
    print(format_families(report))
    if args.json is not None:
        write_json(args.json, report)
    return 0


def run_train(args: argparse.Namespace) -> int:
    """Measure a training step and print a table."""
    if args.json is not None:
        check_writable(args.json, overwrite=args.overwrite)

    from training.methods.registry import method_spec
    from training.runs.bench import bench_train, format_train

    config = method_spec(args.method).recipe(args.recipe).changed(args.set)
    report = bench_train(config, rounds=args.rounds)
    print(format_train(report))
    if args.json is not None:
        write_json(args.json, report)
    return 0


def run_start(args: argparse.Namespace) -> int:
    """Measure the starts of `generate` and of the window, and print a table."""
    if args.json is not None:
        check_writable(args.json, overwrite=args.overwrite)

    from app.bench_start import bench_start, format_start

    with StageBar() as progress:
        report = bench_start(args.checkpoint, rounds=args.rounds, progress=progress)
    print(format_start(report))
    if args.json is not None:
        write_json(args.json, report)
    return 0


def run_monitor(args: argparse.Namespace) -> int:
    """Measure the monitor and print a table."""
    if args.json is not None:
        check_writable(args.json, overwrite=args.overwrite)

    from app.monitor.bench import bench_monitor, format_monitor

    with StageBar() as progress:
        report = bench_monitor(args.rows, progress)
    print(format_monitor(report))
    if args.json is not None:
        write_json(args.json, report)
    return 0
