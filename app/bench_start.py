"""How long a start takes: `import torch`, `glissando generate` for one picture, and the window's first picture.

Each is measured in new processes, in turn, round after round; the figures are the least of the rounds, so that they
are those of a warm start, and what else the machine does falls on none of them. Where there is no display the window
is left out.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import display
from app.errors import UserError

LIMITS = {"generate": 1.6, "window": 2.0}
"""Of `import torch`: what a start may take."""
SLOW_IMPORT_S = 0.02
WINDOW_PATIENCE_S = 120.0

Progress = Callable[[str, int, int], None]

_IMPORT = re.compile(r"import time:\s*(\d+) \|\s*\d+ \| *(\S+)")


def bench_start(
    path: Path | None, *, rounds: int = 3, progress: Progress = lambda stage, done, total: None
) -> dict[str, Any]:
    """The figures in seconds, as plain JSON values; `path` None is the bundled checkpoint. Raises `UserError`."""
    if rounds < 1:
        raise UserError(f"--rounds: expected 1 or more, got {rounds}")
    shows_window = display.why_no_display() is None and not display.missing_libraries()
    given = [] if path is None else [str(path)]
    names = ("import torch", "generate", *(("window",) if shows_window else ()))
    times: dict[str, list[float]] = {name: [] for name in names}
    cpu_times: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="glissando-bench-") as temporary:
        generate = ["-m", "app.cli", "generate", *given, "--seeds", "0", "--prompt", "a house by the sea"]
        generate += ["--out", str(Path(temporary) / "out")]
        stages = ["-c", "from app.start_stages import print_stages; print_stages()", *given]
        window = ["-c", "from app.start_stages import show_first_picture; show_first_picture()", *given]
        for number in range(rounds + 1):  # the first brings files into memory
            progress("starting", number, rounds + 1)
            for name in names:
                before = _cpu_of_children()
                if name == "window":
                    seconds = _until_shown(window, Path(temporary))
                else:
                    seconds = _timed(generate if name == "generate" else ["-c", "import torch"])[0]
                if number:
                    times[name].append(seconds)
                    cpu_times[name].append(_cpu_of_children() - before)
        listed = [json.loads(_timed(stages)[1]) for _ in range(rounds)]
        imports = slow_imports(_timed(["-X", "importtime", *generate])[2])
    least = {name: min(values) for name, values in times.items()}
    return {
        "rounds": rounds,
        "seconds": least,
        "cpu_seconds": {name: min(values) for name, values in cpu_times.items()},
        "ratios": {name: least[name] / least["import torch"] for name in LIMITS if name in least},
        "stages": {name: min(found[name] for found in listed) for name in listed[0]},
        "imports": imports,
    }


def format_start(report: dict[str, Any]) -> str:
    """The figures of `bench_start` as tables to print."""
    lines = [f"least of {report['rounds']} warm starts", "", f"{'':28}{'s':>8}{'ratio':>8}{'limit':>8}{'CPU s':>8}"]
    for name, seconds in report["seconds"].items():
        ratio = f"{report['ratios'][name]:8.2f}{LIMITS[name]:8.1f}" if name in LIMITS else f"{1:8.2f}{'':8}"
        lines.append(f"{name:28}{seconds:8.2f}{ratio}{report['cpu_seconds'][name]:8.2f}")
    if "window" not in report["seconds"]:
        lines.append("window: not measured, there is no display")
    lines += ["", f"{'one picture, stage by stage':28}{'s':>8}"]
    lines += [f"{name:28}{seconds:8.3f}" for name, seconds in report["stages"].items()]
    lines += ["", f"{'imports over 20 ms':44}{'s':>8}"]
    lines += [f"{name:44}{seconds:8.3f}" for name, seconds in report["imports"].items()]
    return "\n".join(lines)


def slow_imports(text: str) -> dict[str, float]:
    """From what `python -X importtime` prints: modules that took over 20 ms without what they import, torch's parts
    left out, slowest first.
    """
    found = {match[2]: int(match[1]) / 1e6 for match in _IMPORT.finditer(text) if not match[2].startswith("torch.")}
    slow = [(name, seconds) for name, seconds in found.items() if seconds > SLOW_IMPORT_S]
    return dict(sorted(slow, key=lambda item: -item[1]))


def _until_shown(arguments: list[str], folder: Path) -> float:
    settings = {name: str(folder / name) for name in ("GLISSANDO_CONFIG_DIR", "GLISSANDO_CACHE")}
    began = time.time()
    _, output, errors = _timed(arguments, settings)
    if not output.strip():
        raise UserError(f"the window showed no picture within {WINDOW_PATIENCE_S:g} s: {errors.strip()[-300:]}")
    return float(output.split()[0]) - began


def _cpu_of_children() -> float:
    """CPU seconds of all processes that have ended; not counted on Windows."""
    times = os.times()
    return times.children_user + times.children_system


def _timed(arguments: list[str], variables: dict[str, str] | None = None) -> tuple[float, str, str]:
    """Seconds, output and errors of a Python process. Raises `UserError` when it fails."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env=os.environ | (variables or {})
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise UserError(f"a start failed: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
    return seconds, done.stdout, done.stderr
