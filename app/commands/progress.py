"""A progress bar for work in stages."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from tqdm import tqdm


class StageBar:
    """Call it with (stage, done, total): one bar a stage, on stderr, and none where stderr is no terminal."""

    def __init__(self) -> None:
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
            bar: tqdm[Any] = tqdm(desc=stage, total=total, disable=None, leave=False)
            self._bar, self._stage = bar, stage
        self._bar.update(done - self._bar.n)
