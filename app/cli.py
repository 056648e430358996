"""`glissando`: the command line. It opens the explorer unless a subcommand asks for something else.

Each subcommand lives in a module of `app.commands`. None of them imports torch before it runs, so `--help` answers at
once.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from importlib import metadata
from pathlib import Path

from app.commands import (
    bench,
    data,
    directions,
    evaluate,
    explore,
    generate,
    import_,
    info,
    monitor,
    render,
    soak,
    train,
    video,
)
from app.commands.arguments import Parser
from app.threads import settle_wait_policy

COMMANDS = (explore, generate, video, render, directions, import_, info, train, data, evaluate, monitor, bench, soak)

# What shells and scripts expect: a mistake in the command or a file, and an interrupt.
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130

# argparse takes a value that starts with a minus for an option unless it is a plain number.
_NEGATIVE_LISTS = ("--seed", "--seeds")


def build_parser() -> Parser:
    """The whole command line. Building it imports nothing heavy."""
    parser = Parser(
        prog="glissando",
        description="Type a prompt, move sliders, and the picture follows. Without a command the explorer opens.",
    )
    parser.add_argument("--version", action="version", version=f"Glissando {metadata.version('glissando')}")
    # Where no subcommand is given, the explorer's own defaults hold.
    parser.set_defaults(run=explore.run, checkpoint=None, alone=False)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for a mistake the message explains, 130 after Ctrl-C."""
    arguments = _tidy(sys.argv[1:] if argv is None else list(argv))
    parser = build_parser()
    args = _parse(parser, arguments)
    settle_wait_policy(alone=args.alone)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        if args.debug:
            raise
        print(f"glissando: {_one_line(error)}", file=sys.stderr)
        return EXIT_USER_ERROR
    except Exception as error:
        # The last resort: a fault of ours, told in one line like the others.
        if args.debug:
            raise
        print(
            f"glissando: unexpected {type(error).__name__}: {_one_line(error)} (run it again with --debug for details)",
            file=sys.stderr,
        )
        return 1


def _tidy(arguments: list[str]) -> list[str]:
    """`glissando FILE` means `glissando explore FILE`, and `--seeds -1,3` means `--seeds=-1,3`."""
    if arguments and not arguments[0].startswith("-") and _names_a_file(arguments[0]):
        arguments = ["explore", *arguments]
    tidy: list[str] = []
    for argument in arguments:
        if tidy and tidy[-1] in _NEGATIVE_LISTS and re.match(r"-\d", argument):
            tidy[-1] += f"={argument}"
        else:
            tidy.append(argument)
    return tidy


def _names_a_file(argument: str) -> bool:
    names = {command.__name__.rpartition(".")[2].rstrip("_") for command in COMMANDS}
    return argument not in names and (argument.endswith(".safetensors") or Path(argument).is_file())


def _parse(parser: Parser, arguments: list[str]) -> argparse.Namespace:
    args, rest = parser.parse_known_args(arguments)
    # argparse gives an optional positional up when it meets an option, so `generate --prompt x FILE` leaves FILE over.
    if len(rest) == 1 and not rest[0].startswith("-") and "checkpoint" in args and args.checkpoint is None:
        args.checkpoint = Path(rest[0])
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.debug = getattr(args, "debug", False)
    return args


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
