"""What the analyser says of sounds whose answer is known, and the thread that feeds it."""

from __future__ import annotations

import numpy as np
import pytest

from app.live.audio import SIGNALS, AudioAnalyser, AudioFeatures, Samples, loudness
from app.live.audio_input import AudioInput, PortAudio
from app.live.extras import AUDIO_MODULES, missing
from tests.app.explorer.fakes import wait_until
from tests.app.live.fakes import FakeSound

RATE = 48000


def sine(frequency: float, seconds: float = 1.0, amplitude: float = 1.0, rate: int = RATE) -> Samples:
    time = np.arange(int(rate * seconds)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def clicks(bpm: float, seconds: float = 12.0, rate: int = RATE) -> tuple[Samples, int]:
    """A click track over faint noise, and how many clicks it has."""
    rng = np.random.default_rng(1)
    sound = 0.002 * rng.standard_normal(int(rate * seconds))
    starts = np.arange(0.25, seconds - 0.1, 60.0 / bpm)
    length = int(0.03 * rate)
    for start in starts:
        click = rng.standard_normal(length) * np.exp(-np.arange(length) / (0.008 * rate))
        sound[int(start * rate) : int(start * rate) + length] += 0.6 * click
    return sound.astype(np.float32), len(starts)


def test_the_level_is_in_decibels() -> None:
    assert loudness(1.0) == 1.0
    assert loudness(10 ** (-30 / 20)) == pytest.approx(0.5)
    assert loudness(1e-9) == loudness(0.0) == 0.0
    assert AudioAnalyser(RATE).feed(np.zeros(RATE, np.float32)).level == 0.0
    # A full sine is 3 dB below full scale.
    assert AudioAnalyser(RATE).feed(sine(440)).level == pytest.approx(1.0 - 3.01 / 60, abs=1e-2)
    assert AudioAnalyser(RATE).feed(sine(440, amplitude=0.01)).level == pytest.approx(1.0 - 43.01 / 60, abs=1e-2)


@pytest.mark.parametrize("rate", [16000, 44100, 48000, 96000])
@pytest.mark.parametrize(("frequency", "band"), [(90.0, "low"), (700.0, "mid"), (5000.0, "high")])
def test_a_sine_is_in_its_band_only(rate: int, frequency: float, band: str) -> None:
    heard = AudioAnalyser(rate).feed(sine(frequency, rate=rate))
    assert heard.signal(band) == pytest.approx(heard.level, abs=0.02)
    assert all(heard.signal(other) < 0.3 for other in {"low", "mid", "high"} - {band})


def test_a_sweep_goes_through_the_bands_in_order() -> None:
    seconds, low, high = 6.0, 40.0, 8000.0
    time = np.arange(int(RATE * seconds)) / RATE
    k = np.log(high / low) / seconds
    sweep = np.sin(2 * np.pi * low / k * np.expm1(k * time)).astype(np.float32)
    analyser = AudioAnalyser(RATE)
    order = []
    for block in np.array_split(sweep, 300):
        heard = analyser.feed(block)
        order.append(max(("low", "mid", "high"), key=heard.signal))
    assert list(dict.fromkeys(order)) == ["low", "mid", "high"]
    assert order == sorted(order, key=["low", "mid", "high"].index)


@pytest.mark.parametrize("bpm", [60.0, 90.0, 120.0, 128.0, 150.0])
def test_the_tempo_of_a_click_track(bpm: float) -> None:
    sound, count = clicks(bpm)
    analyser = AudioAnalyser(RATE)
    for start in range(0, len(sound), 512):
        heard = analyser.feed(sound[start : start + 512])
    assert heard.bpm == pytest.approx(bpm, rel=0.01)
    assert heard.beats == count


def test_a_beat_is_1_and_fades() -> None:
    sound, _ = clicks(60.0, seconds=3.0)
    analyser = AudioAnalyser(RATE)
    beats = [analyser.feed(block).beat for block in np.array_split(sound, len(sound) // 512)]
    assert max(beats) == 1.0
    at = beats.index(1.0)
    assert at * 512 / RATE == pytest.approx(0.25, abs=0.04)
    assert beats[at : at + 60] == sorted(beats[at : at + 60], reverse=True)
    assert beats[at + 60] < 0.05


@pytest.mark.parametrize("kind", ["silence", "noise", "sine"])
def test_what_has_no_beat_has_none(kind: str) -> None:
    sound = {
        "silence": np.zeros(10 * RATE, np.float32),
        "noise": (0.1 * np.random.default_rng(0).standard_normal(10 * RATE)).astype(np.float32),
        "sine": sine(220, 10.0),
    }[kind]
    heard = AudioAnalyser(RATE).feed(sound)
    assert heard.beats <= 1  # noise that begins is an onset
    assert heard.bpm == 0.0


def test_pieces_of_any_size_are_the_same_sound() -> None:
    sound, _ = clicks(120.0, seconds=5.0)
    whole = AudioAnalyser(RATE)
    pieces = AudioAnalyser(RATE)
    whole.feed(sound)
    rng = np.random.default_rng(3)
    start = 0
    while start < len(sound):
        step = int(rng.integers(1, 3000))
        pieces.feed(sound[start : start + step])
        start += step
    assert pieces.features == whole.features


def test_broken_samples_do_not_stick() -> None:
    analyser = AudioAnalyser(RATE)
    analyser.feed(np.full(4096, np.nan, np.float32))
    analyser.feed(np.full(4096, np.inf, np.float32))
    analyser.feed(np.full(4096, -3e38, np.float32))
    heard = analyser.feed(sine(440, 0.5))
    assert heard.level == pytest.approx(0.95, abs=0.01)
    with pytest.raises(ValueError, match="8000"):
        AudioAnalyser(100)


def test_every_signal_has_a_name() -> None:
    heard = AudioFeatures(level=0.1, low=0.2, mid=0.3, high=0.4, beat=0.5)
    assert [heard.signal(name) for name in SIGNALS] == [0.1, 0.2, 0.3, 0.4, 0.5]


# The device


def test_the_thread_hears_until_the_device_is_gone() -> None:
    tone = sine(440, 10.0, amplitude=0.5)
    sound = FakeSound(lambda start, count: tone[start : start + count])
    woken: list[int] = []
    audio = AudioInput(lambda: sound, "Microphone", lambda: woken.append(1))
    try:
        wait_until(sound.play(20))
        wait_until(lambda: audio.features.level > 0.8)
        assert sound.opened == ["Microphone"]
        assert audio.devices == ("Microphone", "Line in")
        assert audio.listening
        sound.gone = True
        wait_until(lambda: bool(audio.problem))
        assert audio.problem == "The sound has stopped: the device was unplugged"
        assert audio.features == AudioFeatures()
        assert woken
    finally:
        audio.close()


def test_a_device_that_does_not_open_is_a_message_and_the_others_are_listed() -> None:
    audio = AudioInput(lambda: FakeSound(lambda start, count: sine(440)), "Line in", lambda: None)
    try:
        wait_until(lambda: bool(audio.problem))
        assert audio.problem == "No sound can be heard: Line in is busy"
        assert audio.devices == ("Microphone", "Line in")
    finally:
        audio.close()


def test_without_any_input_there_is_a_message() -> None:
    class Deaf(FakeSound):
        def names(self) -> list[str]:
            return []

    audio = AudioInput(lambda: Deaf(lambda start, count: sine(440)), "", lambda: None)
    try:
        wait_until(lambda: bool(audio.problem))
        assert audio.problem == "No sound can be heard: no microphone or other input was found"
    finally:
        audio.close()


def test_the_system_s_devices_can_be_asked_for() -> None:
    if absent := missing(AUDIO_MODULES):
        pytest.skip(absent)
    try:
        backend = PortAudio()
    except OSError as error:
        pytest.skip(f"no PortAudio on this machine: {error}")
    assert all(isinstance(name, str) for name in backend.names())
