"""Reading look-alikes, for the tests of every family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from core.checkpoints.pickles import Limits, Published, read_published
from core.checkpoints.published import Conversion, convert
from tests.core.checkpoints.published_models import file_of

LIMITS = Limits(memory_bytes=256 * 2**20, seconds=300)


@pytest.fixture
def published(tmp_path: Path) -> Callable[[bytes], Published]:
    """Writes bytes to a file and reads it as published."""

    def write_and_read(data: bytes) -> Published:
        path = tmp_path / "model.pkl"
        path.write_bytes(data)
        return read_published(path, limits=LIMITS)

    return write_and_read


@pytest.fixture
def imported(published: Callable[[bytes], Published]) -> Callable[[nn.Module], Conversion]:
    return lambda module: convert(published(file_of(module)))
