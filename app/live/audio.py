"""Audio features: level, three bands, beats and tempo, as numbers from 0 to 1. numpy only, no devices.

Beats are onsets: peaks of the spectral flux above an adaptive threshold (Bello et al., A Tutorial on Onset Detection in
Music Signals, 2005). The tempo is where the flux is most like itself some beats earlier.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

SIGNALS = {
    "level": "How loud it is, from -60 dB to full scale.",
    "low": "Bass: up to 200 Hz.",
    "mid": "Voices and most instruments: 200 to 2000 Hz.",
    "high": "Hiss, cymbals, consonants: above 2000 Hz.",
    "beat": "1 at each beat, then fading within half a second.",
}

WINDOW_S = 0.023
BANDS = {"low": (20.0, 200.0), "mid": (200.0, 2000.0), "high": (2000.0, 16000.0)}
QUIETEST_DB = -60.0

# Onsets stand out against the second before them, and are not nearer to each other than drummers play.
THRESHOLD_S = 1.0
NEAREST_ONSETS_S = 0.12
BEAT_FADE_S = 0.15

TEMPO_MEMORY_S = 8.0
TEMPO_EVERY_S = 0.5
SLOWEST_BPM, FASTEST_BPM = 50.0, 220.0
# Of a tempo and its double, people tap the one nearer to this.
USUAL_BPM = 120.0
# Over so many beats a period is measured, which makes it that much finer than a frame.
BEATS_MEASURED = 4
# How much of the flux must come again for there to be a tempo.
LEAST_LIKENESS = 0.15


@dataclass(frozen=True, kw_only=True)
class AudioFeatures:
    """Features of a sound at one moment."""

    level: float = 0.0
    low: float = 0.0
    mid: float = 0.0
    high: float = 0.0
    beat: float = 0.0
    beats: int = 0
    """How many beats there were so far."""
    bpm: float = 0.0
    """Tempo in beats a minute; 0 while there is none to be heard."""

    def signal(self, name: str) -> float:
        """One of `SIGNALS`. Raises `KeyError`."""
        return {"level": self.level, "low": self.low, "mid": self.mid, "high": self.high, "beat": self.beat}[name]


def loudness(rms: float) -> float:
    """0 at -60 dB and below, 1 at full scale."""
    if rms <= 0.0:
        return 0.0
    return min(max(1.0 - 20.0 * math.log10(rms) / QUIETEST_DB, 0.0), 1.0)


class AudioAnalyser:
    """Takes a sound piece by piece. `rate` is in samples a second, at least 8000; raises `ValueError` for less."""

    def __init__(self, rate: float) -> None:
        if not rate >= 8000:
            raise ValueError(f"rate: expected at least 8000 samples a second, got {rate!r}")
        self.features = AudioFeatures()
        self._size = 2 ** round(math.log2(rate * WINDOW_S))  # 1024 at 44.1 and 48 kHz
        self._hop = self._size // 2
        self._frames_a_second = rate / self._hop
        self._window = np.hanning(self._size).astype(np.float32)
        frequencies = np.fft.rfftfreq(self._size, 1.0 / rate)
        self._bins = {
            name: slice(*np.searchsorted(frequencies, (low, min(high, rate / 2 + 1))))
            for name, (low, high) in BANDS.items()
        }
        # The window takes away energy; Parseval, for the mean square of a frame from half of its spectrum.
        self._power = 2.0 / (self._size * float(np.sum(self._window**2)))
        self._samples = np.zeros(self._size, np.float32)
        self._waiting: Samples = np.zeros(0, np.float32)
        self._spectrum = np.zeros(self._size // 2 + 1, np.float32)
        self._flux: deque[float] = deque(maxlen=round(TEMPO_MEMORY_S * self._frames_a_second))
        self._frames = 0
        self._last_onset = -math.inf
        self._beat = 0.0
        self._beats = 0
        self._bpm = 0.0

    def feed(self, samples: Samples) -> AudioFeatures:
        """Take more samples, [N] in -1 to 1, and return the features at their end; also in `features`."""
        samples = np.clip(np.nan_to_num(samples.astype(np.float32, copy=False)), -1.0, 1.0)
        self._waiting = np.concatenate([self._waiting, samples])
        while len(self._waiting) >= self._hop:
            self._samples = np.concatenate([self._samples[self._hop :], self._waiting[: self._hop]])
            self._waiting = self._waiting[self._hop :]
            self._frame()
        return self.features

    def _frame(self) -> None:
        self._frames += 1
        spectrum = np.abs(np.fft.rfft(self._samples * self._window)).astype(np.float32)
        power = self._power * spectrum**2
        self._listen_for_onset(spectrum)
        if self._frames % max(round(TEMPO_EVERY_S * self._frames_a_second), 1) == 0:
            self._bpm = self._tempo()
        bands = {name: loudness(math.sqrt(float(power[bins].sum()))) for name, bins in self._bins.items()}
        self.features = AudioFeatures(
            level=loudness(math.sqrt(float(np.mean(self._samples**2)))),
            beat=self._beat,
            beats=self._beats,
            bpm=self._bpm,
            **bands,
        )

    def _listen_for_onset(self, spectrum: NDArray[np.float32]) -> None:
        # Compressed, so that soft hits count beside loud ones.
        compressed = np.log1p(spectrum)
        self._flux.append(float(np.maximum(compressed - self._spectrum, 0.0).mean()))
        self._spectrum = compressed
        self._beat *= math.exp(-1.0 / (BEAT_FADE_S * self._frames_a_second))
        recent = list(self._flux)[-round(THRESHOLD_S * self._frames_a_second) :]
        if len(recent) < 4:
            return
        # The frame before this one, now that it is known whether it was a peak.
        before, peak, after = recent[-3:]
        threshold = float(max(1.5 * np.mean(recent), np.mean(recent) + 2.0 * np.std(recent))) + 0.01
        now = self._frames / self._frames_a_second
        if peak > threshold and before <= peak > after and now - self._last_onset >= NEAREST_ONSETS_S:
            self._last_onset = now
            self._beat = 1.0
            self._beats += 1

    def _tempo(self) -> float:
        """Beats a minute over the last seconds; 0 while there is nothing that comes again and again."""
        flux = np.array(self._flux)
        if len(flux) < 0.5 * TEMPO_MEMORY_S * self._frames_a_second or flux.max() < 0.02:
            return 0.0
        flux = flux - flux.mean()
        size = 2 ** math.ceil(math.log2(2 * len(flux)))
        likeness = np.fft.irfft(np.abs(np.fft.rfft(flux, size)) ** 2)[: len(flux)]
        # Fewer pairs overlap at longer lags.
        likeness = likeness / (np.arange(len(flux), 0, -1) * max(likeness[0] / len(flux), 1e-12))
        lags = np.arange(
            math.floor(60.0 * self._frames_a_second / FASTEST_BPM),
            math.ceil(60.0 * self._frames_a_second / SLOWEST_BPM),
        )
        bpm = 60.0 * self._frames_a_second / lags
        # A period falls between frames: what is alike is shared by neighbours.
        nearby = likeness[lags - 1] + likeness[lags] + likeness[lags + 1]
        score = nearby * np.exp(-0.5 * (np.log2(bpm / USUAL_BPM) / 0.9) ** 2)
        best = int(lags[int(np.argmax(score))])
        if nearby[best - lags[0]] < LEAST_LIKENESS:
            return 0.0
        # The same place some beats later is the same period, that many times finer.
        period = float(best)
        for beats in range(1, BEATS_MEASURED + 1):
            around = round(period * beats)
            reach = max(2, math.ceil(0.6 * beats / max(beats - 1, 1)))
            low, high = around - reach, around + reach + 1
            if high + 1 >= 0.8 * len(likeness) or low < 1:
                break
            top = low + int(np.argmax(likeness[low:high]))
            left, middle, right = likeness[top - 1 : top + 2]
            bend = left - 2.0 * middle + right
            shift = 0.5 * (left - right) / bend if bend < 0.0 else 0.0
            period = (top + min(max(shift, -0.5), 0.5)) / beats
        return float(60.0 * self._frames_a_second / period)
