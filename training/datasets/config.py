"""What a run's data are: where the pictures come from, how often each source is drawn, and how pictures are cut."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from training.datasets.errors import DataError

Crop = Literal["centre", "random"]
Resize = Literal["area", "lanczos"]
Condition = Literal["captions", "classes", "none"]
"""What a generator is told besides its noise, so what each picture must come with."""

TEMPLATE_FIELD = "{}"

_WEIGHT = re.compile(r"(?P<place>.+)=(?P<weight>\d+(?:\.\d+)?)", re.DOTALL)
_URL = re.compile(r"https?://", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Whether a place is an http or https address."""
    return _URL.match(text) is not None


def place_shown(place: str) -> str:
    """A place for messages and notes: an address without its query and user, which may be secret."""
    if not is_url(place):
        return place
    parts = urllib.parse.urlsplit(place)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@dataclass(frozen=True, kw_only=True)
class SourceSpec:
    """One place that pictures come from. Raises `DataError` for numbers and templates that make no sense."""

    place: str
    """A folder, a .zip, a .tar of the WebDataset kind or several by braces ({00000..00099}.tar), a .csv, .json or
    .jsonl of captions, a .txt that lists shards, or the http(s) address of shards."""
    weight: float = 1.0
    """How often one of its pictures is drawn, compared with one of a source of weight 1."""
    template: str | None = None
    """For folders of classes: the caption, with {} for the class, which is the folder's name."""
    caption_column: str = ""
    """The column or key of metadata files that holds captions; empty looks for the usual names."""
    label_column: str = ""
    """The column or key that holds classes."""

    def __post_init__(self) -> None:
        if not self.place:
            raise DataError("data: expected a folder, a zip or shards, got an empty name")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise DataError(f"{self.place}: expected a weight above 0, got {self.weight!r}")
        if self.template is not None and TEMPLATE_FIELD not in self.template:
            raise DataError(f"template: expected a caption with {{}} where the class belongs, got {self.template!r}")

    @classmethod
    def parse(
        cls, text: str, *, template: str | None = None, caption_column: str = "", label_column: str = ""
    ) -> SourceSpec:
        """From the command line: PLACE or PLACE=WEIGHT. A file of exactly that name wins over a weight, and so does
        the query of an address."""
        match = _WEIGHT.fullmatch(text)
        place, weight = text, 1.0
        if match is not None and not os.path.exists(text) and not (is_url(text) and "?" in text):
            place, weight = match["place"], float(match["weight"])
        return cls(
            place=place, weight=weight, template=template, caption_column=caption_column, label_column=label_column
        )

    def resolved(self) -> SourceSpec:
        """With the whole path, so that a run can be resumed from another folder."""
        return self if is_url(self.place) else dataclasses.replace(self, place=str(Path(self.place).resolve()))


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The sources, and how each picture becomes a square. Raises `DataError` for values out of range."""

    sources: tuple[SourceSpec, ...]
    crop: Crop = "centre"
    """Which square of a picture that is not square."""
    mirror: bool = False
    """Half of the pictures are mirrored, chosen anew each time."""
    resize: Resize = "area"
    """area averages larger pictures down and enlarges smaller ones bicubically; lanczos is sharper."""
    workers: int = 2
    """Processes that read and decode, in each rank; 0 decodes within the trainer."""
    lanes: int = 16
    """How many shards are read side by side, in all ranks together: the more, the better they are mixed. Every rank
    needs shards of its own to read, so not fewer than ranks."""
    text_cache: bool = False
    """Text embeddings are worked out once for all captions and kept in the cache folder. They differ in the last bits
    from those worked out in each step, so a run keeps to what it was started with."""
    memory_gb: float = 8.0
    """Sources whose decoded pictures are smaller are decoded once, into a file in the cache folder."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise DataError("data: expected at least one source of pictures, got none")
        for name, choices in (("crop", get_args(Crop)), ("resize", get_args(Resize))):
            if getattr(self, name) not in choices:
                raise DataError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for name, least in (("workers", 0), ("lanes", 1)):
            if type(getattr(self, name)) is not int or getattr(self, name) < least:
                raise DataError(f"{name}: expected a whole number from {least}, got {getattr(self, name)!r}")
        for name in ("mirror", "text_cache"):
            if type(getattr(self, name)) is not bool:
                raise DataError(f"{name}: expected true or false, got {getattr(self, name)!r}")
        if not (math.isfinite(self.memory_gb) and self.memory_gb >= 0):
            raise DataError(f"memory_gb: expected a number from 0, got {self.memory_gb!r}")

    @classmethod
    def of(cls, place: str | os.PathLike[str]) -> DataConfig:
        """One source, everything else as usual."""
        return cls(sources=(SourceSpec(place=os.fspath(place)),))

    def name(self) -> str:
        """What the sources are called, in a few words."""
        return " + ".join(re.split(r"[/\\]", place_shown(spec.place).rstrip("/\\"))[-1] for spec in self.sources)

    def resolved(self) -> DataConfig:
        """With whole paths, so that a run can be resumed from another folder."""
        return dataclasses.replace(self, sources=tuple(source.resolved() for source in self.sources))

    def to_json(self) -> str | dict[str, Any]:
        """Plain values for JSON or TOML, of what is not as usual: the place alone when that is all there is to say."""
        if self == DataConfig.of(self.sources[0].place):
            return self.sources[0].place
        return {**_unusual(self), "sources": [_unusual(source) for source in self.sources]}

    @classmethod
    def from_json(cls, values: str | Mapping[str, Any]) -> DataConfig:
        """What `to_json` gave. Raises `DataError` for anything else."""
        if isinstance(values, str):
            return cls.of(values)
        try:
            sources = tuple(SourceSpec(**source) for source in values["sources"])
            return cls(**{**values, "sources": sources})
        except (KeyError, TypeError) as error:
            raise DataError(
                f"data: expected the sources and settings of a run's data, could not read them: {error}"
            ) from None


def _unusual(value: SourceSpec | DataConfig) -> dict[str, Any]:
    """The fields of a dataclass that are not at their defaults."""
    return {
        field.name: getattr(value, field.name)
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != field.default
    }
