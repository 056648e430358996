"""What a run's folder says the run is: config.toml, or the config.json of runs from before it.

The same tables serve as `glissando train gan --config FILE`; [run] says what the run was given, [start] what it began
with.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.config import GanConfig
from training.datasets.config import DataConfig
from training.errors import RunError
from training.methods.registry import method_spec
from training.runs.states import write_whole

FILE_NAME = "config.toml"
OLD_NAME = "config.json"
FIRST_METHOD = "stylegan-t"
"""That of runs which name none: once it was the only one."""
RUN_NAMES = ("method", "recipe", "data", "clip", "out", "start")
"""What a file for --config may say in [run], as the arguments of the same names."""


@dataclass(frozen=True, kw_only=True)
class RunFile:
    """One run's settings and where it comes from."""

    config: GanConfig
    data: DataConfig
    start: dict[str, Any] | None = None
    """What `training.runs.run` keeps of the checkpoint it began with: name, sha256, images_seen, notes."""


def read_run(out: Path) -> RunFile:
    """What the run in `out` is. Raises `RunError` when there is none or it cannot be read."""
    path = out / FILE_NAME
    if not path.exists():
        return _read_old(out)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        data, start = _data_of(document), document.pop("start", None)
        if data is None:
            raise KeyError("data")
        if start is not None:
            start = {**start, "notes": json.loads(start["notes"])}
        method = document.pop("run", {}).get("method", FIRST_METHOD)
        config: GanConfig = method_spec(method).config.from_tables(document)
        return RunFile(config=config, data=data, start=start)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise RunError(f"{path}: expected what `glissando train gan` wrote there, could not read it: {error}") from None


def _read_old(out: Path) -> RunFile:
    path = out / OLD_NAME
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        values = {"encoder": "clip", **saved["config"], "clip": saved["clip"]}
        config: GanConfig = method_spec(FIRST_METHOD).config.from_json(values)
        return RunFile(config=config, data=DataConfig.from_json(saved["data"]), start=saved.get("start"))
    except FileNotFoundError:
        raise RunError(f"{out}: expected the folder of a GAN run (with a {FILE_NAME}), found none") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise RunError(f"{path}: expected what `glissando train gan` wrote there, could not read it: {error}") from None


def write_run(out: Path, run: RunFile) -> None:
    """Write config.toml, whole or not at all."""
    data = run.data.to_json()
    tables: dict[str, Mapping[str, Any]] = {"run": {"method": run.config.method}}
    if isinstance(data, str):
        tables["run"] = {**tables["run"], "data": data}
    else:
        tables["data"] = data
    tables |= run.config.by_section()
    if run.start is not None:
        tables["start"] = {**run.start, "notes": json.dumps(run.start["notes"], ensure_ascii=False)}
    write_whole(out / FILE_NAME, to_toml(tables))


@dataclass(frozen=True, kw_only=True)
class SettingsFile:
    """What a file for --config asks for: settings, and what is given on the command line otherwise."""

    settings: dict[str, Any] = field(default_factory=dict)
    """For `GanConfig.updated`."""
    run: dict[str, str] = field(default_factory=dict)
    data: DataConfig | None = None


def read_settings_file(path: Path) -> SettingsFile:
    """A file for --config: settings in their sections or at the top by plain or dotted name, [run] and [data].

    A run's own config.toml is such a file; its [start] says where that run came from and is passed over. Raises
    `RunError` for what is no such file.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path}: cannot read it ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: expected TOML, {error}") from None
    run = document.get("run", {})
    document.pop("start", None)
    if not isinstance(run, dict) or not all(isinstance(value, str) for value in run.values()):
        raise RunError(f"{path}: expected [run] with text values")
    unknown = sorted(set(run) - set(RUN_NAMES))
    if unknown:
        raise RunError(f"{path}: [run]: unknown {', '.join(unknown)}; known are {', '.join(RUN_NAMES)}")
    data = _data_of(document)
    document.pop("run", None)
    return SettingsFile(settings=document, run=run, data=data)


def _data_of(document: dict[str, Any]) -> DataConfig | None:
    """The data of a file: [data], else `data` in [run]; taken out of the document. Raises `DataError`."""
    table, place = document.pop("data", None), document.get("run", {}).get("data")
    given = place if table is None else table
    return None if given is None else DataConfig.from_json(given)


def to_toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables of text, numbers, truth values, and lists and tables of them, as TOML. Raises `TypeError` for anything
    else."""
    parts = []
    for table, values in tables.items():
        lines = [f"[{table}]", *(f"{name} = {_toml_value(value)}" for name, value in values.items())]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return {math.inf: "inf", -math.inf: "-inf"}.get(value, "nan")
        return repr(value) if any(mark in repr(value) for mark in ".e") else f"{value!r}.0"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML wants escaped too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml_value(item)}" for name, item in value.items()) + "}"
    raise TypeError(f"expected text, a number, a truth value or a list of them, got {type(value).__name__}")
