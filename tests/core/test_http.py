"""The transport: resumed by the server's mark alone, bounded, checked, and led nowhere but to the web."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core import http

DATA = bytes(range(256)) * 400


class Server(ThreadingHTTPServer):
    """Serves DATA; `cuts` says after how many bytes answers break off."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.etag, self.cuts, self.asked = DATA, '"one"', [], []  # type: ignore[var-annotated]
        self.status, self.location, self.length = 0, "", True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file.bin?key=secret"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        span = self.headers.get("Range")
        server.asked.append(span)
        if server.status:
            self.send_response(server.status)
            if server.location:
                self.send_header("Location", server.location)
            self.end_headers()
            return
        if self.headers.get("If-None-Match") == server.etag:
            self.send_response(304)
            self.end_headers()
            return
        start = 0
        if span and self.headers.get("If-Range") == server.etag:
            start = int(span[6:-1])
            if start >= len(server.data):
                self.send_response(416)
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(server.data) - 1}/{len(server.data)}")
        else:
            self.send_response(200)
        self.send_header("ETag", server.etag)
        if server.length:
            self.send_header("Content-Length", str(len(server.data) - start))
        self.end_headers()
        body = server.data[start:]
        if server.cuts:
            body = body[: server.cuts.pop(0)]
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def got(server: Server, **options: object) -> bytes:
    file = io.BytesIO()
    assert http.fetch(server.url, file, sleep=lambda _: None, **options) is not None  # type: ignore[arg-type]
    return file.getvalue()


def test_a_file_comes_whole_through_cuts_and_each_try_goes_on(server: Server) -> None:
    server.cuts = [1000, 0, 0, 5]
    seen: list[tuple[int, int]] = []
    assert got(server, progress=lambda *values: seen.append(values)) == DATA
    assert server.asked == [None, "bytes=1000-", "bytes=1000-", "bytes=1000-", "bytes=1005-"]
    assert seen[-1] == (len(DATA), len(DATA))


def test_tries_that_bring_nothing_end_it_and_what_came_is_left(server: Server) -> None:
    server.cuts = [1000, 0, 0, 0]
    file, slept = io.BytesIO(), list[float]()
    with pytest.raises(http.InterruptedTransferError, match=f"expected {len(DATA)} bytes, got 1000"):
        http.fetch(server.url, file, pauses=(1.0, 2.0), sleep=slept.append)
    assert file.getvalue() == DATA[:1000]
    assert slept == [1.0, 1.0, 2.0]


def test_bytes_of_another_version_are_never_joined(server: Server) -> None:
    server.cuts = [1000]
    file = io.BytesIO()

    def change(_: float) -> None:
        server.data, server.etag = DATA[::-1], '"two"'

    version = http.fetch(server.url, file, sleep=change)
    assert file.getvalue() == DATA[::-1]
    assert version == http.Version(etag='"two"')


def test_without_a_strong_mark_it_begins_again(server: Server) -> None:
    server.etag, server.cuts = 'W/"one"', [1000]
    assert got(server) == DATA
    assert server.asked == [None, None]


def test_a_shorter_file_than_what_came_begins_again(server: Server) -> None:
    file = io.BytesIO(DATA + b"more")
    assert http.fetch(server.url, file, version=http.Version(etag='"one"'), sleep=lambda _: None) is not None
    assert file.getvalue() == DATA


def test_what_is_known_is_not_sent(server: Server) -> None:
    file = io.BytesIO()
    assert http.fetch(server.url, file, known=http.Version(etag='"one"')) is None
    assert file.getvalue() == b""


@pytest.mark.parametrize("length", [True, False])
def test_no_more_than_the_limit_is_taken(server: Server, length: bool) -> None:
    server.length = length
    with pytest.raises(http.TooLargeError, match="larger than 1000 bytes"):
        http.read_small(server.url, 1000)
    file = io.BytesIO()
    with pytest.raises(http.TooLargeError):
        http.transfer(server.url, file, limit=1000)
    assert len(file.getvalue()) <= 1 << 18
    assert http.read_small(server.url, len(DATA)) == DATA


def test_the_digest_is_that_of_the_whole_file(server: Server) -> None:
    server.cuts = [1000]
    digest = hashlib.sha256(DATA).hexdigest()
    assert got(server, sha256=digest) == DATA
    assert got(server, sha256=digest[:8]) == DATA
    with pytest.raises(http.DigestError, match="damaged or another file"):
        got(server, sha256="0" * 64)


@pytest.mark.parametrize(
    ("status", "location", "kind", "message"),
    [
        (404, "", http.RefusedError, "answered 404 Not Found"),
        (403, "", http.RefusedError, "answered 403"),
        (503, "", http.InterruptedTransferError, "answered 503"),
        (429, "", http.InterruptedTransferError, "answered 429"),
        (302, "file:///etc/passwd", http.HttpError, "redirect to a web address|answered 302"),
        (204, "", http.RefusedError, "answered 204"),
    ],
)
def test_each_answer_is_one_error_without_the_address(
    server: Server, status: int, location: str, kind: type[http.HttpError], message: str
) -> None:
    server.status, server.location = status, location
    with pytest.raises(kind, match=message) as caught:
        http.transfer(server.url, io.BytesIO())
    assert "secret" not in str(caught.value)
    assert getattr(caught.value, "missing", False) == (status == 404)


@pytest.mark.parametrize("make", [lambda: "http://", lambda: "http://host:port/x", lambda: "no address"])
def test_an_address_that_is_none_is_an_error(make: Callable[[], str]) -> None:
    with pytest.raises(http.HttpError):
        http.transfer(make(), io.BytesIO())


def test_secrets_are_not_shown() -> None:
    assert http.without_secrets("https://me:pw@host/a/b.bin?key=1#x") == "https://host/a/b.bin"
    assert http.without_secrets("http://host") == "http://host"
