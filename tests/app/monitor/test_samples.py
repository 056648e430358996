"""Sample grids: which there are, which is meant, and their pixels."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from PIL import Image

from app.monitor.samples import Loader, chosen, grids, read
from tests.app.monitor.runs import write_grid


def test_grids_are_in_the_order_of_time(tmp_path: Path) -> None:
    assert grids(tmp_path) == ()
    for name in ("000008.png", "1000000.png", "000016.png", "notes.txt", "000024.new", "x.png"):
        write_grid(tmp_path / "samples" / f"{name}.png", 0)
        (tmp_path / "samples" / f"{name}.png").rename(tmp_path / "samples" / name)
    found = grids(tmp_path)
    assert [grid.kimg for grid in found] == [8, 16, 1_000_000]
    assert [chosen(found, kimg) for kimg in (None, 0, 8, 15, 16, 10**9)] == [2, 0, 0, 0, 1, 2]


def test_pixels_come_as_they_are_and_large_ones_averaged(tmp_path: Path) -> None:
    path = tmp_path / "000001.png"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    picture = read(path)
    assert picture.error == ""
    np.testing.assert_allclose(picture.pixels[..., :3], pixels / 255, atol=1e-6)
    assert (picture.pixels[..., 3] == 1).all()
    half = read(path, side=32)
    assert half.pixels.shape == (32, 16, 4)
    blocks = pixels.reshape(32, 2, 16, 2, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(half.pixels[..., :3], blocks, atol=0.01)


def test_files_that_are_no_pictures_say_so(tmp_path: Path) -> None:
    for name, data in (("a.png", b""), ("b.png", b"not a picture"), ("c.png", b"\x89PNG\r\n\x1a\n" + bytes(50))):
        (tmp_path / name).write_bytes(data)
        assert read(tmp_path / name).error == f"{name}: not a picture that can be read"
    assert read(tmp_path / "d.png").error == "d.png: no such file"


def test_the_newest_wish_is_read(tmp_path: Path) -> None:
    for kimg in range(5):
        write_grid(tmp_path / f"{kimg}.png", kimg * 1000)
    loader = Loader()
    loader.start()
    for kimg in range(5):
        loader.want(tmp_path / f"{kimg}.png")
    end = time.monotonic() + 60
    while loader.picture is None or loader.picture.path.name != "4.png":
        assert time.monotonic() < end
        time.sleep(0.005)
    loader.close()
    assert not loader.is_alive()
