"""A process that has torch imported and forks others: tests may start and kill many without waiting for imports.

Run as a program by the `ForkServer` below: it reads one JSON request a line and answers with the exit codes. What a
child does is a function of this file.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def steps(config: dict[str, Any], data: str, clip: str, out: str, count: int) -> None:
    """So many steps of a trainer; the first rank writes its state and the figures of every step."""
    import torch

    from tests.training.small import opened
    from training.datasets.folder import load_folder
    from training.engine.distributed import open_ranks
    from training.methods.stylegan_t.config import StyleGANTConfig

    with open_ranks() as ranks:
        settings = StyleGANTConfig.from_json(config)
        with ranks.one_at_a_time():
            load_folder(data, settings.resolution, progress=False)
        trainer, _ = opened(settings, Path(data), Path(clip), ranks=ranks)
        rows = [{name: value.item() for name, value in trainer.step().items()} for _ in range(count)]
        if ranks.first:
            torch.save({"state": trainer.state_dict(), "rows": rows}, out)
        ranks.barrier()


def train(config: dict[str, Any], data: str, clip: str, out: str) -> None:
    """Start a run, or go on with one when it has saved a state."""
    from tests.training.small import train
    from training.methods.stylegan_t.config import StyleGANTConfig
    from training.runs.run import resume
    from training.runs.states import saved_state

    if saved_state(Path(out)) is None:
        train(StyleGANTConfig.from_json(config), Path(data), Path(clip), Path(out))
    else:
        resume(Path(out))


class ForkServer:
    """Starts children and tells how they ended. Use as a context manager."""

    def __enter__(self) -> ForkServer:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            text=True,
        )
        assert self._ask({"task": None, "world": 0}) == []
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def run(
        self,
        task: str,
        *,
        world: int = 1,
        kill_after: float | None = None,
        signal_number: int = signal.SIGKILL,
        signalled: int | None = None,
        when: Path | None = None,
        log: Path | None = None,
        **arguments: Any,
    ) -> list[int]:
        """Exit codes of `world` ranks that ran `task`, -9 for a killed one.

        `kill_after` seconds (after `when` exists, if given) those of them get the signal whose rank is `signalled`, or
        all. When one fails the others are killed, as torchrun does. `log` gets what they print.
        """
        return self._ask(
            {
                "task": task,
                "world": world,
                "kill_after": kill_after,
                "signal": int(signal_number),
                "signalled": signalled,
                "when": when and str(when),
                "log": str(log) if log else os.devnull,
                "arguments": arguments,
            }
        )

    def _ask(self, request: dict[str, Any]) -> list[int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, "the fork server has died"
        codes: list[int] = json.loads(answer)
        return codes


def _fork(request: dict[str, Any], rank: int, port: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        world = request["world"]
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        globals()[request["task"]](**request["arguments"])
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:  # noqa: BLE001 - whatever it is, the log says it and the code is 1
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _serve(request: dict[str, Any]) -> list[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [_fork(request, rank, port) for rank in range(request["world"])]
    codes: dict[int, int] = {}
    start = None if request.get("when") else time.monotonic()
    while len(codes) < len(children):
        for rank, child in enumerate(children):
            if rank not in codes:
                pid, status = os.waitpid(child, os.WNOHANG)
                if pid:
                    codes[rank] = os.waitstatus_to_exitcode(status)
        if any(code != 0 for code in codes.values()):
            for rank, child in enumerate(children):
                if rank not in codes:
                    os.kill(child, signal.SIGKILL)
        if start is None and os.path.exists(request["when"]):
            start = time.monotonic()
        after = request.get("kill_after")
        if after is not None and start is not None and time.monotonic() - start >= after:
            request["kill_after"] = None
            for rank, child in enumerate(children):
                if rank not in codes and request["signalled"] in (None, rank):
                    os.kill(child, request["signal"])
        time.sleep(0.002)
    return [codes[rank] for rank in range(len(children))]


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import training.runs.run  # noqa: F401 - what all children need

    for line in sys.stdin:
        print(json.dumps(_serve(json.loads(line))), file=answers, flush=True)
