"""File dialogs: the system's own, without blocking; where there are none, a path to type."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from shutil import which

from imgui_bundle import ImVec2, imgui
from imgui_bundle import portable_file_dialogs as pfd

from app.explorer.gui import theme
from app.explorer.gui.widgets import wrapped_text
from app.explorer.session import Session
from app.explorer.train.controller import PathField
from app.explorer.ui_state import DialogRequest
from app.files import free_path

log = logging.getLogger(__name__)

TITLES: dict[DialogRequest, str] = {
    "open": "Open a checkpoint",
    "save_picture": "Save the picture as",
    "output_folder": "Folder for pictures and videos",
    "library_folder": "Folder with models",
    "open_scene": "Open a scene, a take, or a picture or video made here",
    "save_scene": "Save the scene as",
    "open_autosave": "Open an earlier scene",
    "find_checkpoint": "Where is the checkpoint?",
    "import_vectors": "Import directions and latents",
    "export_vectors": "Export directions and latents",
    "train_data": "Folder with captioned pictures",
    "train_clip": "Folder of a CLIP run",
    "train_start": "Folder of a run to start from",
    "train_out": "Folder of the run",
}
_TRAIN: dict[DialogRequest, PathField] = {
    "train_data": "data",
    "train_clip": "clip",
    "train_start": "start",
    "train_out": "out",
}
_CHECKPOINTS = ["Checkpoints", "*.safetensors *.pkl *.pt", "All files", "*"]
_SCENES = "*.json *.take.jsonl *.png *.gif *.mp4 *.mkv *.mov *.webm"
_VECTORS = ["Directions and latents", "*.npz", "All files", "*"]
_FILTERS: dict[DialogRequest, list[str]] = {
    "open": _CHECKPOINTS,
    "find_checkpoint": _CHECKPOINTS,
    "open_scene": ["Scenes, takes, pictures and videos", _SCENES, "All files", "*"],
    "open_autosave": ["Scenes", "*.json"],
    "import_vectors": _VECTORS,
}
"""For dialogs that open a file."""
_SUFFIXES: dict[DialogRequest, str] = {"save_picture": ".png", "save_scene": ".json", "export_vectors": ".npz"}
"""For dialogs that write a file: what its name ends in."""


class Dialogs:
    """Shows the requested file dialog, and acts when a path was chosen."""

    def __init__(self, session: Session, *, native: bool | None = None) -> None:
        self._session = session
        self._native = native_available() if native is None else native
        self._request: DialogRequest | None = None
        self._dialog: pfd.open_file | pfd.save_file | pfd.select_folder | None = None
        self._text = ""

    def draw(self) -> None:
        request, self._session.ui.dialog_request = self._session.ui.dialog_request, None
        if request is not None and self._request is None:
            self._request = request
            if self._native:
                self._dialog = self._open_native(request)
            else:
                self._text = self._suggestion(request)
                imgui.open_popup(TITLES[request])
        if self._dialog is not None:
            self._poll()
        elif self._request is not None:
            self._ask(self._request)

    def cancel(self) -> None:
        """Forget what was asked for."""
        self._request = self._dialog = None

    def _open_native(self, request: DialogRequest) -> pfd.open_file | pfd.save_file | pfd.select_folder:
        start = self._suggestion(request)
        if request in _FILTERS:
            return pfd.open_file(TITLES[request], start, _FILTERS[request])
        if request == "save_scene":
            return pfd.save_file(TITLES[request], start, ["Scenes", "*.json"])
        if request == "export_vectors":
            return pfd.save_file(TITLES[request], start, _VECTORS)
        if request == "save_picture":
            return pfd.save_file(TITLES[request], start, ["PNG pictures", "*.png"])
        return pfd.select_folder(TITLES[request], start)

    def _suggestion(self, request: DialogRequest) -> str:
        settings = self._session.preferences.settings
        if request in ("open", "library_folder", "find_checkpoint"):
            return str(Path(settings.recents[0]).parent) + "/" if settings.recents else str(Path.cwd()) + "/"
        if request == "save_picture":
            return str(Path(settings.output_dir) / "picture.png")
        if request == "save_scene":
            return str(Path(settings.output_dir) / "scene.json")
        if request == "export_vectors":
            return str(Path(settings.output_dir) / f"{self._session.vectors.store.checkpoint.stem}.directions.npz")
        if request in _TRAIN:
            return self._session.training.chosen(_TRAIN[request]) or str(Path.cwd())
        if request == "open_autosave":
            return str(self._session.autosave.recovery.newest())
        return settings.output_dir + ("/" if request == "open_scene" else "")

    def _poll(self) -> None:
        dialog, request = self._dialog, self._request
        assert dialog is not None
        assert request is not None
        if not dialog.ready(0):
            return
        result = dialog.result()
        chosen = result[0] if isinstance(result, list) and result else result
        self._dialog = self._request = None
        if isinstance(chosen, str) and chosen:
            path = Path(chosen).expanduser()
            target = _with_suffix(request, path)
            # The dialog has asked about a file that is there, but not about one whose name we make.
            self._answer(request, target if target == path else free_path(target))

    def _ask(self, request: DialogRequest) -> None:
        viewport = imgui.get_main_viewport()
        imgui.set_next_window_pos(viewport.get_center(), imgui.Cond_.appearing, ImVec2(0.5, 0.5))
        imgui.set_next_window_size(ImVec2(imgui.get_font_size() * 36, 0))
        opened, _ = imgui.begin_popup_modal(TITLES[request], None, imgui.WindowFlags_.always_auto_resize)
        if not opened:
            self._request = None
            return
        wrapped_text("No file dialog here (zenity or kdialog would give one). Type or paste a path:", theme.colour.dim)
        if imgui.is_window_appearing():
            imgui.set_keyboard_focus_here()
        imgui.set_next_item_width(-1)
        entered, self._text = imgui.input_text("##path", self._text, imgui.InputTextFlags_.enter_returns_true)
        target = _with_suffix(request, Path(self._text.strip()).expanduser())
        chosen: Path | None = None
        if request in _SUFFIXES and target.is_file():
            wrapped_text(f"{target.name} is there already.", theme.colour.amber)
            if imgui.button("Replace it", ImVec2(imgui.get_font_size() * 6, 0)):
                chosen = target
            imgui.same_line()
            free = free_path(target)
            if imgui.button(f"Save as {free.name}###free"):
                chosen = free
        elif imgui.button("OK", ImVec2(imgui.get_font_size() * 6, 0)) or entered:
            chosen = target
        if chosen is not None:
            imgui.close_current_popup()
            self._request = None
            if self._text.strip():
                self._answer(request, chosen)
        imgui.same_line()
        if imgui.button("Cancel", ImVec2(imgui.get_font_size() * 6, 0)) or imgui.is_key_pressed(imgui.Key.escape):
            imgui.close_current_popup()
            self._request = None
        imgui.end_popup()

    def _answer(self, request: DialogRequest, path: Path) -> None:
        if request == "open":
            self._session.models.open(path)
        elif request == "save_picture":
            self._session.export.files.picture(path)
        elif request in ("open_scene", "open_autosave"):
            self._session.file_opener.open(path)
        elif request == "save_scene":
            self._session.export.files.scene(path)
        elif request == "find_checkpoint":
            self._session.file_opener.give_checkpoint(path)
        elif request == "import_vectors":
            self._session.vectors.files.import_from(path)
        elif request == "export_vectors":
            self._session.vectors.files.export_to(path)
        elif request in _TRAIN:
            self._session.training.choose(_TRAIN[request], path)
        elif request == "library_folder":
            self._session.models.add_folder(path)
        else:
            self._session.preferences.set_output_dir(path)


def _with_suffix(request: DialogRequest, path: Path) -> Path:
    suffix = _SUFFIXES.get(request)
    return (
        path if suffix is None or not path.name or path.suffix.lower() == suffix else path.with_name(path.name + suffix)
    )


def native_available() -> bool:
    """Whether the system has a file dialog. On Linux it is a program beside the desktop."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(which(name) for name in ("zenity", "kdialog", "matedialog", "qarma"))


def show_in_folder(path: Path) -> None:
    """Open the folder of `path` in the system's file manager; silently nothing where there is none."""
    folder = path.parent
    if sys.platform == "win32":
        command = ["explorer", f"/select,{path}"]
    elif sys.platform == "darwin":
        command = ["open", "-R", str(path)]
    else:
        command = ["xdg-open", str(folder)]
    try:
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        log.warning("no file manager for %s: %s", folder, error)
