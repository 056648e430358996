"""A progress bar for work in stages."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from tqdm import tqdm


class StageBar:
    """Call it with (stage, done, total): one bar a stage, on stderr, and none where stderr is no terminal.

    `in_bytes` names the stages that count bytes; a total of 0 is one that is not known.
    """

    def __init__(self, in_bytes: tuple[str, ...] = ()) -> None:
        self._in_bytes = in_bytes
        self._bar: tqdm[Any] | None = None
        self._stage = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if self._bar is None or stage != self._stage:
            self.__exit__(None, None, None)
            counts_bytes = stage in self._in_bytes
            bar: tqdm[Any] = tqdm(
                desc=stage,
                total=total or None,
                disable=None,
                leave=False,
                unit="B" if counts_bytes else "it",
                unit_scale=counts_bytes,
                unit_divisor=1024 if counts_bytes else 1000,
            )
            self._bar, self._stage = bar, stage
        self._bar.update(done - self._bar.n)
