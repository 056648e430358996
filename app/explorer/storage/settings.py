"""Files kept between starts: settings, the autosaved scene, the log. Plain JSON, written atomically.

Reading never stops a start: what cannot be read gives defaults and a message for the window.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from app.document.scene import Scene, SceneError
from app.document.seed_plane import COARSEST_STEP, FINEST_STEP, STEP
from app.explorer.train.plan import TrainingPlan
from app.files import write_atomically
from app.live.settings import LiveSettings
from core import values

log = logging.getLogger(__name__)

RECENTS = 8

Theme = Literal["dark", "light"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
FRAME_LIMITS = (10, 240)
RANGES = {"text_scale": (0.5, 3.0), "frame_limit": FRAME_LIMITS, "walk_step": (FINEST_STEP, COARSEST_STEP)}


def config_dir() -> Path:
    """The folder of this program's settings; GLISSANDO_CONFIG_DIR overrides it."""
    chosen = os.environ.get("GLISSANDO_CONFIG_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("APPDATA")
        return Path(base or Path.home() / "AppData" / "Roaming") / "Glissando"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Glissando"
    base = os.environ.get("XDG_CONFIG_HOME")
    return Path(base or Path.home() / ".config") / "glissando"


def _pictures_dir() -> str:
    pictures = Path.home() / "Pictures"
    return str(pictures / "Glissando" if pictures.is_dir() else Path.home() / "Glissando")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The user's settings, which are not part of the document."""

    recents: tuple[str, ...] = ()
    """Checkpoints opened before, newest first."""
    output_dir: str = field(default_factory=_pictures_dir)
    """Where pictures and videos go."""
    library_dirs: tuple[str, ...] = ()
    """Folders whose models the library shows."""
    text_scale: float = 1.0
    theme: Theme = "dark"
    frame_limit: int = 60
    """The most frames a second that the window draws, where nothing else, such as vsync, holds it."""
    vsync: bool = True
    device: str = "auto"
    """What the model runs on: auto, cpu, cuda or cuda:N."""
    precision: Precision = "auto"
    live: LiveSettings = field(default_factory=LiveSettings)
    """OSC, MIDI and sound."""
    past_prompts: tuple[str, ...] = ()
    """Prompts used before, newest first."""
    word_lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For a word, in lower case, what it is to be swapped for."""
    walk_step: float = STEP
    """Seeds for each pixel of a drag across the picture."""
    snap_seeds: bool = False
    """Whether such a drag stops at whole seeds only."""
    training: TrainingPlan = field(default_factory=TrainingPlan)
    """What the Train panel is to train."""

    def __post_init__(self) -> None:
        if not self.output_dir:
            raise ValueError("output_dir: expected a path, got none")
        if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", self.device):
            raise ValueError(f"device: expected auto, cpu, cuda or cuda:N, got {self.device!r}")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {value!r}")

    def with_recent(self, path: Path) -> Settings:
        name = str(path)
        return replace(self, recents=(name, *(other for other in self.recents if other != name))[:RECENTS])


class SettingsStore:
    """Reads and writes the files in one folder. Every method reports trouble by its return value, never by raising."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = config_dir() if folder is None else folder
        self._usable = True

    @property
    def layout_path(self) -> Path:
        """Where the window's panel layout is kept (by the GUI library)."""
        return self.folder / "layout.ini"

    @property
    def thumbnails_path(self) -> Path:
        """Where the library's pictures are kept."""
        return self.folder / "thumbnails"

    @property
    def hashes_path(self) -> Path:
        """Where the hashes of checkpoints are kept."""
        return self.folder / "hashes.json"

    @property
    def log_path(self) -> Path:
        return self.folder / "glissando.log"

    def prepare(self) -> str | None:
        """Make the folder; a message when that does not work and nothing will be kept."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._usable = False  # said once; every later read and write would only repeat it
            return f"Settings will not be kept: {self.folder} cannot be made ({error.strerror or error})"
        return None

    def load_settings(self) -> tuple[Settings, str | None]:
        data, problem = self._read("settings.json")
        if data is None:
            return Settings(), problem
        return _settings_from(data, str(self.folder / "settings.json"))

    def save_settings(self, settings: Settings) -> str | None:
        return self._write("settings.json", values.to_json(settings))

    def load_scene(self) -> tuple[Scene | None, str | None]:
        """The scene of the last session, or None."""
        data, problem = self._read("scene.json")
        if data is None:
            return None, problem
        try:
            return Scene.from_json(data), None
        except SceneError as error:
            return None, f"The last scene was not restored: {error}"

    def save_scene(self, scene: Scene) -> str | None:
        return self._write("scene.json", scene.to_json())

    def _read(self, name: str) -> tuple[Any, str | None]:
        path = self.folder / name
        if not self._usable:
            return None, None
        try:
            return json.loads(path.read_text(encoding="utf-8")), None
        except FileNotFoundError:
            return None, None
        except (OSError, ValueError) as error:
            return None, f"{path} was not read: {error}"

    def _write(self, name: str, data: dict[str, Any]) -> str | None:
        path = self.folder / name
        if not self._usable:
            return None
        try:
            write_atomically(path, json.dumps(data, ensure_ascii=False, indent=1))
        except OSError as error:
            return f"{path} was not written: {error.strerror or error}"
        return None


def _settings_from(data: object, name: str) -> tuple[Settings, str | None]:
    """What can be read of them, and why the rest cannot."""
    if not isinstance(data, dict):
        return Settings(), f"Settings start afresh: {name}: expected an object, got {type(data).__name__}"
    good, problems = {}, []
    # One by one: what is damaged, or what another version wrote besides, is no reason to lose the rest.
    for known in fields(Settings):
        if known.name not in data:
            continue
        try:
            good[known.name] = getattr(values.from_json(Settings, {known.name: data[known.name]}, name), known.name)
        except ValueError as error:
            problems.append(str(error))
    return Settings(**good), f"Some settings start afresh: {'; '.join(problems)}" if problems else None
