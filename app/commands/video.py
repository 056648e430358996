"""`glissando video`: a glide from prompt to prompt or from class to class, or a scene's play, as an MP4."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands.arguments import (
    NOISES,
    add_engine_arguments,
    add_overwrite,
    add_subject_arguments,
    open_engine,
    subjects,
)
from app.errors import UserError
from app.files import free_path
from core.request import SEED_LIMIT, RenderRequest
from core.timeline import EASING_NAMES, Timeline, timeline_through

if TYPE_CHECKING:
    from app.document.playback import Play
    from core.engine import Engine

# A single stop on a single seed would stand still; so many seeds a video is a calm walk.
DEFAULT_WALK = 4.0

OUT = Path("glissando.mp4")

# Options that a scene answers itself.
SCENE_SAYS = ("loop", "seed", "walk", "easing", "psi", "noise")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser(
        "video",
        help="a video that glides from prompt to prompt, or from class to class",
        description="Give --prompt, or --class, once for each stop. The video has exactly round(seconds x fps) frames; "
        "with --loop the one after the last would equal the first. Or give --scene: what the window plays, one round "
        "of its timeline or path. An interrupted video plays what was rendered.",
    )
    add_engine_arguments(parser)
    add_subject_arguments(parser, several=True)
    parser.add_argument(
        "--scene",
        type=Path,
        metavar="SCENE.json",
        help="a scene of the window: its timeline, or its path; frame k is what it shows at k / fps seconds",
    )
    parser.add_argument("--seconds", type=float, help="length (default 10; of a scene, one round)")
    parser.add_argument("--fps", type=int, default=60, help="frames per second (default 60)")
    parser.add_argument("--size", type=int, default=512, help="the longer side, in pixels (default 512)")
    parser.add_argument("--smooth", action="store_true", help="enlarge smoothly instead of by whole pixels")
    parser.add_argument("--loop", action="store_true", default=None, help="end where it began")
    parser.add_argument("--seed", type=int, help="where the walk over the seeds starts (default 0)")
    parser.add_argument(
        "--walk",
        type=float,
        metavar="SEEDS",
        help="how far to walk over the seed plane: straight on, or in a circle with --loop "
        f"(default {DEFAULT_WALK:g} for a single stop, else 0)",
    )
    parser.add_argument("--easing", choices=EASING_NAMES, help="how each glide is timed (default smooth)")
    parser.add_argument("--psi", type=float, help="truncation: 1 is none, 0 the average (default 1)")
    parser.add_argument("--noise", choices=NOISES, help="per-pixel noise (default const)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.mp4",
        help=f"default {OUT}, with a number where that is taken",
    )
    add_overwrite(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render and write the video. What does not hang on the model is checked before it is loaded."""
    if args.out is None:
        args.out = OUT if args.overwrite else free_path(OUT)
    if args.scene is not None:
        return _run_scene(args)
    frames = frame_count(10.0 if args.seconds is None else args.seconds, args.fps)
    # Around 0, so that no walk can leave the plane.
    seed = ((args.seed or 0) + SEED_LIMIT // 2) % SEED_LIMIT - SEED_LIMIT // 2
    start = RenderRequest(seed_x=seed, psi=1.0 if args.psi is None else args.psi, noise=args.noise or "const")

    from app.video import check_output

    check_output(args.out, args.fps, args.size, overwrite=args.overwrite)
    engine = open_engine(args)
    stops = [replace(start, **subject) for subject in subjects(args, engine.info)]
    walk = args.walk
    if walk is None:
        walk = DEFAULT_WALK if len(stops) == 1 else 0.0
    # The length that the frames really have: only then does a loop close exactly.
    timeline = timeline_through(
        stops, seconds=frames / args.fps, loop=bool(args.loop), easing=args.easing or "smooth", walk=walk
    )
    return _export(args, engine, timeline, frames)


def _run_scene(args: argparse.Namespace) -> int:
    """What the window would show from 0 on."""
    given = [f"--{name.removesuffix('s')}" for name in ("prompts", "classes") if getattr(args, name)]
    given += [f"--{name}" for name in SCENE_SAYS if getattr(args, name) is not None]
    if given:
        raise UserError(f"--scene says what to show; expected it without {given[0]}")

    from app.document.file import read_scene_file
    from app.document.playback import Play
    from app.video import check_output

    scene = read_scene_file(args.scene).scene
    frames = frame_count(scene.round_seconds if args.seconds is None else args.seconds, args.fps)
    check_output(args.out, args.fps, args.size, overwrite=args.overwrite)
    if args.checkpoint is None and scene.checkpoint:
        args.checkpoint = Path(scene.checkpoint)
    args.smooth = args.smooth or scene.smooth
    return _export(args, open_engine(args), Play(scene, args.fps), frames)


def _export(args: argparse.Namespace, engine: Engine, timeline: Timeline | Play, frames: int) -> int:
    from app.rendering import export_video

    try:
        export_video(engine, timeline, args.out, frames=frames, fps=args.fps, size=args.size, smooth=args.smooth)
    except KeyboardInterrupt:
        if args.out.is_file():
            print(f"Stopped early: {args.out} plays what was rendered.")
        raise
    print(f"{frames} frames, {frames / args.fps:g} s: {args.out}")
    return 0


def frame_count(seconds: float, fps: int) -> int:
    """How many frames a video of this length has. Raises `UserError` for none, too many, and what is no number."""
    from app.rendering import MOST_FRAMES

    if not math.isfinite(seconds) or seconds <= 0:
        raise UserError(f"--seconds: expected a number above 0, got {seconds}")
    if fps < 1:
        raise UserError(f"--fps: expected 1 or more, got {fps}")
    count = round(seconds * fps)
    if not 1 <= count <= MOST_FRAMES:
        raise UserError(f"--seconds {seconds:g} --fps {fps}: expected 1 to {MOST_FRAMES} frames, got {count}")
    return count
