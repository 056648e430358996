"""How busy this machine is: CPU and memory from /proc, NVIDIA GPUs from nvidia-smi; what is not there is left out."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
EVERY_S = 2.0
_QUERY = "index,name,utilization.gpu,memory.used,memory.total,temperature.gpu"
_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Meter:
    """One bar."""

    label: str
    share: float
    """0 to 1."""
    words: str


def cpu_times(stat: str) -> tuple[float, float] | None:
    """(busy, all) ticks of all cores so far, from the text of /proc/stat."""
    fields = stat.partition("\n")[0].split()
    if len(fields) < 6 or fields[0] != "cpu":
        return None
    # user nice system idle iowait irq softirq steal; guest times are within user and nice already.
    ticks = [float(field) for field in fields[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def memory(meminfo: str) -> tuple[float, float] | None:
    """(used, all) bytes, from the text of /proc/meminfo."""
    sizes: dict[str, float] = {}
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        value = rest.split()
        if value and value[0].isdigit():
            sizes[name] = float(value[0]) * 1024
    if "MemTotal" not in sizes or "MemAvailable" not in sizes:
        return None
    return sizes["MemTotal"] - sizes["MemAvailable"], sizes["MemTotal"]


def gpus(table: str) -> list[Meter]:
    """Two bars for each line of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`.

    A figure that the card does not give ("[N/A]") leaves its bar out.
    """
    meters: list[Meter] = []
    lines = [[field.strip() for field in line.split(",")] for line in table.splitlines() if line.strip()]
    for fields in lines:
        if len(fields) != len(_QUERY.split(",")):
            continue
        index, name, busy, used, total, degrees = fields
        label = f"GPU {index}" if len(lines) > 1 else "GPU"
        if busy.isdigit():
            warm = f", {degrees} °C" if degrees.isdigit() else ""
            short = name.removeprefix("NVIDIA ").removeprefix("GeForce ")
            meters.append(Meter(label=label, share=int(busy) / 100, words=f"{busy} %{warm}  {short}"))
        if used.isdigit() and total.isdigit() and int(total):
            words = f"{int(used) / 1024:.1f} of {int(total) / 1024:.0f} GiB"
            meters.append(Meter(label=f"{label} memory", share=int(used) / int(total), words=words))
    return meters


class Hardware(threading.Thread):
    """Looks every few seconds, in a thread of its own: nvidia-smi takes a while. `meters` is the latest."""

    def __init__(self, proc: Path = PROC) -> None:
        super().__init__(name="hardware", daemon=True)
        self.meters: tuple[Meter, ...] = ()
        self._proc = proc
        self._before: tuple[float, float] | None = None
        self._closing = threading.Event()
        self._smi = shutil.which("nvidia-smi")

    def run(self) -> None:
        """The thread."""
        self.look()
        while not self._closing.wait(EVERY_S if self._before is not None else 0.5):
            self.look()

    def close(self) -> None:
        """Stop within a moment."""
        self._closing.set()
        if self.is_alive():
            self.join(timeout=5.0)

    def look(self) -> None:
        """Measure once."""
        meters: list[Meter] = []
        now = cpu_times(_text(self._proc / "stat"))
        if now is not None:
            if self._before is not None and now[1] > self._before[1]:
                share = min(1.0, max(0.0, (now[0] - self._before[0]) / (now[1] - self._before[1])))
                meters.append(Meter(label="CPU", share=share, words=f"{share:.0%} of {os.cpu_count()} cores"))
            self._before = now
        taken = memory(_text(self._proc / "meminfo"))
        if taken is not None:
            words = f"{taken[0] / _GIB:.1f} of {taken[1] / _GIB:.0f} GiB"
            meters.append(Meter(label="Memory", share=taken[0] / taken[1], words=words))
        self.meters = (*meters, *self._gpus())

    def _gpus(self) -> list[Meter]:
        if self._smi is None:
            return []
        command = [self._smi, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10.0, check=True)
        except (OSError, subprocess.SubprocessError):
            self._smi = None  # no driver behind it: not asked again
            return []
        return gpus(done.stdout)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
