"""Captions and classes as people keep them. A row of the table is a folder's files and what has to come of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.bring.files import Files, png, write
from training.datasets.config import SourceSpec
from training.datasets.errors import DataError
from training.datasets.sources import ListedSource, open_source


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files beside a.png and b.png, the captions of these, and words that the findings have to hold."""

    habit: str
    files: Files
    a: tuple[str, ...] = ()
    b: tuple[str, ...] = ()
    refused: int = 0
    says: tuple[str, ...] = field(default=())
    caption_column: str = ""


CSV = "file_name,caption\n"
CASES = [
    Case(
        habit="a quoted caption with a newline is one caption",
        files={"metadata.csv": CSV + 'a.png,"a cat\non a mat"\nb.png,two\n'},
        a=("a cat on a mat",),
        b=("two",),
    ),
    Case(
        habit="a quoted caption with doubled quotes, separators and CRLF",
        files={"metadata.csv": 'file_name,caption\r\na.png,"a ""big"" cat, asleep"\r\nb.png,two\r\n'},
        a=('a "big" cat, asleep',),
        b=("two",),
    ),
    Case(
        habit="a stray opening quote does not swallow the rows after it",
        files={"metadata.csv": CSV + 'a.png,"a cat\nb.png,two\n'},
        b=("two",),
        refused=1,
        says=("1 of 2 rows refused", "a double quote that is not closed", "line 2"),
    ),
    Case(
        habit="a stray opening quote with another quote later",
        files={"metadata.csv": CSV + 'a.png,"a cat\nb.png,"two"\n'},
        b=("two",),
        refused=1,
        says=("line 2",),
    ),
    Case(
        habit="a quote within a quoted field",
        files={"metadata.csv": CSV + 'a.png,"a "big" cat"\nb.png,two\n'},
        b=("two",),
        refused=1,
        says=("has to be doubled",),
    ),
    Case(
        habit="an inch mark in a field without quotes is a letter",
        files={"metadata.csv": CSV + 'a.png,a 5" disk\nb.png,two\n'},
        a=('a 5" disk',),
        b=("two",),
    ),
    Case(
        habit="a caption with a comma and no quotes is refused, not cut",
        files={"metadata.csv": CSV + "a.png,a cat, asleep\nb.png,two\n"},
        b=("two",),
        refused=1,
        says=("another number of fields than columns (2)", "a comma"),
    ),
    Case(
        habit="a row without a caption",
        files={"metadata.csv": CSV + "a.png,\nb.png,two\n"},
        b=("two",),
        refused=1,
        says=("neither a caption nor a class",),
    ),
    Case(
        habit="semicolons",
        files={"metadata.csv": "file_name;caption\na.png;a, b\nb.png;two\n"},
        a=("a, b",),
        b=("two",),
    ),
    Case(habit="tabs in a .csv", files={"metadata.csv": "file_name\tcaption\na.png\ta, b\n"}, a=("a, b",)),
    Case(habit="commas in a .tsv", files={"metadata.tsv": CSV + "a.png,one\n"}, a=("one",)),
    Case(habit="bars", files={"metadata.csv": "file_name|caption\na.png|a, b\n"}, a=("a, b",)),
    Case(
        habit="a separator in the name of another column",
        files={"metadata.csv": 'file_name;"size, in bytes";caption\na.png;3;one\n'},
        a=("one",),
    ),
    Case(
        habit="Latin-1",
        files={"metadata.csv": (CSV + "a.png,ein Käse\nb.png,zwölf\n").encode("latin-1")},
        a=("ein Käse",),
        b=("zwölf",),
        says=("windows-1252",),
    ),
    Case(
        habit="Windows-1252 with its own quotes",
        files={"metadata.csv": (CSV + "a.png,“one” – 3 €\n").encode("cp1252")},
        a=("“one” – 3 €",),
        says=("windows-1252",),
    ),
    Case(habit="UTF-16 with its mark", files={"metadata.csv": (CSV + "a.png,größe\n").encode("utf-16")}, a=("größe",)),
    Case(
        habit="UTF-16 without a mark",
        files={"metadata.csv": (CSV + "a.png,größe\n").encode("utf-16-le")},
        a=("größe",),
    ),
    Case(
        habit="UTF-16, big end first",
        files={"metadata.csv": (CSV + "a.png,größe\n").encode("utf-16-be")},
        a=("größe",),
    ),
    Case(
        habit="UTF-8 with a mark",
        files={"metadata.csv": b"\xef\xbb\xbf" + (CSV + "a.png,größe\n").encode()},
        a=("größe",),
    ),
    Case(
        habit="one damaged byte in UTF-8 costs its row alone",
        files={"metadata.csv": (CSV + "a.png,größer, ").encode()[:-2] + b"\xff\nb.png," + "äöü\n".encode()},
        b=("äöü",),
        refused=1,
        says=("bytes that are no text",),
    ),
    Case(
        habit="Shift-JIS is said to be unknown",
        files={"metadata.csv": (CSV + "a.png,猫、犬\n").encode("shift-jis"), "a.txt": "one"},
        a=("one",),
        says=("not used", "save it as UTF-8"),
    ),
    Case(
        habit="old Mac line ends",
        files={"metadata.csv": "file_name,caption\ra.png,one\rb.png,two\r"},
        a=("one",),
        b=("two",),
    ),
    Case(habit="columns in capitals", files={"metadata.csv": "FILE_NAME,TEXT\na.png,one\n"}, a=("one",)),
    Case(
        habit="JSON keys in any case",
        files={"metadata.jsonl": '{"File_Name": "a.png", "TEXT": "one"}\n{"FILE": "b.png", "Caption": "two"}\n'},
        a=("one",),
        b=("two",),
    ),
    Case(
        habit="lists of captions",
        files={"metadata.jsonl": '{"file_name": "a.png", "text": ["one", "eins"]}\n{"file": "b.png", "prompt": "x"}'},
        a=("one", "eins"),
        b=("x",),
    ),
    Case(
        habit="a list of captions written into a cell",
        files={"metadata.csv": CSV + "a.png,\"['one', 'eins']\"\nb.png,\"[\"\"x\"\", \"\"y\"\"]\"\n"},
        a=("one", "eins"),
        b=("x", "y"),
    ),
    Case(habit="brackets that are no list", files={"metadata.csv": CSV + "a.png,[sic]\n"}, a=("[sic]",)),
    *(
        Case(habit=f"the column {key}", files={"metadata.csv": f"file_name,{key}\na.png,one\n"}, a=("one",))
        for key in ("caption", "text", "prompt", "description", "TEXT", "additional_feature")
    ),
    Case(
        habit="a column of another name, named",
        files={"metadata.csv": "file_name,notes,text\na.png,one,no\n"},
        a=("one",),
        caption_column="notes",
    ),
    Case(
        habit="an unknown column is named with those that are there",
        files={"metadata.csv": "file_name,beschreibung\na.png,one\n", "b.txt": "two"},
        b=("two",),
        says=("not used", "'file_name', 'beschreibung'", "--caption-column"),
    ),
    Case(
        habit="a table without a first line of names",
        files={"metadata.csv": "a.png,one\nb.png,two\n", "a.txt": "x"},
        a=("x",),
        says=("not used", "a first line that names the columns", "'a.png', 'one'"),
    ),
    Case(
        habit="JSON lines in a .json",
        files={"metadata.json": '{"file_name": "a.png", "text": "one"}\n{"file_name": "b.png", "text": "two"}\n'},
        a=("one",),
        b=("two",),
    ),
    Case(habit="a JSON list in a .jsonl", files={"metadata.jsonl": '[{"file": "a.png", "text": "one"}]'}, a=("one",)),
    Case(
        habit="a list of rows within a JSON object",
        files={"metadata.json": json.dumps({"version": 1, "data": [{"file": "a.png", "text": "one"}]})},
        a=("one",),
    ),
    Case(
        habit="a line that is no JSON",
        files={"metadata.jsonl": '{"file": "a.png", "text": "one"}\nno\n'},
        a=("one",),
        refused=1,
    ),
    Case(
        habit="names without their endings",
        files={"captions.json": '{"a": "one", "b": {"caption": "two"}}'},
        a=("one",),
        b=("two",),
    ),
    Case(habit="names in another case", files={"metadata.csv": CSV + "A.PNG,one\n"}, a=("one",)),
    Case(habit="a metadata file in capitals", files={"METADATA.CSV": CSV + "a.png,one\n"}, a=("one",)),
    Case(
        habit="names of pictures that are not there",
        files={"metadata.csv": CSV + "a.png,one\nimages/c.png,x\n"},
        a=("one",),
        says=("1 pictures that are not there, such as images/c.png",),
    ),
    Case(habit="a text in capitals beside it", files={"A.TXT": "one"}, a=("one",)),
    Case(habit="the picture's whole name before .txt", files={"a.png.txt": "one"}, a=("one",)),
    Case(habit=".caption files", files={"a.caption": "one"}, a=("one",)),
    Case(habit="a text in Latin-1", files={"a.txt": "Käse".encode("latin-1")}, a=("Käse",)),
    Case(habit="a text in UTF-16", files={"a.txt": "Käse".encode("utf-16")}, a=("Käse",)),
    Case(
        habit="a line separator within a caption",
        files={"a.txt": "one\u2028and more\ntwo"},
        a=("one and more", "two"),
    ),
    Case(
        habit="what is not used is counted",
        files={"a.txt": "one", "notes.pdf": "x", "more.PDF": "x", "c.txt": "alone", "README": "x"},
        a=("one",),
        says=("not used: 2 .pdf, 1 without an ending, 1 .txt",),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.habit)
def test_captions_are_found_whole_and_what_is_refused_is_said(case: Case, tmp_path: Path) -> None:
    root = write(tmp_path, {"a.png": png(1), "b.png": png(2), **case.files})
    spec = SourceSpec(place=str(root), caption_column=case.caption_column)
    source = open_source(spec, cache=tmp_path / "cache", condition=None)
    assert isinstance(source, ListedSource)
    found = {row.name: source.captions_of(number) for number, row in enumerate(source.rows)}
    assert found == {"a.png": case.a, "b.png": case.b}
    assert source.findings.unreadable == case.refused
    text = "\n".join(source.findings.describe())
    for words in case.says:
        assert words in text
    if case.refused:
        assert "rows refused" in "\n".join(source.findings.notes())


def test_a_metadata_file_that_is_not_understood_stops_a_run_that_has_no_other_captions(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.png": png(), "metadata.csv": "file_name,beschreibung\na.png,one\n"})
    with pytest.raises(DataError, match=r"metadata\.csv.*'beschreibung'.*--caption-column"):
        open_source(SourceSpec(place=str(root)), cache=tmp_path)
