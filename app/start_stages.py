"""What `app.bench_start` runs in processes of their own: the stages of `generate`, and the window's first picture.

A module of its own: it imports the command line, which imports the benchmarks.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from app.bench_start import WINDOW_PATIENCE_S


def print_stages() -> None:
    """In a process of its own: what `generate` does, a stage at a time, as JSON {stage: seconds}."""
    stages: dict[str, float] = {}
    last = time.perf_counter()

    def done(stage: str) -> None:
        nonlocal last
        now = time.perf_counter()
        stages[stage], last = now - last, now

    from app.cli import build_parser
    from app.threads import settle_wait_policy

    build_parser()
    settle_wait_policy(alone=False)
    done("command line")
    import torch  # noqa: F401

    done("import torch")
    from app.images import save_png
    from core.checkpoints import bundled_checkpoint, load
    from core.engine import Engine
    from core.request import RenderRequest

    done("other imports")
    checkpoint = load(sys.argv[1] if len(sys.argv) > 1 else bundled_checkpoint())
    done("file read and checked")
    engine = Engine(checkpoint)
    done("engine made")
    frame = engine.render(RenderRequest(prompt="a house by the sea"))
    done("first picture")
    engine.render(RenderRequest(prompt="a house by the sea", seed_x=1))
    done("another seed")
    with tempfile.TemporaryDirectory() as folder:
        save_png(Path(folder) / "picture.png", frame, engine.info)
    done("PNG written")
    print(json.dumps(stages))


def show_first_picture() -> None:
    """In a process of its own: open the window, print the time of day when the first picture is on it, and close it."""
    from app.threads import settle_wait_policy

    settle_wait_policy(alone=False)
    from app.explorer.session import Session
    from app.explorer.storage.settings import SettingsStore
    from app.explorer.window import Explorer, real_services

    session = Session(real_services(), SettingsStore(), Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    try:
        explorer = Explorer(session)
        callbacks, began = explorer.params.callbacks, time.monotonic()
        after_swap = callbacks.after_swap

        def swapped() -> None:
            after_swap()
            if session.rendering.frame is not None:
                print(time.time(), flush=True)
            late = time.monotonic() > began + WINDOW_PATIENCE_S
            explorer.params.app_shall_exit = session.rendering.frame is not None or late

        callbacks.after_swap = swapped
        explorer.run()
    finally:
        session.close()
