"""`glissando import`: files and addresses, with servers of every temper on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app import cli, downloads
from app.errors import UserError
from core.checkpoints import load
from tests.core.checkpoints import published_models as models
from tests.core.checkpoints.lookalikes import dumps, snapshot
from tests.core.checkpoints.published_models import file_of


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run what must end with exit code 2, and return its one line."""
    capsys.readouterr()
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("glissando: ")
    assert err.count("\n") == 1, err
    return err


class Server:
    """Serves one file, as well or as badly as it is told to. `requests` are the Range headers that came."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.etag = '"one"'
        self.ranges = True
        self.cut_after: list[int] = []
        """How many bytes each of the next answers sends before the connection ends."""
        self.status = 0
        self.location = ""
        self.length = True
        self.requests: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/models/cats%20256.pkl?key=secret"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        headers = request.headers
        self.requests.append(headers["Range"])
        if self.status or (self.etag and headers["If-None-Match"] == self.etag):
            request.send_response(self.status or 304)
            if self.location:
                request.send_header("Location", self.location)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        body, start = self.data, 0
        if self.ranges and headers["Range"] and headers["If-Range"] == self.etag:
            start = int(headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                request.send_response(416)
                request.end_headers()
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            request.send_response(200)
        if self.etag:
            request.send_header("ETag", self.etag)
        if self.length:
            request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        end = start + self.cut_after.pop(0) if self.cut_after else len(body)
        request.wfile.write(body[start:end])

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLISSANDO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], Server]]:
    servers: list[Server] = []

    def start(data: bytes) -> Server:
        servers.append(Server(data))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "cats.pkl"
    path.write_bytes(file_of(models.stylegan2_shell(models.stylegan2_model(c_dim=3))))
    return path


def download(server: Server, folder: Path) -> bytes:
    path = downloads.download(server.url, folder, lambda stage, done, total: None)
    assert path.name == "cats_256.pkl"
    assert not path.with_name(path.name + ".part").exists()
    return path.read_bytes()


DATA = bytes(range(256)) * 4096


# --- downloads ------------------------------------------------------------------------------------------------------


def test_a_download(serve: Callable[[bytes], Server], tmp_path: Path) -> None:
    server = serve(DATA)
    seen: list[tuple[str, int, int]] = []
    path = downloads.download(server.url, tmp_path, lambda *values: seen.append(values))
    assert path.read_bytes() == DATA
    assert seen[-1] == ("downloading", len(DATA), len(DATA))
    # Asked for again, it is not sent again; when it has changed it is.
    assert download(server, tmp_path) == DATA
    server.data, server.etag = DATA[::-1], '"two"'
    assert download(server, tmp_path) == DATA[::-1]
    assert server.requests == [None] * 3


def test_a_connection_that_is_cut_goes_on(serve: Callable[[bytes], Server], tmp_path: Path) -> None:
    server = serve(DATA)
    server.cut_after = [1000, 70_000, 5]
    assert download(server, tmp_path) == DATA
    assert server.requests == [None, "bytes=1000-", "bytes=71000-", "bytes=71005-"]


def test_what_came_is_kept_for_the_next_time(serve: Callable[[bytes], Server], tmp_path: Path) -> None:
    server = serve(DATA)
    server.cut_after = [1000, 0, 0, 0]
    with pytest.raises(UserError, match=r"expected 1048576 bytes, got 1000; 1000 bytes are kept, run it again"):
        download(server, tmp_path)
    assert download(server, tmp_path) == DATA
    assert server.requests[-1] == "bytes=1000-"


@pytest.mark.parametrize("change", ["no ranges", "another version", "no mark", "weak mark", "shorter"])
def test_starting_over(serve: Callable[[bytes], Server], tmp_path: Path, change: str) -> None:
    server = serve(DATA)
    if change == "no mark":
        server.etag = ""
    elif change == "weak mark":
        server.etag = 'W/"one"'
    server.cut_after = [1000, 0, 0, 0]
    with pytest.raises(UserError, match="run it again|bytes, got"):
        download(server, tmp_path)
    if change == "no ranges":
        server.ranges = False
    elif change == "another version":
        server.data, server.etag = DATA[::-1], '"two"'
    elif change == "shorter":
        server.data = DATA[:500]
    assert download(server, tmp_path) == server.data


def test_without_a_length(serve: Callable[[bytes], Server], tmp_path: Path) -> None:
    server = serve(DATA)
    server.length = False
    assert download(server, tmp_path) == DATA


def test_each_bad_answer_is_one_error(serve: Callable[[bytes], Server], tmp_path: Path) -> None:
    server = serve(DATA)
    for status, location, message in [
        (404, "", "the server answered 404 Not Found; check the address"),
        (503, "", "cannot download it: the server answered 503"),
        (302, "ftp://127.0.0.1/x", "redirect to a web address|answered 302"),
        (302, "file:///etc/passwd", "redirect to a web address|answered 302"),
    ]:
        server.status, server.location = status, location
        with pytest.raises(UserError, match=message) as caught:
            download(server, tmp_path)
        assert "secret" not in str(caught.value)
    server.close()
    server.status = 0
    with pytest.raises(UserError, match="cannot download it: connection refused"):
        download(server, tmp_path)
    server.close = lambda: None  # type: ignore[method-assign]
    for url in ("ftp://host/x", "http://", "http://[::1/x", "http://host:port/x", "https://a b/", "http://hö/x"):
        with pytest.raises(UserError, match="expected an address that starts with http"):
            downloads.download(url, tmp_path, lambda *values: None)


# --- the command ----------------------------------------------------------------------------------------------------


def test_import_from_an_address(
    serve: Callable[[bytes], Server], source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(source.read_bytes())
    server.cut_after = [2000]
    assert run("import", server.url, "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["kind"], values["classes"], values["cached"]) == ("StyleGAN2", 3, False)
    assert load(values["path"]).header.name == "cats_256"
    # The same file under another address and as a local file.
    assert run("import", source, "--out", tmp_path / "out.safetensors") == 0
    out = capsys.readouterr().out
    assert "cached      yes" in out
    assert "size        16x16" in out
    assert (tmp_path / "out.safetensors").is_file()


def test_info_on_published_files(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", source) == 0
    assert "StyleGAN2" in capsys.readouterr().out
    assert run("import", source, "--json") == 0
    path = json.loads(capsys.readouterr().out)["path"]
    assert run("info", path, "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["family"], values["text"], values["config"]["c_dim"]) == ("stylegan2", None, 3)


def test_the_discriminator_on_request(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from torch import nn

    path, out = tmp_path / "d.pkl", tmp_path / "d.safetensors"
    path.write_bytes(dumps(snapshot(nn.Linear(1, 1)) | {"D": nn.Linear(3, 2)}))
    assert run("import", path, "--part", "D", "--out", out) == 0
    assert "parameters     8" in capsys.readouterr().out
    assert run("info", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["part"] == "D"
    assert "--out: expected a file to write the discriminator to" in fails(capsys, "import", path, "--part", "D")
    assert "D: expected a module" in fails(capsys, "import", source, "--part", "D", "--out", tmp_path / "e")


def test_import_tells_each_mistake_in_one_line(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], unwritable: Path
) -> None:
    (tmp_path / "text.pkl").write_text("hello, this is no model")
    (tmp_path / "cut.pkl").write_bytes(source.read_bytes()[:3000])
    assert "text that starts with 'hello" in fails(capsys, "import", tmp_path / "text.pkl")
    assert "text that starts with 'hello" in fails(capsys, "info", tmp_path / "text.pkl")
    assert str(tmp_path / "cut.pkl") in fails(capsys, "import", tmp_path / "cut.pkl")
    assert "no such file" in fails(capsys, "import", tmp_path / "absent.pkl")
    assert "got a folder" in fails(capsys, "import", tmp_path)
    assert "cannot make the folder" in fails(capsys, "import", source, "--out", unwritable / "x.safetensors")
    assert "is there already" in fails(capsys, "import", source, "--out", source)
    itself = fails(capsys, "import", source, "--out", source, "--overwrite")
    assert "expected another file than the one to import" in itself
    assert "expected an address that starts with http" in fails(capsys, "import", "ftp://host/x.pkl")


def test_generate_draws_a_published_file_as_the_model_itself_does(tmp_path: Path) -> None:
    model = models.stylegan2_model(resolution=16, c_dim=3).eval()
    file = tmp_path / "published.pkl"
    file.write_bytes(file_of(models.stylegan2_shell(model)))
    common = ("--seeds", "5", "--psi", 0.8, "--precision", "float32", "--device", "cpu", "--out", tmp_path / "out")
    assert run("generate", file, "--class", 2, *common) == 0
    z = torch.from_numpy(np.random.RandomState(5).randn(1, model.z_dim).astype(np.float32))
    with torch.inference_mode():
        rgb = model.synthesis(model.map(z, torch.eye(3)[2:], 0.8))[0]
    expected = rgb.mul(127.5).add(127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    with Image.open(tmp_path / "out" / "seed0005.png") as image:
        assert np.array_equal(np.asarray(image), expected)
        assert "Class: 2" in image.text["parameters"]  # type: ignore[attr-defined]


def test_a_model_is_asked_for_what_it_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, classes in (("classes", 3), ("none", 0)):
        (tmp_path / f"{name}.pkl").write_bytes(file_of(models.stylegan2_shell(models.stylegan2_model(c_dim=classes))))
    out = ("--seeds", "0", "--out", tmp_path / "out")
    assert "takes a class: give --class; got --prompt" in fails(
        capsys, "generate", tmp_path / "classes.pkl", "--prompt", "sea", *out
    )
    assert "got no class of this model" in fails(capsys, "generate", tmp_path / "classes.pkl", "--class", 3, *out)
    assert "takes neither prompt nor class; got --class" in fails(
        capsys, "generate", tmp_path / "none.pkl", "--class", 0, *out
    )
    assert run("generate", tmp_path / "none.pkl", *out) == 0
    clip = tmp_path / "x.mp4"
    sizes = ("--seconds", 0.2, "--fps", 10, "--size", 32, "--out", clip)
    assert run("video", tmp_path / "classes.pkl", "--class", 0, "--class", 2, *sizes) == 0
    assert clip.stat().st_size > 0
