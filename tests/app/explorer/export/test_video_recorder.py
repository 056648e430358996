import threading
from pathlib import Path

import numpy as np
import pytest

from app.explorer.export import video_recorder as recorder_module
from app.explorer.export.video_recorder import Pixels, VideoRecorder, scaled, video_size
from tests.app.explorer.fakes import ListWriter, wait_until


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def picture(value: int, size: int = 512) -> Pixels:
    return np.full((size, size, 3), value, dtype=np.uint8)


def values(writer: ListWriter) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in writer.frames]


class Writers:
    def __init__(self) -> None:
        self.all: list[ListWriter] = []

    def __call__(self, path: Path, fps: int, size: tuple[int, int], comment: str) -> ListWriter:
        self.all.append(ListWriter(path, fps, size, comment))
        return self.all[-1]


def test_frames_stand_where_their_times_say() -> None:
    clock, writers = Clock(), Writers()
    recorder = VideoRecorder(Path("x.mp4"), writers, fps=10, clock=clock)
    recorder.offer(picture(1))
    clock.now += 0.25
    recorder.offer(picture(2))
    clock.now += 0.05
    recorder.offer(picture(3))  # on screen too briefly for a frame of its own at 0.3? it starts frame 3
    clock.now += 0.40
    recorder.stop()
    result = recorder.join(10.0)
    assert result is not None
    assert result.error is None
    assert result.skipped == 0
    # Frame times 0, .1, .2 | .3, ... , .6: picture 2 lasted from .25 to .3 and fell between two frames.
    assert values(writers.all[0]) == [1, 1, 1, 3, 3, 3, 3]
    assert result.frames == 7
    assert result.seconds == pytest.approx(0.7)
    assert writers.all[0].closed
    assert writers.all[0].fps == 10


def test_a_still_picture_keeps_being_written() -> None:
    clock, writers = Clock(), Writers()
    recorder = VideoRecorder(Path("x.mp4"), writers, fps=10, clock=clock)
    recorder.offer(picture(1))
    clock.now += 2.0
    wait_until(lambda: bool(writers.all) and len(writers.all[0].frames) == 20)  # without stopping
    recorder.stop()
    recorder.join(10.0)
    assert len(writers.all[0].frames) == 20


def test_the_shortest_recording_has_a_frame() -> None:
    clock, writers = Clock(), Writers()
    recorder = VideoRecorder(Path("x.mp4"), writers, fps=10, clock=clock)
    recorder.offer(picture(7))
    recorder.stop()
    recorder.join(10.0)
    assert values(writers.all[0]) == [7]


def test_no_picture_is_an_error() -> None:
    recorder = VideoRecorder(Path("x.mp4"), Writers())
    recorder.stop()
    result = recorder.join(10.0)
    assert result is not None
    assert result.error is not None
    assert "nothing was recorded" in result.error


def test_a_slow_encoder_never_blocks_the_window_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "BACKLOG_BYTES", 3 * picture(0).nbytes)
    clock = Clock()
    writing, go_on = threading.Event(), threading.Event()

    class SlowWriter(ListWriter):
        def write(self, pixels: Pixels) -> None:
            writing.set()
            assert go_on.wait(10.0)
            super().write(pixels)

    made: list[SlowWriter] = []

    def open_writer(path: Path, fps: int, size: tuple[int, int], comment: str) -> SlowWriter:
        made.append(SlowWriter(path, fps, size, comment))
        return made[-1]

    recorder = VideoRecorder(Path("x.mp4"), open_writer, fps=8, clock=clock)
    recorder.offer(picture(1))
    clock.now += 0.125
    assert writing.wait(10.0)
    for i in range(20):
        clock.now += 0.125
        recorder.offer(picture(10 + i))  # returns although the writer is stuck
    recorder.stop()
    go_on.set()
    result = recorder.join(10.0)
    assert result is not None
    assert result.error is None
    assert result.skipped == 17
    # The time is right although pictures are missing.
    assert result.frames == 21


def test_an_error_of_the_writer_ends_the_recording_with_its_message() -> None:
    class FullDisk(ListWriter):
        def write(self, pixels: Pixels) -> None:
            if len(self.frames) == 3:
                raise OSError(28, "No space left on device")
            super().write(pixels)

    made: list[FullDisk] = []

    def open_writer(path: Path, fps: int, size: tuple[int, int], comment: str) -> FullDisk:
        made.append(FullDisk(path, fps, size, comment))
        return made[-1]

    clock = Clock()
    recorder = VideoRecorder(Path("x.mp4"), open_writer, fps=10, clock=clock)
    recorder.offer(picture(1))
    clock.now += 5.0
    wait_until(lambda: recorder.result is not None)
    result = recorder.result
    assert result is not None
    assert result.error is not None
    assert "No space left" in result.error
    assert result.frames == 3
    assert made[0].closed
    recorder.offer(picture(2))  # late pictures are nobody's concern


def test_a_checkpoint_of_another_size_is_stretched_to_the_video() -> None:
    clock, writers = Clock(), Writers()
    recorder = VideoRecorder(Path("x.mp4"), writers, fps=10, clock=clock)
    recorder.offer(picture(1, size=64))
    clock.now += 0.1
    recorder.offer(picture(2, size=128))
    clock.now += 0.1
    recorder.stop()
    recorder.join(10.0)
    assert writers.all[0].size == (512, 512)
    assert [frame.shape for frame in writers.all[0].frames] == [(512, 512, 3)] * 2


@pytest.mark.parametrize(
    ("size", "expected"),
    [((64, 64), (512, 512)), ((512, 512), (512, 512)), ((1024, 1024), (1024, 1024)), ((33, 17), (990, 510))],
)
def test_video_sizes_are_whole_multiples_and_even(size: tuple[int, int], expected: tuple[int, int]) -> None:
    width, height = video_size(*size)
    assert width % 2 == height % 2 == 0
    assert width % size[0] == height % size[1] == 0
    assert width // size[0] == height // size[1]
    assert (width, height) == expected


def test_scaling_keeps_pixels_square_unless_smooth() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(scaled(pixels, (32, 32), smooth=False), pixels.repeat(4, 0).repeat(4, 1))
    assert len(np.unique(scaled(pixels, (32, 32), smooth=True))) > len(np.unique(pixels))
