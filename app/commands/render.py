"""`glissando render TAKE_OR_SCENE`: a recorded performance or a scene's play, at any size, rate and speed."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.codecs import CODEC_NAMES, CODECS, CodecName, codec_for
from app.commands.arguments import PRECISIONS, add_overwrite
from app.errors import UserError
from app.files import free_path

if TYPE_CHECKING:
    from app.sources import PlaySource
    from core.engine import Engine

PROGRESS_PAUSE_S = 0.1


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser(
        "render",
        help="a recorded take, or a scene's play, as a video in any format",
        description="Render a take (NAME.take.jsonl, written beside every recording) or a scene file's play off line. "
        "An interrupted PNG sequence goes on with --resume; in the other formats what was written plays.",
    )
    parser.add_argument("source", metavar="TAKE_OR_SCENE", type=Path, help="NAME.take.jsonl, or a scene's .json")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: NAME-render.mp4 or NAME-render-2.mp4, beside the source"
    )
    parser.add_argument(
        "--codec", choices=CODEC_NAMES, help="default: by the name given with --out, else h264; png is a folder"
    )
    parser.add_argument("--fps", default=None, metavar="N", help="frames per second, also 30000/1001 (default 60)")
    parser.add_argument("--size", type=int, default=512, help="the longer side, in pixels (default 512)")
    parser.add_argument("--speed", type=float, default=1.0, help="2 is twice as fast (default 1)")
    parser.add_argument("--loop", action="store_true", help="let the last second go over into the first")
    scaling = parser.add_mutually_exclusive_group()
    scaling.add_argument("--smooth", dest="smooth", action="store_true", default=None, help="enlarge smoothly")
    scaling.add_argument("--sharp", dest="smooth", action="store_false", help="enlarge by whole pixels")
    add_overwrite(parser)
    parser.add_argument("--resume", action="store_true", help="go on with a folder of PNG pictures")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="default: the model it was made with")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: as it was played, where this machine can")
    parser.add_argument(
        "--device", help="auto, cpu, cuda or cuda:N (default: as it was played, where this machine can)"
    )
    parser.add_argument("--progress-json", action="store_true", help=argparse.SUPPRESS)  # for the window's queue
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render and write the file. What does not hang on the model is checked before it is loaded."""
    from app.rendering import ExportSettings
    from app.sources import open_source
    from app.video import check_output

    source = open_source(args.source)
    codec: CodecName = args.codec or (codec_for(args.out) if args.out is not None else "h264")
    fps = args.fps or str(min(60, CODECS[codec].most_fps))
    settings = ExportSettings(
        codec=codec, fps=fps, size=args.size, speed=args.speed, loop=args.loop, smooth=args.smooth
    )
    out: Path = args.out or default_out(args.source, codec)
    if args.overwrite and CODECS[codec].open is None:
        raise UserError("--overwrite: a folder of pictures is not replaced; name a new one, or go on with --resume")
    if args.out is None and not (args.overwrite or args.resume):
        out = free_path(out)
    if args.resume and CODECS[codec].open is not None:
        raise UserError(f"--resume: only a folder of PNG pictures goes on; {codec} starts again (leave --resume out)")
    total = settings.frames(source.duration)
    check_output(out, settings.rate, settings.size, codec, exists=args.resume, overwrite=args.overwrite)
    if args.progress_json:
        return _as_a_child(args, source, settings, out)
    from tqdm import tqdm

    engine = _engine(args, source)
    from app.rendering import export_source

    try:
        with tqdm(total=total, desc=out.name, unit="frame", disable=None) as bar:

            def progress(done: int, total: int) -> None:
                bar.update(done - bar.n)

            rendered = export_source(engine, source, out, settings, resume=args.resume, progress=progress)
    except KeyboardInterrupt:
        if out.exists():
            print(f"Stopped early: {out}: {CODECS[codec].interrupted}.")
        raise
    skipped = f" ({total - rendered} were there already)" if rendered < total else ""
    print(f"{total} frames{skipped}, {float(total / settings.rate):.4g} s: {out}")
    return 0


def default_out(source: Path, codec: CodecName) -> Path:
    """Beside the source, and never the recording that the window made."""
    from app.sources import stem_of

    return source.with_name(f"{stem_of(source)}-render{CODECS[codec].suffix}")


def _as_a_child(args: argparse.Namespace, source: PlaySource, settings: Any, out: Path) -> int:
    """Behind everything else the machine does, a line of JSON on stdout for each step, until the parent has gone."""
    if hasattr(os, "nice"):
        os.nice(10)
    if threading.current_thread() is threading.main_thread():  # elsewhere signals cannot be caught
        signal.signal(signal.SIGTERM, _interrupt)
    _say({"stage": "loading"})
    engine = _engine(args, source)
    from app.rendering import export_source

    last = -1.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= PROGRESS_PAUSE_S:
            last = now
            _say({"done": done, "of": total})

    export_source(engine, source, out, settings, resume=args.resume, progress=progress)
    return 0


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _engine(args: argparse.Namespace, source: PlaySource) -> Engine:
    """The model that the source was made with, as it was run then where that can be; it knows its directions."""
    from app.vectors import register_saved_vectors

    path = args.checkpoint or _checkpoint(source)
    engine = _opened(args, source, path)
    if args.checkpoint is None and source.sha256 is not None and engine.info.sha256 != source.sha256:
        raise UserError(_missing(source))
    register_saved_vectors(engine, path)
    return engine


def _opened(args: argparse.Namespace, source: PlaySource, path: Path) -> Engine:
    from core.arithmetic import Arithmetic
    from core.engine import Engine, EngineError

    if args.device is not None or args.precision is not None:
        return Engine.open(path, device=args.device or "auto", precision=args.precision or "auto")
    try:
        return Engine.open(path, **asdict(source.arithmetic))
    except EngineError as error:
        if source.arithmetic == Arithmetic():
            raise
        print(f"glissando: not as it was played, so pictures differ a little: {error}", file=sys.stderr)
        return Engine.open(path)


def _checkpoint(source: PlaySource) -> Path:
    """Where the model is: by its hash if that is known, else where it lay."""
    from app.explorer.storage.settings import SettingsStore
    from app.finding import Hashes, find_checkpoint
    from core.checkpoints import bundled_checkpoint

    at = Path(source.checkpoint) if source.checkpoint else bundled_checkpoint()
    if source.sha256 is None:
        return at
    store = SettingsStore()
    settings, _ = store.load_settings()
    files = [at, bundled_checkpoint(), *map(Path, settings.recents)]
    found = find_checkpoint(
        source.sha256, files, [Path(name) for name in settings.library_dirs], Hashes(store.hashes_path)
    )
    if found is None:
        raise UserError(_missing(source))
    return found


def _missing(source: PlaySource) -> str:
    digits = (source.sha256 or "")[:10]
    return (
        f"{source.path}: its model {source.model!r} (SHA-256 {digits}…) is not among the recent files and the library "
        "folders; name it, or another one, with --checkpoint"
    )
