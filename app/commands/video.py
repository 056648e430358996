"""`glissando video`: a glide from prompt to prompt or from class to class, as an MP4."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

from app.commands.arguments import NOISES, add_engine_arguments, add_subject_arguments, open_engine, subjects
from app.errors import UserError
from core.request import SEED_LIMIT, RenderRequest
from core.timeline import EASING_NAMES, timeline_through

# A day at 60 frames a second; beyond it somebody mistyped.
MOST_FRAMES = 24 * 3600 * 60

# A single stop on a single seed would stand still; so many seeds a video is a calm walk.
DEFAULT_WALK = 4.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of this subcommand."""
    parser = subparsers.add_parser(
        "video",
        help="a video that glides from prompt to prompt, or from class to class",
        description="Give --prompt, or --class, once for each stop. The video has exactly round(seconds x fps) frames; "
        "with --loop the one after the last would equal the first. An interrupted one plays what was rendered.",
    )
    add_engine_arguments(parser)
    add_subject_arguments(parser, several=True)
    parser.add_argument("--seconds", type=float, default=10.0, help="length (default 10)")
    parser.add_argument("--fps", type=int, default=60, help="frames per second (default 60)")
    parser.add_argument("--size", type=int, default=512, help="the longer side, in pixels (default 512)")
    parser.add_argument("--smooth", action="store_true", help="enlarge smoothly instead of by whole pixels")
    parser.add_argument("--loop", action="store_true", help="end where it began")
    parser.add_argument("--seed", type=int, default=0, help="where the walk over the seeds starts (default 0)")
    parser.add_argument(
        "--walk",
        type=float,
        metavar="SEEDS",
        help="how far to walk over the seed plane: straight on, or in a circle with --loop "
        f"(default {DEFAULT_WALK:g} for a single stop, else 0)",
    )
    parser.add_argument(
        "--easing", choices=EASING_NAMES, default="smooth", help="how each glide is timed (default smooth)"
    )
    parser.add_argument("--psi", type=float, default=1.0, help="truncation: 1 is none, 0 the average (default 1)")
    parser.add_argument("--noise", choices=NOISES, default="const", help="per-pixel noise (default %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("glissando.mp4"), metavar="FILE.mp4", help="default %(default)s"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render and write the video. What does not hang on the model is checked before it is loaded."""
    frames = frame_count(args.seconds, args.fps)
    # Around 0, so that no walk can leave the plane.
    seed = (args.seed + SEED_LIMIT // 2) % SEED_LIMIT - SEED_LIMIT // 2
    start = RenderRequest(seed_x=seed, psi=args.psi, noise=args.noise)

    from app.rendering import export_video
    from app.video import check_output

    check_output(args.out, args.fps, args.size)
    engine = open_engine(args)
    stops = [replace(start, **subject) for subject in subjects(args, engine.info)]
    walk = args.walk
    if walk is None:
        walk = DEFAULT_WALK if len(stops) == 1 else 0.0
    # The length that the frames really have: only then does a loop close exactly.
    timeline = timeline_through(stops, seconds=frames / args.fps, loop=args.loop, easing=args.easing, walk=walk)
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
    if not math.isfinite(seconds) or seconds <= 0:
        raise UserError(f"--seconds: expected a number above 0, got {seconds}")
    if fps < 1:
        raise UserError(f"--fps: expected 1 or more, got {fps}")
    count = round(seconds * fps)
    if not 1 <= count <= MOST_FRAMES:
        raise UserError(f"--seconds {seconds:g} --fps {fps}: expected 1 to {MOST_FRAMES} frames, got {count}")
    return count
