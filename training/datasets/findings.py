"""What a folder or zip holds beside its pictures: how its metadata files were read, and what was not used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from training.datasets.metadata import Metadata
from training.datasets.pictures import EXTRAS

_USUAL = ("", "utf-8")
_UNUSED_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class MetadataFile:
    """How one metadata file was read."""

    name: str
    problem: str = ""
    """Why it could not be used at all; empty when it was."""
    encoding: str = ""
    rows: int = 0
    columns: tuple[str, ...] = ()
    caption_columns: tuple[str, ...] = ()
    """Those whose texts were taken as captions."""
    label_columns: tuple[str, ...] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    """How many rows were refused, by reason."""
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, read: Metadata) -> MetadataFile:
        """The account of a file that was read."""
        return cls(
            name=name,
            encoding=read.encoding,
            rows=read.rows,
            columns=read.columns,
            caption_columns=read.caption_columns,
            label_columns=read.label_columns,
            refused=read.refused,
            examples=read.examples,
        )

    def describe(self) -> list[str]:
        """The account in lines."""
        if self.problem:
            return [f"{self.name}: not used: {self.problem}"]
        columns = ", ".join(self.columns[:20])
        taken = [f"captions from {', '.join(self.caption_columns)}"] if self.caption_columns else []
        taken += [f"classes from {', '.join(self.label_columns)}"] if self.label_columns else []
        lines = [f"{self.name}: {self.rows} rows of {columns} ({self.encoding}); {'; '.join(taken)}"]
        return lines + self.refusals()

    def refusals(self) -> list[str]:
        """What was refused, in at most one line."""
        if not self.refused:
            return []
        reasons = "; ".join(f"{count} x {reason}" for reason, count in self.refused.items())
        count = sum(self.refused.values())
        return [f"{self.name}: {count} of {self.rows} rows refused: {reasons} (first {self.examples[0]})"]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a folder or zip holds beside its pictures."""

    metadata: tuple[MetadataFile, ...] = ()
    missing: int = 0
    """Captions and classes for pictures that are not there."""
    missing_examples: tuple[str, ...] = ()
    unused: Mapping[str, int] = field(default_factory=dict)
    """How many files were not used, by the ending of their names."""
    extras: Mapping[str, int] = field(default_factory=dict)
    """How many pictures need a package that is not installed, by ending."""

    @property
    def unreadable(self) -> int:
        """Rows of metadata files that were refused."""
        return sum(sum(file.refused.values()) for file in self.metadata)

    def notes(self) -> tuple[str, ...]:
        """What a person should know before a run, a line each."""
        lines = []
        for file in self.metadata:
            if file.problem:
                lines += file.describe()
            elif file.encoding not in _USUAL:
                lines.append(f"{file.name}: read as {file.encoding}; where letters are wrong, save it as UTF-8")
            lines += file.refusals()
        return (*lines, *self._extras())

    def describe(self) -> list[str]:
        """All of it, in lines."""
        lines = [line for file in self.metadata for line in file.describe()]
        if self.missing:
            lines.append(f"captions or classes for {self.missing} pictures that are not there, such as "
                         f"{', '.join(self.missing_examples)}")  # fmt: skip
        lines += self._extras()
        if self.unused:
            lines.append(f"not used: {counted(self.unused)}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def _extras(self) -> list[str]:
        return [
            f"{count} {suffix} need {EXTRAS[suffix]}: pip install 'glissando[formats]'"
            for suffix, count in self.extras.items()
        ]


def counted(by_suffix: Mapping[str, int]) -> str:
    """Files by ending, the most frequent first."""
    ordered = sorted(by_suffix.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{count} {suffix or 'without an ending'}" for suffix, count in ordered[:_UNUSED_SHOWN]]
    return ", ".join(parts) + (", ..." if len(ordered) > len(parts) else "")


def nothing_found(label: str, unused: Mapping[str, int], extras: Mapping[str, int]) -> str:
    """The message for a place without pictures, with what it holds instead."""
    others = [f"it holds {counted(unused)}"] if unused else []
    others += Findings(extras=extras)._extras()
    return f"{label}: no pictures found, in subfolders either" + (f"; {'; '.join(others)}" if others else "")


def joined(notes: Sequence[str]) -> str:
    """Notes as lines of one text, each once."""
    return "\n".join(dict.fromkeys(note for note in notes if note))
