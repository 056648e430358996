"""The File menu."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from app.explorer.actions.action import Action, fixed_label, open_dialog
from app.explorer.session import Session


def _export_vectors(session: Session) -> None:
    session.vectors.files.to_export = ()
    session.ui.dialog_request = "export_vectors"


def _quit(session: Session) -> None:
    session.ui.quit_requested = True


ACTIONS: tuple[Action, ...] = (
    Action(
        id="open",
        menu="File",
        label=fixed_label("Open checkpoint…"),
        run=open_dialog("open"),
        shortcut="Ctrl+O",
        tooltip="Load another model, ours or a published .pkl; dropping its file on the window does the same.",
    ),
    Action(
        id="open_bundled",
        menu="File",
        label=fixed_label("Open the bundled checkpoint"),
        run=lambda session: session.models.open_bundled(),
    ),
    Action(
        id="follow",
        menu="File",
        label=fixed_label("Follow the run"),
        run=lambda session: session.run_follower.toggle(),
        enabled=lambda session: session.run_follower.run is not None,
        checked=lambda session: session.run_follower.on,
        tooltip="Show each new snapshot of the training run whose latest.safetensors is open; the controls stay as "
        "they are. Dropping a run's folder on the window begins it too.",
    ),
    Action(
        id="library_folder",
        menu="File",
        label=fixed_label("Add folder to library…"),
        run=open_dialog("library_folder"),
        tooltip="Show the models in a folder, with their pictures, in the library.",
    ),
    Action(
        id="open_scene",
        menu="File",
        label=fixed_label("Open scene…"),
        run=open_dialog("open_scene"),
        shortcut="Ctrl+Shift+O",
        tooltip="Restore a scene file, a take, or what a picture or video made here was made from; dropping it on the "
        "window does the same.",
        separator=True,
    ),
    Action(
        id="open_autosave",
        menu="File",
        label=fixed_label("Open earlier scene…"),
        run=open_dialog("open_autosave"),
        tooltip="The last twenty scenes that were kept, one a minute at most.",
    ),
    Action(
        id="save_scene",
        menu="File",
        label=fixed_label("Save scene as…"),
        run=open_dialog("save_scene"),
        tooltip="Write all the controls to a file.",
    ),
    Action(
        id="save",
        menu="File",
        label=fixed_label("Save picture"),
        run=lambda session: session.export.files.picture(),
        shortcut="Ctrl+S",
        enabled=lambda session: session.rendering.frame is not None,
        tooltip="Write the picture as PNG; prompt, seed, psi and checkpoint are kept inside the file.",
        separator=True,
    ),
    Action(
        id="save_as",
        menu="File",
        label=fixed_label("Save picture as…"),
        run=open_dialog("save_picture"),
        shortcut="Ctrl+Shift+S",
        enabled=lambda session: session.rendering.frame is not None,
    ),
    Action(
        id="record",
        menu="File",
        label=lambda session: "Stop recording" if session.export.recording.recorder is not None else "Record video",
        run=lambda session: session.export.recording.toggle(),
        shortcut="Ctrl+R",
        enabled=lambda session: (
            session.rendering.frame is not None
            and not (session.export.recording.recorder is not None and session.export.recording.recorder.stopping)
        ),
        tooltip="Record what the window shows to an MP4 file.",
    ),
    Action(
        id="output_folder", menu="File", label=fixed_label("Choose output folder…"), run=open_dialog("output_folder")
    ),
    Action(
        id="import_vectors",
        menu="File",
        label=fixed_label("Import directions and latents…"),
        run=open_dialog("import_vectors"),
        enabled=lambda session: session.vectors.store.is_open,
        tooltip="From a .npz file, for the model that is open; dropping the file on the window does the same.",
    ),
    Action(
        id="export_vectors",
        menu="File",
        label=fixed_label("Export directions and latents…"),
        run=_export_vectors,
        enabled=lambda session: session.vectors.store.is_open and bool(session.vectors.store.vectors),
        tooltip="All of the open model's, in one .npz file.",
    ),
    Action(id="quit", menu="File", label=fixed_label("Quit"), run=_quit, shortcut="Ctrl+Q", separator=True),
)


def _open(path: Path) -> Callable[[Session], None]:
    return lambda session: session.models.open(path)


def _recents(session: Session) -> Iterable[Action]:
    for name in session.preferences.settings.recents:
        yield Action(
            id=name,
            menu="File/Open recent",
            label=fixed_label(Path(name).name),
            run=_open(Path(name)),
            tooltip=name,
        )


FOLLOWED_BY = {"open": _recents}
