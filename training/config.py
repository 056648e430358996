"""What the configuration of every GAN run has: a frozen dataclass, checked as it is made and saved as TOML beside the
run.

A method's own configuration is a subclass. Its fields stand in sections, which are the tables of the TOML file and the
first half of a dotted name ("trainer.batch"). A plain name ("batch") says the same; the code reads `config.batch`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from core.perception.features import FEATURE_PREFIXES, RUN_PREFIX
from core.values import check_settings, setting, setting_from_text, setting_from_value, setting_of
from training.metrics.settings import EvaluationSettings

Precision = Literal["auto", "float32", "bfloat16", "float16", "float64"]

SECTIONS = ("model", "text", "trainer", "loss", "paired", "discriminator", "augmentation", "output", "evaluation")
"""In the order of a TOML file; a method may have further ones."""


@dataclass(frozen=True, kw_only=True)
class GanConfig(EvaluationSettings):
    """A run of any method. Raises `ValueError` with what was expected and what came."""

    method: ClassVar[str]
    """The method's name in `training.methods.registry`."""

    resolution: int = setting(
        64,
        "model",
        "Side of the pictures in pixels.",
        low=0,
        fixed=True,
    )
    batch: int = setting(
        16,
        "trainer",
        "Pictures a step.",
        low=1,
        fixed=True,
    )
    kimg: float = setting(
        400.0,
        "trainer",
        "Length of the run in thousands of real pictures shown.",
        above=0,
    )
    seed: int = setting(
        0,
        "trainer",
        "Of all random numbers.",
        fixed=True,
    )
    precision: Precision = setting(
        "auto",
        "trainer",
        "auto is bfloat16 on CUDA and on CPUs with AMX tiles, else float32; float16 scales its losses; float64 is for "
        "comparing runs.",
    )
    micro_batch: int = setting(
        0,
        "trainer",
        "Pictures that go through the networks at once; the gradients of a batch are added up from such parts, on all "
        "ranks. 0 is one part a rank. What looks at several pictures, such as virtual batch norm, looks at one part, "
        "so another number is another run, and the same number the same run on any number of ranks.",
        low=0,
    )
    skips: int = setting(
        20,
        "trainer",
        "Updates whose loss is not a finite number are skipped; after this many in a row the run stops, its last good "
        "state kept.",
        low=1,
    )
    log_steps: int = setting(
        20,
        "output",
        "A line in the log after this many steps.",
        low=1,
    )
    sample_kimg: float = setting(
        8.0,
        "output",
        "A sample grid and a snapshot after this many thousand images.",
        above=0,
    )
    save_kimg: float = setting(
        8.0,
        "output",
        "The whole state, to resume from, after this many thousand images.",
        above=0,
    )
    evaluate_kimg: float = setting(
        0.0,
        "output",
        "Attribute accuracies on Postcards prompts after this many thousand images; 0 is never. For methods with "
        "captions.",
        low=0,
    )
    grid_seeds: int = setting(
        8,
        "output",
        "Columns of the sample grid: seeds 0, 1, 2, ...",
        low=1,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        self.check_evaluation()

    @classmethod
    def sections(cls) -> dict[str, tuple[str, ...]]:
        """The names of the fields, by section."""
        found: dict[str, list[str]] = {}
        for declared in dataclasses.fields(cls):
            about = setting_of(declared)
            found.setdefault(about.section if about else "evaluation", []).append(declared.name)
        order = [*(name for name in SECTIONS if name in found), *(name for name in found if name not in SECTIONS)]
        return {name: tuple(found[name]) for name in order}

    @classmethod
    def field_name(cls, name: str) -> str:
        """A plain or dotted name as the field it means. Raises `ValueError` when there is none."""
        section, dot, plain = name.rpartition(".")
        of = {field: section for section, names in cls.sections().items() for field in names}
        if plain in of and (not dot or of[plain] == section):
            return plain
        hint = f"; did you mean {of[plain]}.{plain}" if plain in of else ""
        raise ValueError(f"setting: unknown {name!r}{hint}; known are {', '.join(sorted(of))}")

    @classmethod
    def fixed(cls) -> tuple[str, ...]:
        """The settings that a run keeps from its first step to its last."""
        return tuple(
            declared.name
            for declared in dataclasses.fields(cls)
            if (about := setting_of(declared)) is not None and about.fixed
        )

    def changed(self, settings: Sequence[str]) -> Self:
        """This configuration with settings given as text, each "name=value" or "section.name=value"; a list's values
        stand between commas.

        Raises `ValueError` for a name that does not exist and for a value that does not fit.
        """
        values: dict[str, Any] = {}
        for given in settings:
            name, equals, text = given.partition("=")
            if not equals:
                raise ValueError(f"setting: expected NAME=VALUE, got {given!r}")
            field = self.field_name(name)
            values[field] = setting_from_text(self, field, text)
        return dataclasses.replace(self, **values)

    def updated(self, values: Mapping[str, Any]) -> Self:
        """This configuration with values from a file: tables by section, or by plain or dotted name.

        Raises `ValueError` for a table or name that does not exist and for a value that does not fit.
        """
        return dataclasses.replace(self, **self._read(values))

    @classmethod
    def from_tables(cls, values: Mapping[str, Any]) -> Self:
        """The configuration of a TOML file, see `updated`."""
        return cls(**cls._read(values))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The configuration that `to_json` wrote. Raises `ValueError` for a key that does not exist."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"run configuration: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return cls(**{name: setting_from_value(cls, name, value) for name, value in values.items()})

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        sections = cls.sections()
        plain: dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, Mapping):
                if name not in sections:
                    raise ValueError(f"unknown table [{name}]; known are {', '.join(sections)}")
                plain |= {cls.field_name(f"{name}.{key}"): item for key, item in value.items()}
            else:
                plain[cls.field_name(name)] = value
        return {name: setting_from_value(cls, name, value) for name, value in plain.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dump`, by their plain names."""
        return dataclasses.asdict(self)

    def public(self) -> dict[str, Any]:
        """As `to_json`, of a setting that may hold a path the path's last part alone."""
        places = [
            one.name for one in dataclasses.fields(self) if (about := setting_of(one)) is not None and about.place
        ]
        return self.to_json() | {name: _without_folder(getattr(self, name)) for name in places}

    def by_section(self) -> dict[str, dict[str, Any]]:
        """Plain values in their sections, lists for tuples: what a TOML file holds."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in self.to_json().items()}
        return {section: {name: plain[name] for name in names} for section, names in self.sections().items()}


def _without_folder(name: str) -> str:
    before, equals, file = name.partition("=")
    if equals:
        return f"{before}={Path(file).name}"
    prefix, colon, path = name.rpartition(RUN_PREFIX)
    if colon or (name and not name.startswith(FEATURE_PREFIXES)):
        return f"{prefix}{colon}{Path(path).name}"
    return name
