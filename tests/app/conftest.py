"""What the tests of the command line share: decoded videos, places that cannot be written, a small disk."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray


def _decode(path: Path) -> tuple[NDArray[np.uint8], list[float]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        pictures = [frame.to_ndarray(format="rgb24") for frame in frames]
        return np.stack(pictures), [float(frame.time) for frame in frames]


@pytest.fixture
def decode() -> Callable[[Path], tuple[NDArray[np.uint8], list[float]]]:
    """`decode(path)` -> pictures [N, H, W, 3] and their times in seconds."""
    return _decode


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A folder nobody can write to, root included: the path leads through a regular file."""
    file = tmp_path / "a-file"
    file.write_bytes(b"")
    return file / "folder"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", str(folder)]
    for prefix in ([], ["sudo", "-n"]):
        if prefix and shutil.which(prefix[0]) is None:
            continue
        if subprocess.run([*prefix, *mount], capture_output=True, check=False).returncode == 0:
            yield folder
            subprocess.run([*prefix, "umount", str(folder)], check=True)
            return
    pytest.skip("mounting a tmpfs needs root (or sudo without a password); the size-limit test covers the same code")
