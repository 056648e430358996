"""What the explorer keeps between starts: settings, the autosaved scene, the log. Plain JSON, written atomically.

Reading never stops a start: what cannot be read gives defaults and a message for the window.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from app.explorer.prompt_past import PAST_PROMPTS
from app.explorer.scene import Scene, SceneError
from app.explorer.seed_plane import COARSEST_STEP, FINEST_STEP, STEP
from app.live.settings import LiveSettings
from core import values

log = logging.getLogger(__name__)

RECENTS = 8

Theme = Literal["dark", "light"]
THEMES: tuple[Theme, ...] = get_args(Theme)
FRAME_LIMITS = (10, 240)
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


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
    """What belongs to the person rather than to the picture."""

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
    precision: str = "auto"
    """auto, float32, bfloat16 or float16."""
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

    def with_recent(self, path: Path) -> Settings:
        name = str(path)
        return replace(self, recents=(name, *(other for other in self.recents if other != name))[:RECENTS])


class Store:
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
        try:
            return _settings_from(data), None
        except (TypeError, ValueError) as error:
            return Settings(), f"Settings start afresh: {self.folder / 'settings.json'}: {error}"

    def save_settings(self, settings: Settings) -> str | None:
        return self._write("settings.json", asdict(settings))

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


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text`: a reader, also one after a crash, sees the old or the new. Raises `OSError`."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        # A lone surrogate, which a keyboard can send, is no reason to lose the scene.
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _settings_from(data: object) -> Settings:
    if not isinstance(data, dict):
        raise ValueError(f"expected a JSON object, got {type(data).__name__}")
    default = Settings()
    recents = data.get("recents", [])
    output_dir = data.get("output_dir", default.output_dir)
    text_scale = data.get("text_scale", default.text_scale)
    library_dirs = data.get("library_dirs", [])
    for name, paths in (("recents", recents), ("library_dirs", library_dirs)):
        if not isinstance(paths, list) or not all(isinstance(item, str) for item in paths):
            raise ValueError(f"{name}: expected a list of paths, got {paths!r}")
    if not isinstance(output_dir, str) or not output_dir:
        raise ValueError(f"output_dir: expected a path, got {output_dir!r}")
    if not isinstance(text_scale, int | float) or not 0.5 <= text_scale <= 3.0:
        raise ValueError(f"text_scale: expected a number from 0.5 to 3, got {text_scale!r}")
    theme = data.get("theme", default.theme)
    if theme not in THEMES:
        raise ValueError(f"theme: expected one of {', '.join(THEMES)}, got {theme!r}")
    frame_limit, (low, high) = data.get("frame_limit", default.frame_limit), FRAME_LIMITS
    if type(frame_limit) is not int or not low <= frame_limit <= high:
        raise ValueError(f"frame_limit: expected an integer from {low} to {high}, got {frame_limit!r}")
    vsync = data.get("vsync", default.vsync)
    if type(vsync) is not bool:
        raise ValueError(f"vsync: expected true or false, got {vsync!r}")
    device = data.get("device", default.device)
    if not isinstance(device, str) or not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", device):
        raise ValueError(f"device: expected auto, cpu, cuda or cuda:N, got {device!r}")
    precision = data.get("precision", default.precision)
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    past_prompts = data.get("past_prompts", [])
    word_lists = data.get("word_lists", {})
    if not isinstance(past_prompts, list) or not all(isinstance(prompt, str) for prompt in past_prompts):
        raise ValueError(f"past_prompts: expected a list of texts, got {past_prompts!r}")
    if not isinstance(word_lists, dict) or not all(
        isinstance(words, list) and all(isinstance(word, str) for word in words) for words in word_lists.values()
    ):
        raise ValueError(f"word_lists: expected a list of texts for each word, got {word_lists!r}")
    walk_step = data.get("walk_step", default.walk_step)
    if not isinstance(walk_step, int | float) or not FINEST_STEP <= walk_step <= COARSEST_STEP:
        raise ValueError(f"walk_step: expected a number from {FINEST_STEP:g} to {COARSEST_STEP:g}, got {walk_step!r}")
    snap_seeds = data.get("snap_seeds", default.snap_seeds)
    if type(snap_seeds) is not bool:
        raise ValueError(f"snap_seeds: expected true or false, got {snap_seeds!r}")
    return Settings(
        recents=tuple(recents[:RECENTS]),
        output_dir=output_dir,
        library_dirs=tuple(library_dirs),
        text_scale=float(text_scale),
        theme=theme,
        frame_limit=frame_limit,
        vsync=vsync,
        device=device,
        precision=precision,
        live=values.from_json(LiveSettings, data.get("live", {}), "live"),
        past_prompts=tuple(past_prompts[:PAST_PROMPTS]),
        word_lists={word: tuple(words) for word, words in word_lists.items()},
        walk_step=float(walk_step),
        snap_seeds=snap_seeds,
    )
