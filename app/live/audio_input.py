"""Sound from an input device, analysed on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from app.live.audio import AudioAnalyser, AudioFeatures, Samples

BLOCK = 512


class AudioStream(Protocol):
    """An open input. `read` waits for so many samples, [N], mono; it raises `OSError` when the device is gone."""

    rate: float

    def read(self, count: int) -> Samples: ...

    def close(self) -> None: ...


class AudioBackend(Protocol):
    """The part of a sound library that is used. Both methods raise `OSError`."""

    def names(self) -> list[str]: ...

    def open(self, name: str) -> AudioStream: ...


class PortAudio:
    """The system's devices.

    Raises `ImportError` when sounddevice is not installed, and `OSError` when the PortAudio library is not.
    """

    def __init__(self) -> None:
        try:
            import sounddevice
        except OSError as error:
            raise OSError(
                f"{error}. sounddevice needs it; on Debian and Ubuntu: sudo apt install libportaudio2"
            ) from error
        self._sounddevice: Any = sounddevice

    def names(self) -> list[str]:
        try:
            devices = self._sounddevice.query_devices()
        except self._sounddevice.PortAudioError as error:
            raise OSError(str(error)) from error
        return list(dict.fromkeys(device["name"] for device in devices if device["max_input_channels"] > 0))

    def open(self, name: str) -> AudioStream:
        return _Stream(self._sounddevice, name)


class _Stream:
    def __init__(self, sounddevice: Any, name: str) -> None:
        self._errors = (sounddevice.PortAudioError, ValueError)
        try:
            self._stream = sounddevice.InputStream(
                device=name or None, channels=1, dtype="float32", blocksize=BLOCK, latency="low"
            )
            self._stream.start()
        except self._errors as error:
            raise OSError(str(error)) from error
        self.rate = float(self._stream.samplerate)

    def read(self, count: int) -> Samples:
        try:
            # What the device dropped on a busy machine is no fault here: the sound goes on.
            samples, _ = self._stream.read(count)
        except self._errors as error:
            raise OSError(str(error)) from error
        return np.asarray(samples, np.float32)[:, 0]

    def close(self) -> None:
        self._stream.close()


class AudioInput:
    """Listens from construction to `close`; `features` describe the sound now."""

    def __init__(self, open_backend: Callable[[], AudioBackend], device: str, wake: Callable[[], None]) -> None:
        self.features = AudioFeatures()
        self.devices: tuple[str, ...] = ()
        self.problem = ""
        """Why nothing is heard."""
        self._open_backend = open_backend
        self._device = device
        self._wake = wake
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="audio", daemon=True)
        self._thread.start()

    @property
    def listening(self) -> bool:
        """Whether sound is coming in, or about to."""
        return not self.problem

    def close(self) -> None:
        self._closing = True
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        try:
            backend = self._open_backend()
            self.devices = tuple(backend.names())
            if not self.devices:
                raise OSError("no microphone or other input was found")
            stream = backend.open(self._device)
        except (ImportError, OSError) as error:
            self.problem = f"No sound can be heard: {error}"
            self._wake()
            return
        try:
            analyser = AudioAnalyser(stream.rate)
            while not self._closing:
                self.features = analyser.feed(stream.read(BLOCK))
        except (OSError, ValueError) as error:
            self.features = AudioFeatures()
            self.problem = f"The sound has stopped: {error}"
            self._wake()
        finally:
            stream.close()
