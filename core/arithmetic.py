"""How an engine calculates, as far as it changes pictures. No torch here: takes and scenes keep it."""

from __future__ import annotations

from dataclasses import dataclass

MOST_THREADS = 1024


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """How an engine calculates. The same on the same machine gives the same bits; all else differs in the last one."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: str = "auto"
    """auto, float32, bfloat16 or float16."""
    plain: bool | None = None
    """Whether by the model's own modules, not the fast ones; None: if float32 is asked for by name."""
    threads: int = 0
    """How many share the sums on a CPU; 0 is as many as are good, and on a GPU, where there are none."""

    def __post_init__(self) -> None:
        if not 0 <= self.threads <= MOST_THREADS:
            raise ValueError(f"threads: expected 0 to {MOST_THREADS}, got {self.threads}")
