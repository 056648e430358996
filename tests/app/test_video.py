"""MP4 export: what is written is what plays, to the frame, and faults leave a playable file."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from app.errors import UserError
from app.muxing import whole_fragments
from app.video import VideoWriter, check_output


def gradient(side: int, shift: int = 0) -> np.ndarray:
    """A picture whose every pixel differs from its neighbours: [side, side, 3]."""
    y, x = np.mgrid[0:side, 0:side]
    return np.stack([(x * 7 + shift * 5) % 256, (y * 5) % 256, (x * 3 + y * 2) % 256], axis=2).astype(np.uint8)


def test_frames_times_and_colours_come_back(tmp_path, decode):
    path = tmp_path / "deep" / "er" / "x.mp4"
    colours = [(230, 30, 30), (30, 200, 60), (20, 40, 220), (250, 240, 20), (10, 10, 10), (128, 128, 128)]
    with VideoWriter(path, 24, 64) as writer:
        for colour in colours:
            for _ in range(5):
                writer.write(np.full((16, 16, 3), colour, np.uint8))
    pictures, times = decode(path)
    assert pictures.shape == (30, 64, 64, 3)
    assert times == pytest.approx([index / 24 for index in range(30)], abs=1e-4)
    for index, colour in enumerate(colours):
        # BT.709 there and back, through 4:2:0 and compression.
        assert np.abs(pictures[index * 5 + 2].astype(int) - colour).max() <= 6
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.colorspace == 1


def test_pixels_stay_square_blocks_when_enlarged(tmp_path, decode):
    picture = gradient(16)
    with VideoWriter(tmp_path / "x.mp4", 10, 256) as writer:
        for _ in range(10):
            writer.write(picture)
    pictures, _ = decode(tmp_path / "x.mp4")
    last = pictures[-1].astype(int)
    assert np.abs(last[8::16, 8::16] - picture).mean() < 4
    # Inside a block nothing changes; smooth scaling would move by a third of the way to the neighbour.
    assert np.abs(last[8::16, 6::16] - last[8::16, 10::16]).mean() < 3


def test_smooth_blends_between_pixels(tmp_path, decode):
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, 4:] = 255
    for smooth in (False, True):
        with VideoWriter(tmp_path / f"{smooth}.mp4", 10, 128, smooth=smooth) as writer:
            for _ in range(5):
                writer.write(picture)
    hard, _ = decode(tmp_path / "False.mp4")
    soft, _ = decode(tmp_path / "True.mp4")

    def between(pictures):
        row = pictures[-1][64, :, 0].astype(int)
        return int(((row > 40) & (row < 215)).sum())

    assert between(hard) <= 2
    assert between(soft) >= 8


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((32, 32), 101, (102, 102)),
        ((33, 17), 66, (66, 34)),
        ((17, 33), 99, (52, 100)),
        ((64, 64), 32, (32, 32)),
        ((64, 64), 100, (100, 100)),
        ((16, 16), (48, 31), (32, 48)),
    ],
)
def test_any_size_becomes_even_and_plays(tmp_path, decode, shape, size, expected):
    path = tmp_path / "x.mp4"
    with VideoWriter(path, 10, size) as writer:
        for _ in range(3):
            writer.write(np.full((*shape, 3), 200, np.uint8))
    pictures, _ = decode(path)
    assert pictures.shape == (3, *expected, 3)
    assert abs(int(pictures[-1].mean()) - 200) <= 2


def test_fractional_rates_are_exact(tmp_path, decode):
    rate = Fraction(30000, 1001)
    with VideoWriter(tmp_path / "x.mp4", rate, 32) as writer:
        for index in range(60):
            writer.write(gradient(16, index))
    _, times = decode(tmp_path / "x.mp4")
    assert times == pytest.approx([index / float(rate) for index in range(60)], abs=1e-4)


def test_what_is_written_plays_before_the_file_is_closed(tmp_path, decode):
    path = tmp_path / "x.mp4"
    with VideoWriter(path, 30, 64) as writer:
        for index in range(150):
            writer.write(gradient(16, index))
        pictures, _ = decode(path)
        # At most the encoder's look-ahead and two unfinished fragments are missing.
        assert 90 <= len(pictures) <= 150
    assert len(decode(path)[0]) == 150


def test_a_file_cut_anywhere_after_its_first_fragment_plays(tmp_path, decode):
    path = tmp_path / "x.mp4"
    with VideoWriter(path, 30, 64) as writer:
        for index in range(120):
            writer.write(gradient(16, index))
    whole = path.read_bytes()
    for share in (0.4, 0.55, 0.7, 0.9):
        cut = tmp_path / "cut.mp4"
        cut.write_bytes(whole[: int(len(whole) * share)])
        with av.open(str(cut)) as container:
            count = 0
            try:
                for _ in container.decode(video=0):
                    count += 1
            except av.error.FFmpegError:
                pass  # players stop here too
        assert count >= 15, share


def test_an_error_inside_the_block_keeps_what_was_rendered(tmp_path, decode):
    path = tmp_path / "x.mp4"
    with pytest.raises(RuntimeError, match="out of ideas"), VideoWriter(path, 30, 32) as writer:
        for index in range(7):
            writer.write(gradient(16, index))
        raise RuntimeError("out of ideas")
    assert len(decode(path)[0]) == 7


def test_no_frames_leave_no_file(tmp_path):
    path = tmp_path / "x.mp4"
    with VideoWriter(path, 30, 32):
        pass
    assert not path.exists()


def test_a_full_disk_is_one_error_and_what_fitted_plays(small_disk, decode):
    path = small_disk / "x.mp4"
    rng = np.random.default_rng(0)
    told = "no space left on device; what is in the file plays"
    with pytest.raises(UserError, match=told) as caught, VideoWriter(path, 30, 512) as writer:
        for _ in range(600):
            writer.write(rng.integers(0, 64, (32, 32, 3), np.uint8))
    assert "\n" not in str(caught.value)
    pictures, _ = decode(path)
    assert len(pictures) >= 30
    assert whole_fragments(path)[1] == path.stat().st_size
    with pytest.raises(UserError, match="already closed"):
        writer.write(gradient(32))


@pytest.mark.parametrize(("limit", "left"), [(400_000, True), (3_000, False)])
def test_a_write_that_fails_midway_is_told_once(tmp_path, decode, limit, left):
    path = tmp_path / "x.mp4"
    rng = np.random.default_rng(0)
    resource = pytest.importorskip("resource", reason="a limit on file sizes is a POSIX thing")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(UserError, match="file too large") as caught, VideoWriter(path, 30, 256) as writer:
            for _ in range(600):
                writer.write(rng.integers(0, 64, (32, 32, 3), np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    if left:
        assert "what is in the file plays" in str(caught.value)
        assert len(decode(path)[0]) >= 15
    else:
        assert "nothing was written" in str(caught.value)
        assert not path.exists()


def test_bad_places_and_values_are_refused_before_any_work(tmp_path, unwritable):
    (tmp_path / "folder.mp4").mkdir()
    for path, fps, size, message in (
        (tmp_path / "x.avi", 30, 64, r"name that ends in \.mp4"),
        (tmp_path / "x.mp4", 0, 64, "from 1 to 240, got 0"),
        (tmp_path / "x.mp4", 1000, 64, "from 1 to 240, got 1000"),
        (tmp_path / "x.mp4", 30, 4, "from 16 to 8192, got 4"),
        (tmp_path / "x.mp4", 30, 100_000, "from 16 to 8192, got 100000"),
        (unwritable / "x.mp4", 30, 64, "part of the path is a file, not a folder"),
        (tmp_path / "folder.mp4", 30, 64, "is a directory"),
    ):
        with pytest.raises(UserError, match=message):
            check_output(path, fps, size)
        with pytest.raises(UserError, match=message):
            VideoWriter(path, fps, size)
    assert not (tmp_path / "x.mp4").exists()


def test_a_check_leaves_an_existing_video_as_it_is(tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(b"precious")
    with pytest.raises(UserError, match="is there already"):
        check_output(path, 30, 64)
    check_output(path, 30, 64, overwrite=True)
    assert path.read_bytes() == b"precious"


def test_a_frame_of_another_shape_is_refused(tmp_path):
    with VideoWriter(tmp_path / "x.mp4", 30, 64) as writer:
        writer.write(gradient(16))
        with pytest.raises(UserError, match=r"expected uint8 frames of shape \(16, 16, 3\), got uint8 \(8, 8, 3\)"):
            writer.write(gradient(8))
        with pytest.raises(UserError, match="got float64"):
            writer.write(gradient(16).astype(float))
    with VideoWriter(tmp_path / "y.mp4", 30, 64) as writer, pytest.raises(UserError, match=r"got \[16, 16\]"):
        writer.write(np.zeros((16, 16), np.uint8))
