"""`glissando` where no window can be opened: files instead, or the packages to install."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import pytest
from PIL import Image

from app import cli, demonstration, display


@pytest.fixture
def on_linux(monkeypatch):
    """Linux with neither an X server nor Wayland."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


def test_without_a_display_it_shows_the_bundled_model_in_files(
    tmp_path, capsys, decode, monkeypatch, on_linux, tiny_checkpoint
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("core.checkpoints.bundled_checkpoint", lambda: tiny_checkpoint)
    monkeypatch.setattr(demonstration, "SECONDS", 1)
    monkeypatch.setattr(demonstration, "SIZE", 64)
    assert cli.main([]) == 0
    out, err = capsys.readouterr()
    first, *paths = out.splitlines()
    assert first == (
        "No display (neither DISPLAY nor WAYLAND_DISPLAY is set): "
        "writing a video and a contact sheet to ./glissando-out/ instead of opening a window."
    )
    assert paths == ["glissando-out/interpolation.mp4", "glissando-out/sheet.png"]
    assert "Traceback" not in err
    pictures, times = decode(tmp_path / "glissando-out" / "interpolation.mp4")
    assert pictures.shape == (30, 64, 64, 3)
    assert times[-1] == pytest.approx(29 / 30, abs=1e-4)
    assert np.abs(np.diff(pictures.astype(int), axis=0)).mean() > 0.5
    with Image.open(tmp_path / "glissando-out" / "sheet.png") as sheet:
        assert sheet.width > 8 * 128
        assert sheet.height > 5 * 128


def test_without_a_display_a_named_checkpoint_is_shown(tmp_path, monkeypatch, on_linux, make_checkpoint):
    shown = []
    monkeypatch.setattr(demonstration, "demonstrate", lambda path, folder: shown.append(path) or ())
    path = make_checkpoint(tmp_path / "mine.safetensors")
    assert cli.main(["explore", str(path)]) == 0
    assert cli.main([str(path)]) == 0
    assert shown == [path, path]


def test_a_display_that_does_not_answer_is_none(monkeypatch, on_linux):
    monkeypatch.setenv("DISPLAY", ":98765")
    assert display.why_no_display() == "No display (nothing answers at DISPLAY=:98765)"


def test_wayland_windows_and_macos_have_a_display(monkeypatch, on_linux):
    assert display.why_no_display() is not None
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert display.why_no_display() is None
    monkeypatch.delenv("WAYLAND_DISPLAY")
    for platform in ("win32", "darwin"):
        monkeypatch.setattr(sys, "platform", platform)
        assert display.why_no_display() is None
        assert display.missing_libraries() == []


def without(monkeypatch, *names):
    """A machine that lacks these libraries."""
    load = ctypes.CDLL

    def cdll(name, *rest, **options):
        if name in names:
            raise OSError(f"{name}: cannot open shared object file: No such file or directory")
        return load(name, *rest, **options)

    monkeypatch.setattr(ctypes, "CDLL", cdll)


@pytest.mark.parametrize(
    ("library", "package"),
    [("libGL.so.1", "libgl1"), ("libX11.so.6", "libx11-6"), ("libEGL.so.1", "libegl1"), ("libxcb.so.1", "libxcb1")],
)
def test_missing_libraries_name_the_packages(monkeypatch, capsys, on_linux, library, package):
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    without(monkeypatch, library)
    assert cli.main([]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert f"libraries that are missing: {library}" in err
    assert f"apt-get install {package} " in err
    assert "dnf install" in err
    assert out == ""


def test_no_libx11_is_reported_as_missing_not_as_no_display(monkeypatch, on_linux):
    monkeypatch.setenv("DISPLAY", ":0")
    without(monkeypatch, "libX11.so.6")
    assert display.why_no_display() is None
    assert display.missing_libraries() == ["libX11.so.6"]


def test_a_library_missing_only_at_import_is_named_too(monkeypatch, capsys, on_linux):
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setattr(display, "missing_libraries", list)

    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "app.explorer.window":
                raise ImportError("libGLX.so.0: cannot open shared object file: No such file or directory")

    monkeypatch.delitem(sys.modules, "app.explorer.window", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    import app.explorer

    monkeypatch.delattr(app.explorer, "window", raising=False)
    assert cli.main([]) == 2
    err = capsys.readouterr().err
    assert "missing: libGLX.so.0" in err
    assert "libgl1-mesa-dri" in err


def test_other_import_errors_are_not_taken_for_libraries():
    assert display.library_in(ImportError("No module named 'imgui_bundle'")) is None
    assert display.library_in(ImportError("libGL.so.1: cannot open shared object file: No such file")) == "libGL.so.1"
