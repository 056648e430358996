"""Files are written whole, and one that is there is not replaced unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import UserError
from app.files import check_writable, free_path, free_paths, write_atomically, write_json


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    write_atomically(path, "old")

    def refuse(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    assert free_path(path) == path
    path.touch()
    assert free_path(path) == tmp_path / "sheet-2.png"
    (tmp_path / "sheet-2.png").symlink_to(tmp_path / "nowhere")  # what is at the end of a link may come back
    assert free_path(path) == tmp_path / "sheet-3.png"


def test_files_that_belong_together_get_the_same_number(tmp_path: Path) -> None:
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    (tmp_path / "b.png").touch()
    (tmp_path / "a-2.png").touch()
    assert free_paths(files) == [tmp_path / "a-3.png", tmp_path / "b-3.png"]


def test_a_file_that_is_there_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text("mine")
    with pytest.raises(UserError, match="is there already; name another file, or give --overwrite to replace it"):
        check_writable(path, overwrite=False)
    check_writable(path, overwrite=True)
    assert path.read_text() == "mine"


def test_a_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "figures.json", overwrite=False)
    assert list((tmp_path / "new").iterdir()) == []


def test_figures_that_cannot_be_written_leave_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "figures.json"
    write_json(path, {"fid": 1})

    def refuse(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(UserError, match="cannot write it: no space left on device"):
        write_json(path, {"fid": 2})
    assert path.read_text() == '{\n  "fid": 1\n}\n'
