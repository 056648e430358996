"""How fast the monitor opens a very long log, and what it costs to follow one.

The log is written for the occasion: rows as the trainer's, with fifteen numbers each. Opening is measured from the
start of a new process to the first picture with curves from all over the log; following, with a row a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import display
from app.errors import UserError
from app.monitor.log_reader import LOG_FILE, LogReader

FOLLOW_S = 10.0
_NAMES = (
    *("loss_d", "logit_real", "logit_fake", "sign_real", "sign_fake", "match_real", "gradient_d", "loss_g"),
    *("diversity", "match_fake", "gradient_g"),
)
_ENDS = 5000
_PIECE = 1 << 22

Progress = Callable[[str, int, int], None]


def write_log(path: Path, rows: int, progress: Progress = lambda stage, done, total: None) -> int:
    """A log of so many train rows, with an evaluation every hundred thousand; returns its size in bytes.

    Each row has its own time and images; the numbers after them repeat, which spares minutes of writing. They drift
    from the first row to the last, and every other one is drawn from anywhere.
    """
    rng = random.Random(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    ends = []
    for index in range(_ENDS):
        level = index / _ENDS
        figures = {name: round(rng.gauss(number + 2 * level, 0.3), 5) for number, name in enumerate(_NAMES)}
        ends.append(json.dumps({"images_per_s": round(rng.gauss(900, 30), 2), **figures})[1:])
    with open(path, "wb") as file:
        start = {"kind": "start", "time": 1.7e9, "images": 0, "config": {"kimg": rows * 0.4}, "pictures": 40000}
        piece = [json.dumps(start) + "\n"]
        length = 0
        for index in range(1, rows + 1):
            end = ends[index * _ENDS // (rows + 1)] if index % 2 else ends[rng.randrange(_ENDS)]
            piece.append(f'{{"kind": "train", "time": {1.7e9 + index * 0.32:.3f}, "images": {index * 320}, {end}\n')
            length += len(piece[-1])
            if index % 100_000 == 0:
                row = {"kind": "evaluate", "time": 1.7e9 + index * 0.32, "images": index * 320}
                piece.append(json.dumps(row | {"fid": round(40 - 20 * index / rows, 3), "clip": 0.3}) + "\n")
            if length > _PIECE:
                progress("writing", index, rows)
                file.write("".join(piece).encode())
                piece, length = [], 0
        file.write("".join(piece).encode())
        return file.tell()


def bench_monitor(rows: int, progress: Progress = lambda stage, done, total: None) -> dict[str, Any]:
    """The figures. Needs some 320 bytes of disk a row, for as long as it takes. Raises `UserError`."""
    if rows < 1:
        raise UserError(f"--rows: expected 1 or more, got {rows}")
    with tempfile.TemporaryDirectory(prefix="glissando-bench-") as temporary:
        run = Path(temporary) / "run"
        size = write_log(run / LOG_FILE, rows, progress)
        report: dict[str, Any] = {"rows": rows, "bytes": size, "cores": os.cpu_count()}
        report |= _reading(run, progress)
        if display.why_no_display() is None and not display.missing_libraries():
            report |= _window(run, Path(temporary) / "cache")
        return report


def format_monitor(report: dict[str, Any]) -> str:
    """The figures as a table."""
    rows = [("rows", f"{report['rows']:,}"), ("log", f"{report['bytes'] / 1e9:.2f} GB")]
    times = {
        "sketch_s": "first curves, from places all over the log",
        "events_s": "all evaluations found",
        "whole_s": "every row read, in the background",
        "again_s": "the next time, from the cache",
        "window_s": "window: start of the program to its first curves",
        "window_again_s": "the same with a cache",
    }
    rows += [(words, f"{report[name]:.2f} s") for name, words in times.items() if name in report]
    shares = {
        "reader_cpu": "CPU for following at a row a second: reading",
        "window_cpu": "with the window, all of the program",
    }
    rows += [(words, f"{report[name]:.1%} of a core") for name, words in shares.items() if name in report]
    width = max(len(words) for words, _ in rows)
    table = "\n".join(f"{words:{width}}  {figure:>14}" for words, figure in rows)
    return table if "window_s" in report else table + "\n(no display: the window was not measured)"


def _reading(run: Path, progress: Progress) -> dict[str, float]:
    """The reader alone, in this process."""
    report: dict[str, float] = {}
    with _cache(run.parent / "cache-reading"):
        began = time.perf_counter()
        reader = LogReader(run)
        reader.start()
        while not reader.view.size or reader.view.read < reader.view.size:
            view = reader.view
            if len(view.curves) and "sketch_s" not in report:
                report["sketch_s"] = time.perf_counter() - began
            if len(view.metrics) and "events_s" not in report:
                report["events_s"] = time.perf_counter() - began
            progress("reading", view.read, view.size)
            time.sleep(0.01)
        report["whole_s"] = time.perf_counter() - began
        reader.close()

        began = time.perf_counter()
        reader = LogReader(run)
        reader.start()
        while not len(reader.view.curves):
            time.sleep(0.001)
        report["again_s"] = time.perf_counter() - began
        busy, began = time.process_time(), time.perf_counter()
        _append(run)
        report["reader_cpu"] = (time.process_time() - busy) / (time.perf_counter() - began)
        reader.close()
    return report


def _window(run: Path, cache: Path) -> dict[str, float]:
    """The whole program, in processes of its own."""
    report: dict[str, float] = {}
    for name, seconds in (("window_s", 0.0), ("window_again_s", FOLLOW_S)):
        if seconds:  # as it is when the monitor has once read everything
            with _cache(cache):
                reader = LogReader(run)
                reader.start()
                while not reader.view.size or reader.view.read < reader.view.size:
                    time.sleep(0.05)
                reader.close()
        command = [sys.executable, "-m", "app.monitor.bench", str(time.time()), str(run), str(seconds)]
        environment = {**os.environ, "GLISSANDO_CACHE_DIR": str(cache)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        if seconds:
            _append(run, seconds + 5.0)
        out, _ = process.communicate(timeout=300)
        if process.returncode:
            raise UserError(f"the window ended with {process.returncode}; try `glissando monitor` on its own")
        found = json.loads(out.splitlines()[-1])
        report[name] = found["first"]
        if seconds:
            report["window_cpu"] = found["cpu"]
    return report


def _append(run: Path, seconds: float = FOLLOW_S) -> None:
    """A row a second."""
    last = 10**12
    with open(run / LOG_FILE, "ab") as file:
        for index in range(round(seconds)):
            row = {"kind": "train", "time": time.time(), "images": last + index * 320}
            file.write((json.dumps({**row, **dict.fromkeys(_NAMES, 1.0)}) + "\n").encode())
            file.flush()
            time.sleep(1.0)


@contextlib.contextmanager
def _cache(folder: Path) -> Any:
    """Keep what is read in this folder."""
    before = os.environ.get("GLISSANDO_CACHE_DIR")
    os.environ["GLISSANDO_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["GLISSANDO_CACHE_DIR"]
        else:
            os.environ["GLISSANDO_CACHE_DIR"] = before


def _measure_window(began: float, run: Path, seconds: float) -> None:
    """In its own process: print when the first curves were drawn, and the CPU time of the seconds after."""
    import dearpygui.dearpygui as dpg

    from app.monitor.state import MonitorState
    from app.monitor.window import Monitor

    monitor = Monitor(MonitorState([run]))
    monitor.open()
    while not monitor.plots.drawn:
        monitor.frame(time.monotonic())
    monitor.frame(time.monotonic())  # the one that shows them
    found = {"first": time.time() - began}
    monitor.rest()
    busy, since = time.process_time(), time.perf_counter()

    def watch() -> None:
        time.sleep(seconds)
        found["cpu"] = (time.process_time() - busy) / (time.perf_counter() - since)
        dpg.stop_dearpygui()

    if seconds:
        import threading

        threading.Thread(target=watch, daemon=True).start()
        monitor.run()
    monitor.close()
    print(json.dumps(found))


if __name__ == "__main__":
    _measure_window(float(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
