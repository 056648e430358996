"""A stand-in engine, as slow as a test wants, and services that write only what a test reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.explorer.services import Services
from app.explorer.session import Session
from app.explorer.storage.settings import SettingsStore
from core.arithmetic import Arithmetic
from core.model_info import LayerInfo, ModelInfo
from core.request import Frame, RenderRequest

VOCABULARY = frozenset({"snowy", "mountains", "at", "sunset", "watercolor", "a", "house"})


class SlowEngine:
    """Pictures that depend on the request, after `delay` seconds."""

    def __init__(self, path: Path, delay: float = 0.0, size: int = 8, precision: str = "float32", **info: Any) -> None:
        values = {
            "name": path.stem,
            "family": "stylegan_t",
            "size": (size, size),
            "conditioning": "text",
            "classes": 0,
            "class_names": (),
            "z_dim": 4,
            "w_dim": 6,
            "num_ws": 3,
            "layers": tuple(
                LayerInfo(name=f"b{4 << i}", size=(4 << i, 4 << i), channels=16 >> i, style=i) for i in range(3)
            ),
            "has_noise": True,
            "has_transform": True,
            "path": path,
            "sha256": "ab" * 32,
            "parameters": 1_000_000,
            "images_seen": 1000,
            "vocabulary": VOCABULARY,
            "arithmetic": Arithmetic(device="cpu", precision=precision, plain=False, threads=1),
        }
        self.info = ModelInfo(**(values | info))
        self.delay = delay
        self.size = size
        self.rendered: list[RenderRequest] = []
        self.vectors: dict[str, Any] = {}
        self.looked: list[tuple[RenderRequest, str]] = []

    def register(self, vectors: Any) -> None:
        self.vectors.update(vectors)

    def unregister(self, names: Any) -> None:
        for name in names:
            self.vectors.pop(name, None)

    def latent(self, request: RenderRequest) -> Any:
        shape = (self.info.num_ws, self.info.w_dim)
        return np.random.default_rng(abs(hash(request)) % 2**32).normal(size=shape).astype(np.float32)

    def embeddings(self, prompts: Any) -> Any:
        """Words with the same letters in front are near to each other."""
        rows = np.zeros((len(prompts), 26), np.float32)
        for row, prompt in zip(rows, prompts, strict=True):
            for place, letter in enumerate(prompt.lower()):
                if "a" <= letter <= "z":
                    row[ord(letter) - 97] += 0.5**place
        return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-6)

    def features(self, request: RenderRequest, layer: str) -> Any:
        self.looked.append((request, layer))
        info = next(info for info in self.info.layers if info.name == layer)
        rng = np.random.default_rng(abs(hash((request, layer))) % 2**32)
        return rng.normal(size=(info.channels, *info.size)).astype(np.float32)

    def layer_types(self) -> dict[str, str]:
        return {layer.name: self.info.precision for layer in self.info.layers}

    def render(self, request: RenderRequest) -> Frame:
        self.rendered.append(request)
        time.sleep(self.delay)
        if request.prompt == "fail":
            raise RuntimeError("the engine\nfailed")
        rng = np.random.default_rng(abs(hash(request)) % 2**32)
        pixels = rng.integers(0, 256, (self.size, self.size, 3), dtype=np.uint8)
        return Frame(request=request, pixels=pixels, render_ms=self.delay * 1e3)


def open_slow_engine(path: Path, report: Any = None) -> SlowEngine:
    """A loader: files named "bad" do not load."""
    if "bad" in path.name:
        raise ValueError(f"{path}: expected a checkpoint, got something bad")
    return SlowEngine(path)


class ListWriter:
    """A video writer that keeps its frames."""

    def __init__(self, path: Path, fps: int, size: tuple[int, int], comment: str) -> None:
        self.path, self.fps, self.size, self.comment = path, fps, size, comment
        self.frames: list[Any] = []
        self.closed = False

    def write(self, pixels: Any) -> None:
        self.frames.append(pixels)

    def close(self) -> None:
        self.closed = True


def write_bytes(path: Path, frame: Frame, info: Any, scene: Any, time: float | None) -> None:
    """Writes the bare pixels."""
    path.write_bytes(frame.pixels.tobytes())


def draw_thumbnail(model: Path, picture: Path) -> str | None:
    """A grey picture of anything that is not named "bad"."""
    if "bad" in model.name:
        return f"{model}: expected a checkpoint, got something bad"
    Image.new("RGB", (8, 6), (90, 90, 90)).save(picture)
    return None


def make_services(**changes: Any) -> Services:
    """Fast fakes, with some of them replaced."""
    open_engine = changes.pop("open_engine", open_slow_engine)
    values: dict[str, Any] = {
        # Most fakes do not care what they run on; `open_chosen` is for those that do.
        "open_engine": changes.pop("open_chosen", lambda path, report, choice: open_engine(path, report)),
        "open_writer": ListWriter,
        "write_image": write_bytes,
        "draw_thumbnail": draw_thumbnail,
        "bundled_checkpoint": lambda: Path("/bundled.safetensors"),
        **changes,
    }
    return Services(**values)


def make_session(folder: Path, checkpoint: Path | None = None, **changes: Any) -> Session:
    """A session that keeps its files in `folder`."""
    session = Session(make_services(**changes), SettingsStore(folder / "config"), checkpoint)
    session.preferences.set_output_dir(folder / "out")
    return session


def wait_until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    """Wait for another thread; an AssertionError when it takes too long."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.002)


def errors(session: Session) -> list[str]:
    """What the window said went wrong."""
    return [message.text for message in session.messages.lines if message.level == "error"]


def settle(session: Session) -> None:
    """Tick until the picture is the scene's and nothing is under way."""

    def settled() -> bool:
        session.tick()
        return session.rendering.settled

    wait_until(settled)
