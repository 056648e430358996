"""Small data sets on disk and on a web server of this machine."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.datasets.trees import FolderTree

SIDE = 8


def pixels(number: int) -> np.ndarray[Any, Any]:
    """A plain picture that tells its number: uint8 [8, 8, 3]."""
    return np.full((SIDE, SIDE, 3), (number % 256, number // 256, 7), np.uint8)


def png(number: int, size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(number)).resize(size).save(file, format="PNG")
    return file.getvalue()


def number_of(image: np.ndarray[Any, Any]) -> int:
    """Which picture of `pixels` this [3, R, R] is."""
    return int(image[0, 0, 0]) + 256 * int(image[1, 0, 0])


@dataclass(frozen=True)
class DeadlyTree(FolderTree):
    """A folder whose reader is ended by one of its pictures, as one is whose memory is used up."""

    deadly: str = ""

    def read(self, name: str, limit: int = 1 << 20) -> bytes:
        if name == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(name, limit)


def write_folder(root: Path, numbers: Sequence[int]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (root / f"{number:05d}.png").write_bytes(png(number))
        (root / f"{number:05d}.txt").write_text(f"number {number}\n", encoding="utf-8")
    return root


def write_tar(path: Path, files: Sequence[tuple[str, bytes]], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def samples(numbers: Sequence[int]) -> list[tuple[str, bytes]]:
    """The files of a shard."""
    return [
        file
        for number in numbers
        for file in ((f"{number:05d}.png", png(number)), (f"{number:05d}.txt", f"number {number}".encode()))
    ]


def write_shards(root: Path, counts: Sequence[int]) -> Path:
    """Shards 00000.tar, 00001.tar ... whose pictures are numbered through."""
    first = 0
    for shard, count in enumerate(counts):
        write_tar(root / f"{shard:05d}.tar", samples(range(first, first + count)))
        first += count
    return root


class Server(ThreadingHTTPServer):
    """Serves a folder; `hiccups` answers break off in the middle, and it notes what it was asked for."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root, self.hiccups, self.down = root, 0, False
        self.ranges: list[str] = []
        self.asked: list[str] = []
        self.going = threading.Event()
        self.going.set()

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """Meanwhile shards are asked for and do not come."""
        self.going.clear()
        try:
            yield
        finally:
            self.going.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.asked.append(self.path)
        file = server.root / self.path.split("?")[0].lstrip("/")
        if self.path == "/elsewhere.tar":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        if server.down:
            self.send_error(503)
            return
        if not file.is_file():
            self.send_error(404)
            return
        data, start = file.read_bytes(), 0
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            server.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("ETag", f'"{len(data)}"')
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if file.suffix == ".tar":
            server.going.wait(60)
        if server.hiccups > 0:
            server.hiccups -= 1
            body = body[: len(body) // 2]
        with contextlib.suppress(ConnectionError):  # who asked may have gone
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    server = Server(root)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
