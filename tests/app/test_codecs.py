"""Every export format: what is written is what plays, says how it was made, and plays after any interruption."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from app.codecs import CODEC_NAMES, CODECS, CodecName, check_name, codec_for
from app.errors import UserError
from app.media import kind_of, read_media
from app.muxing import whole_clusters, whole_fragments
from app.provenance import document, document_text
from app.video import VideoWriter, check_output
from core.request import RenderRequest
from tests.app.test_images import INFO

FILES: tuple[CodecName, ...] = tuple(name for name in CODEC_NAMES if CODECS[name].open is not None)
REQUEST = RenderRequest(prompt='snowy 日落 🏔️, "quoted"\nline', seed_x=3.5, psi=0.7)


def frames_of(path: Path) -> tuple[list[NDArray[np.uint8]], list[float]]:
    """What a player shows: pictures, and when each begins, in seconds."""
    if path.suffix in (".gif", ".png"):
        pictures, times, now = [], [], 0.0
        with Image.open(path) as image:
            for frame in ImageSequence.Iterator(image):
                pictures.append(np.asarray(frame.convert("RGB")))
                times.append(now)
                now += frame.info["duration"] / 1000
        return pictures, times
    pictures, times = [], []
    with av.open(str(path)) as container:
        try:
            for frame in container.decode(video=0):
                pictures.append(frame.to_ndarray(format="rgb24"))
                times.append(float(frame.time))
        except av.FFmpegError:
            pass  # players stop here too
    return pictures, times


def moving(count: int, side: int = 24) -> list[NDArray[np.uint8]]:
    """Pictures that differ from each other and hold few enough colours for a GIF's table."""
    y, x = np.mgrid[0:side, 0:side]
    return [
        np.stack([(x // 6 * 60 + 9 * index) % 256, y // 6 * 60, (x // 6 + y // 6) * 30], axis=2).astype(np.uint8)
        for index in range(count)
    ]


def noisy(count: int, side: int = 64) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]


def write(path: Path, name: CodecName, pictures: list[NDArray[np.uint8]], fps: Fraction | int = 25, **values) -> None:
    with VideoWriter(path, fps, pictures[0].shape[0], codec=name, **values) as writer:
        for picture in pictures:
            writer.write(picture)


@pytest.mark.parametrize("name", FILES)
def test_frames_and_times_come_back(tmp_path, name):
    path = tmp_path / f"x{CODECS[name].suffix}"
    pictures = moving(40)
    write(path, name, pictures)
    shown, times = frames_of(path)
    assert len(shown) == 40
    assert times == pytest.approx([index / 25 for index in range(40)], abs=2e-3)
    for picture, back in zip(pictures, shown, strict=True):
        error = np.abs(picture.astype(int) - back.astype(int))
        assert error.mean() < 6
        assert error.max() == 0 or not CODECS[name].lossless


@pytest.mark.parametrize("name", [name for name in FILES if CODECS[name].lossless])
def test_lossless_formats_keep_every_bit(tmp_path, name):
    path = tmp_path / f"x{CODECS[name].suffix}"
    pictures = [picture[:33] for picture in noisy(12)]  # an odd side stays odd
    with VideoWriter(path, 30, (64, 33), codec=name) as writer:
        for picture in pictures:
            writer.write(picture)
    shown, _ = frames_of(path)
    np.testing.assert_array_equal(np.stack(shown), np.stack(pictures))


def test_few_colours_survive_a_gif_exactly(tmp_path):
    pictures = moving(10)
    write(tmp_path / "x.gif", "gif", pictures)
    shown, _ = frames_of(tmp_path / "x.gif")
    np.testing.assert_array_equal(np.stack(shown), np.stack(pictures))
    with Image.open(tmp_path / "x.gif") as image:
        assert image.info["loop"] == 0


def test_a_gif_keeps_its_speed_at_rates_that_hundredths_do_not_divide(tmp_path):
    write(tmp_path / "x.gif", "gif", moving(30), fps=30)
    _, times = frames_of(tmp_path / "x.gif")
    assert times == pytest.approx([index / 30 for index in range(30)], abs=0.0051)


@pytest.mark.parametrize("name", FILES)
def test_every_file_says_how_it_was_made(tmp_path, name):
    path = tmp_path / f"x{CODECS[name].suffix}"
    scene = {"scene": 2, "prompt": "x" * 70_000, "checkpoint": "/home/somebody/x.safetensors"}
    comment = document_text(document(REQUEST, INFO, scene=scene, time=1.5, video={"fps": "25", "frames": 3}))
    write(path, name, moving(3), comment=comment)
    picture = read_media(path)
    assert picture.request == REQUEST
    assert picture.checkpoint == {"name": INFO.name, "family": INFO.family, "sha256": INFO.sha256}
    # Where the file lay is nobody's business.
    assert picture.scene == {**scene, "checkpoint": ""}
    assert picture.time == 1.5
    assert picture.video == {"fps": "25", "frames": 3}
    assert (picture.width, picture.height) == (24, 24)


@pytest.mark.parametrize("name", FILES)
def test_a_killed_export_plays(tmp_path, name):
    path, killed = tmp_path / f"x{CODECS[name].suffix}", tmp_path / f"killed{CODECS[name].suffix}"
    with VideoWriter(path, 30, 64, codec=name, comment='{"version": 1}') as writer:
        for picture in moving(150, side=64):
            writer.write(picture)
        killed.write_bytes(path.read_bytes())  # what the disk has at this moment
    shown, _ = frames_of(killed)
    assert 60 <= len(shown) <= 150
    # Cut anywhere, as a full disk or a copy that ended early cuts it.
    whole = path.read_bytes()
    killed.write_bytes(whole[: len(whole) * 7 // 10])
    if name not in ("apng", "prores", "gif"):  # these say at their start how much follows
        assert len(frames_of(killed)[0]) >= 30


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("limit", "left"), [(150_000, True), (200, False)])
def test_a_full_disk_is_one_error_and_what_fitted_plays(tmp_path, name, limit, left):
    path = tmp_path / f"x{CODECS[name].suffix}"
    resource = pytest.importorskip("resource", reason="a limit on file sizes is a POSIX thing")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with (
            pytest.raises(UserError, match="file too large") as caught,
            VideoWriter(path, 30, 48, codec=name) as writer,
        ):
            for _ in range(100):
                for picture in noisy(6, side=48):
                    writer.write(picture)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    if left:
        assert "what is in the file plays" in str(caught.value)
        shown, _ = frames_of(path)
        assert len(shown) >= 5
        if CODECS[name].lossless:
            np.testing.assert_array_equal(np.stack(shown[:6]), np.stack(noisy(6, side=48))[: len(shown)])
        if path.suffix in (".mkv", ".webm"):
            assert whole_clusters(path)[1] == path.stat().st_size
        if path.suffix in (".mp4", ".mov"):
            assert whole_fragments(path)[1] == path.stat().st_size
    else:
        assert "cannot write" in str(caught.value)
        assert not path.exists()


def test_names_and_rates_are_checked_before_any_work(tmp_path):
    assert [codec_for(Path(f"x{CODECS[name].suffix}")) for name in CODEC_NAMES] == list(CODEC_NAMES)
    with pytest.raises(UserError, match=r"expected a name that ends in \.mp4, \.mkv"):
        codec_for(Path("x.avi"))
    with pytest.raises(UserError, match=r"ends in \.png or \.apng"):
        check_name(Path("x.gif"), "apng")
    with pytest.raises(UserError, match="from 1 to 50, got 60"):
        check_output(tmp_path / "x.gif", 60, 64, "gif")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "000000.png").write_bytes(b"")
    with pytest.raises(UserError, match="expected an empty folder; with --resume"):
        check_output(tmp_path / "folder", 60, 64, "png")
    check_output(tmp_path / "folder", 60, 64, "png", exists=True)


def test_other_files_have_no_request(tmp_path):
    write(tmp_path / "x.mp4", "h264", moving(3), comment="filmed on holiday")
    Image.fromarray(moving(1)[0]).save(tmp_path / "x.gif", comment=b"\xff\xfe not ours")
    for name in ("x.mp4", "x.gif"):
        picture = read_media(tmp_path / name)
        assert (picture.request, picture.checkpoint) == (None, None)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif", ".png"])
def test_hostile_files_are_one_error(tmp_path, suffix):
    name = {".mp4": "h264", ".mkv": "ffv1", ".gif": "gif", ".png": "apng"}[suffix]
    whole = tmp_path / f"whole{suffix}"
    write(whole, name, moving(3), comment=document_text(document(REQUEST, INFO)))
    data = whole.read_bytes()
    rng = np.random.default_rng(1)
    path = tmp_path / f"x{suffix}"
    for _ in range(60):
        damaged = bytearray(data[: int(rng.integers(20, len(data)))])
        for at in rng.integers(16, len(damaged), 8):
            damaged[at] = int(rng.integers(0, 256))
        path.write_bytes(damaged)
        try:
            read_media(path)
        except UserError as error:
            assert str(path) in str(error)  # noqa: PT017 (most of these are read, some are not)
    for text in ('{"version": 2, "software": "Glissando x"}', '{"version": 9, "software": "Glissando x"}'):
        write(path, name, moving(2), comment=text)
        with pytest.raises(UserError, match="metadata"):
            read_media(path)


def test_a_playlist_is_no_video(tmp_path):
    playlist = tmp_path / "x.mp4"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    assert kind_of(playlist.read_bytes()[:16]) is None
    with pytest.raises(UserError, match="expected a PNG, GIF, MP4"):
        read_media(playlist)


def test_a_document_of_version_1_is_read(tmp_path):
    data = document(REQUEST, INFO)
    data["version"] = 1
    write(tmp_path / "x.mkv", "ffv1", moving(2), comment=json.dumps(data))
    assert read_media(tmp_path / "x.mkv").request == REQUEST
