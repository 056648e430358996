"""Stands in for `glissando train gan`: holds a run's lock, writes its files, and saves and ends when it is asked to.

    python fake_trainer.py SNAPSHOT [--recipe=... --data=... --out=RUN | --resume=RUN] [--set=...]

The data say what happens: "bad" is refused, "short" ends by itself, anything else goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from core.run_control import Command, Reader
from training.errors import RunError
from training.runs.lock import RunLock

stopped: list[int] = []


def main(snapshot: str, *words: str) -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    given = dict(word.removeprefix("--").split("=", 1) for word in words if word != "--mirror")
    if given.get("data") == "bad":
        print("glissando: bad: expected captioned pictures, got nothing", file=sys.stderr)
        return 2
    try:
        with RunLock(Path(given.get("resume") or given["out"])) as lock:
            train(lock.run, snapshot, words, short=given.get("data") == "short")
    except RunError as error:
        print(f"glissando: {error}", file=sys.stderr)
        return 2
    return 0


def train(run: Path, snapshot: str, words: tuple[str, ...], *, short: bool) -> None:
    (run / "words.json").write_text(json.dumps(words))
    (run / "config.toml").touch()
    control = Reader(run)
    with open(run / "log.jsonl", "a", buffering=1) as log:

        def write(kind: str, **values: object) -> None:
            log.write(json.dumps({"kind": kind, "time": time.time(), **values}) + "\n")

        images = 0
        write("start", images=images)
        for images in range(1000, 4000, 1000):
            losses = {"loss_d": 1.5 - images / 10_000, "loss_g": "nan" if images == 2000 else 0.5}
            write("train", images=images, images_per_s=45.0, **losses, match_real=0.25)
        write("evaluate", images=images, fid=12.5)
        shutil.copyfile(snapshot, run / "new.safetensors")
        os.replace(run / "new.safetensors", run / "latest.safetensors")
        while not short and not stopped and Command(command="stop") not in control.poll():
            time.sleep(0.01)
        (run / "state.pt").touch()
        write("stop", images=images, finished=short)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
