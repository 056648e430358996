"""Everything that a menu, a shortcut or the command palette can do, each declared once.

No GUI here: shortcuts are texts that the window translates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from app.explorer import seed_plane, snapshots
from app.explorer.controls import Placement
from app.explorer.desk import OTHER_MONITOR, WINDOWED, DeleteLayout, ShowOutput, ShowPanel, UseLayout, Wish
from app.explorer.prompt_words import WEIGHT_STEP
from app.explorer.scene import QUICK_PROMPTS, ZOOM_LIMIT, Scene
from app.explorer.session import DialogWish, Session
from core.prompts import plain
from core.request import IDENTITY_TRANSFORM


@dataclass(frozen=True, kw_only=True)
class Action:
    """One entry. `label` may depend on the session, as in "Undo psi"."""

    id: str
    menu: str
    """Such as "File", or "View/Panels" for a menu within it."""
    label: Callable[[Session], str]
    run: Callable[[Session], None]
    shortcut: str = ""
    """Such as "Ctrl+Shift+Z"; on a Mac, Ctrl is Cmd."""
    also: str = ""
    """A second shortcut, not shown."""
    tooltip: str = ""
    enabled: Callable[[Session], bool] = lambda session: True
    checked: Callable[[Session], bool] = lambda session: False
    repeat: bool = False
    """Whether holding the keys repeats it."""
    separator: bool = False
    """Whether a line stands above it in the menu."""
    in_palette: bool = True


def _says(text: str) -> Callable[[Session], str]:
    return lambda session: text


def _undo_label(session: Session) -> str:
    name = session.history.undo_name
    return f"Undo {name}" if name else "Undo"


def _redo_label(session: Session) -> str:
    name = session.history.redo_name
    return f"Redo {name}" if name else "Redo"


def _undo(session: Session) -> None:
    session.history.undo()


def _redo(session: Session) -> None:
    session.history.redo()


def _wish_open(session: Session) -> None:
    session.dialog_wish = "open"


def _wish_save(session: Session) -> None:
    session.dialog_wish = "save_picture"


def _wishes(wish: DialogWish) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        session.dialog_wish = wish

    return run


def _wish_folder(session: Session) -> None:
    session.dialog_wish = "output_folder"


def _wish_library_folder(session: Session) -> None:
    session.dialog_wish = "library_folder"


def _wish_import(session: Session) -> None:
    session.dialog_wish = "import_vectors"


def _wish_export(session: Session) -> None:
    session.shelf.to_export = ()
    session.dialog_wish = "export_vectors"


def _quit(session: Session) -> None:
    session.quit_wish = True


# Of a scene, what is kept rather than set.
_NO_CONTROLS = (
    "snapshots",
    "keyframes",
    "tracks",
    "duration",
    "loop",
    "bpm",
    "beats_per_bar",
    "snap",
    "unit",
    "quick_prompts",
)


def _reset(session: Session) -> None:
    scene = session.history.scene
    kept = {name: getattr(scene, name) for name in ("prompt", "label", "checkpoint", "zoom", "smooth", *_NO_CONTROLS)}
    fresh = Scene(**kept)
    session.transport.rewind()
    session.history.step("reset controls", lambda _: fresh)


def _step_seed(dx: int, dy: int) -> Callable[[Session], None]:
    return lambda session: session.history.step("seed", lambda scene: seed_plane.stepped(scene, dx, dy))


def _subject(scene: Scene, which: str = "") -> tuple[str, int]:
    return getattr(scene, f"prompt{which}"), getattr(scene, f"label{which}")


def _swap(session: Session) -> None:
    def swap(scene: Scene) -> Scene:
        return replace(scene, prompt=scene.prompt_b, prompt_b=scene.prompt, label=scene.label_b, label_b=scene.label)

    session.history.step("swap A and B", swap)


def _takes_text(session: Session) -> bool:
    return session.conditioning == "text"


def _word_selected(session: Session) -> bool:
    return _takes_text(session) and session.prompts.words.place is not None


def _weigh(by: float) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        word = session.prompts.words.place
        if word is not None:
            session.prompts.words.weigh(word, by)

    return run


def _mute(session: Session) -> None:
    word = session.prompts.words.place
    if word is not None:
        session.prompts.words.mute(word)


def _quick_label(index: int) -> Callable[[Session], str]:
    def label(session: Session) -> str:
        prompt = plain(session.prompts.quick(index))
        return f"{index + 1}: {prompt[:40] + '…' * (len(prompt) > 40) if prompt else '(empty)'}"

    return label


def _use_quick(index: int) -> Action:
    return Action(
        id=f"quick {index + 1}",
        menu="Prompt/Quick prompts",
        label=_quick_label(index),
        run=lambda session: session.prompts.use_quick(index),
        shortcut=str(index + 1),
        enabled=lambda session: _takes_text(session) and bool(session.prompts.quick(index)),
        tooltip="Make this quick prompt the prompt.",
    )


def _store_quick(index: int) -> Action:
    return Action(
        id=f"store quick {index + 1}",
        menu="Prompt/Store the prompt",
        label=_says(f"Store as quick prompt {index + 1}"),
        run=lambda session: session.prompts.store_quick(index, session.history.scene.prompt),
        shortcut=f"Ctrl+Shift+{index + 1}",
        enabled=lambda session: _takes_text(session) and bool(session.history.scene.prompt.strip()),
    )


def _zoom_to(zoom: int) -> Callable[[Session], None]:
    return lambda session: session.history.step("zoom", lambda scene: replace(scene, zoom=zoom))


def _zoom_by(change: int) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        zoom = session.history.scene.zoom or session.shown_zoom
        session.history.step("zoom", lambda scene: replace(scene, zoom=min(max(zoom + change, 1), ZOOM_LIMIT)))

    return run


def _toggle_smooth(session: Session) -> None:
    session.history.step("smooth", lambda scene: replace(scene, smooth=not scene.smooth))


def _wish(wish: Wish) -> Callable[[Session], None]:
    return lambda session: session.desk.wish(wish)


def _toggle_palette(session: Session) -> None:
    session.desk.palette = not session.desk.palette


def _toggle_shortcuts(session: Session) -> None:
    session.desk.shortcuts = not session.desk.shortcuts


def _toggle_output(session: Session) -> None:
    session.desk.wish(ShowOutput(OTHER_MONITOR if session.desk.output is None else None))


def _name_layout(session: Session) -> None:
    session.desk.naming_layout = True


ACTIONS: tuple[Action, ...] = (
    Action(
        id="open",
        menu="File",
        label=_says("Open checkpoint…"),
        run=_wish_open,
        shortcut="Ctrl+O",
        tooltip="Load another model, ours or a published .pkl; dropping its file on the window does the same.",
    ),
    Action(id="open_bundled", menu="File", label=_says("Open the bundled checkpoint"), run=Session.open_bundled),
    Action(
        id="library_folder",
        menu="File",
        label=_says("Add folder to library…"),
        run=_wish_library_folder,
        tooltip="Show the models in a folder, with their pictures, in the library.",
    ),
    Action(
        id="open_scene",
        menu="File",
        label=_says("Open scene…"),
        run=_wishes("open_scene"),
        shortcut="Ctrl+Shift+O",
        tooltip="Restore a scene file, a take, or what a picture or video made here was made from; dropping it on the "
        "window does the same.",
        separator=True,
    ),
    Action(
        id="open_autosave",
        menu="File",
        label=_says("Open earlier scene…"),
        run=_wishes("open_autosave"),
        tooltip="The last twenty scenes that were kept, one a minute at most.",
    ),
    Action(
        id="save_scene",
        menu="File",
        label=_says("Save scene as…"),
        run=_wishes("save_scene"),
        tooltip="Write all the controls to a file.",
    ),
    Action(
        id="save",
        menu="File",
        label=_says("Save picture"),
        run=lambda session: session.save_picture(),
        shortcut="Ctrl+S",
        enabled=lambda session: session.frame is not None,
        tooltip="Write the picture as PNG; prompt, seed, psi and checkpoint are kept inside the file.",
        separator=True,
    ),
    Action(
        id="save_as",
        menu="File",
        label=_says("Save picture as…"),
        run=_wish_save,
        shortcut="Ctrl+Shift+S",
        enabled=lambda session: session.frame is not None,
    ),
    Action(
        id="record",
        menu="File",
        label=lambda session: "Stop recording" if session.recorder is not None else "Record video",
        run=Session.toggle_recording,
        shortcut="Ctrl+R",
        enabled=lambda session: (
            session.frame is not None and not (session.recorder is not None and session.recorder.stopping)
        ),
        tooltip="Record what the window shows to an MP4 file.",
    ),
    Action(id="output_folder", menu="File", label=_says("Choose output folder…"), run=_wish_folder),
    Action(
        id="import_vectors",
        menu="File",
        label=_says("Import directions and latents…"),
        run=_wish_import,
        enabled=lambda session: session.shelf.is_open,
        tooltip="From a .npz file, for the model that is open; dropping the file on the window does the same.",
    ),
    Action(
        id="export_vectors",
        menu="File",
        label=_says("Export directions and latents…"),
        run=_wish_export,
        enabled=lambda session: session.shelf.is_open and bool(session.shelf.vectors),
        tooltip="All of the open model's, in one .npz file.",
    ),
    Action(id="quit", menu="File", label=_says("Quit"), run=_quit, shortcut="Ctrl+Q", separator=True),
    Action(
        id="undo",
        menu="Edit",
        label=_undo_label,
        run=_undo,
        shortcut="Ctrl+Z",
        enabled=lambda session: session.history.undo_name is not None,
        repeat=True,
    ),
    Action(
        id="redo",
        menu="Edit",
        label=_redo_label,
        run=_redo,
        shortcut="Ctrl+Shift+Z",
        also="Ctrl+Y",
        enabled=lambda session: session.history.redo_name is not None,
        repeat=True,
    ),
    Action(
        id="surprise",
        menu="Edit",
        label=_says("Surprise me"),
        run=Session.surprise,
        shortcut="Ctrl+D",
        tooltip="Jump to a random seed: another picture of the same prompt.",
        separator=True,
    ),
    Action(
        id="save_latent",
        menu="Edit",
        label=_says("Save latent"),
        run=Session.save_latent,
        shortcut="Ctrl+L",
        enabled=lambda session: session.frame is not None,
        tooltip="Keep this place, styles and all, to come back to it or to take layers from it.",
    ),
    Action(
        id="swap",
        menu="Edit",
        label=_says("Swap A and B"),
        run=_swap,
        enabled=lambda session: _subject(session.history.scene) != _subject(session.history.scene, "_b"),
    ),
    Action(id="reset", menu="Edit", label=_says("Reset all controls"), run=_reset),
    Action(
        id="reset_placement",
        menu="Edit",
        label=_says("Reset placement"),
        run=lambda session: session.history.step("reset placement", Placement().applied),
        enabled=lambda session: session.history.scene.transform != IDENTITY_TRANSFORM,
        tooltip="The picture's content back to where it was: not moved, turned or scaled.",
    ),
    Action(
        id="reset_layer_psi",
        menu="Edit",
        label=_says("Clear psi of layers"),
        run=lambda session: session.history.step("clear layers", lambda scene: replace(scene, layer_psi=())),
        enabled=lambda session: bool(session.history.scene.layer_psi),
        tooltip="Every layer follows psi and cutoff again.",
    ),
    Action(
        id="next_word",
        menu="Prompt",
        label=_says("Next word"),
        run=lambda session: session.prompts.words.step(1),
        shortcut="Alt+Right",
        enabled=_takes_text,
        repeat=True,
        tooltip="Select the next word of the prompt; a click on a word below the prompt does so, too.",
    ),
    Action(
        id="previous_word",
        menu="Prompt",
        label=_says("Previous word"),
        run=lambda session: session.prompts.words.step(-1),
        shortcut="Alt+Left",
        enabled=_takes_text,
        repeat=True,
    ),
    Action(
        id="swap_down",
        menu="Prompt",
        label=_says("Swap word for the next"),
        run=lambda session: session.prompts.words.swap(1),
        shortcut="Alt+Down",
        enabled=_word_selected,
        repeat=True,
        tooltip="The next word of its list: your own list for the word, or words the model knows.",
        separator=True,
    ),
    Action(
        id="swap_up",
        menu="Prompt",
        label=_says("Swap word for the previous"),
        run=lambda session: session.prompts.words.swap(-1),
        shortcut="Alt+Up",
        enabled=_word_selected,
        repeat=True,
    ),
    Action(
        id="heavier",
        menu="Prompt",
        label=_says("More weight on the word"),
        run=_weigh(WEIGHT_STEP),
        shortcut="Alt+=",
        enabled=_word_selected,
        repeat=True,
    ),
    Action(
        id="lighter",
        menu="Prompt",
        label=_says("Less weight on the word"),
        run=_weigh(-WEIGHT_STEP),
        shortcut="Alt+-",
        enabled=_word_selected,
        repeat=True,
    ),
    Action(
        id="mute_word",
        menu="Prompt",
        label=_says("Mute the word"),
        run=_mute,
        shortcut="Alt+M",
        enabled=_word_selected,
        tooltip="The picture of the prompt without the word; once more brings it back.",
    ),
    *(_use_quick(index) for index in range(QUICK_PROMPTS)),
    *(_store_quick(index) for index in range(QUICK_PROMPTS)),
    Action(
        id="seed_right",
        menu="Seed",
        label=_says("Next seed"),
        run=_step_seed(1, 0),
        shortcut="Right",
        tooltip="To the next whole seed.",
        repeat=True,
    ),
    Action(
        id="seed_left", menu="Seed", label=_says("Previous seed"), run=_step_seed(-1, 0), shortcut="Left", repeat=True
    ),
    Action(id="seed_up", menu="Seed", label=_says("A row up"), run=_step_seed(0, -1), shortcut="Up", repeat=True),
    Action(id="seed_down", menu="Seed", label=_says("A row down"), run=_step_seed(0, 1), shortcut="Down", repeat=True),
    Action(
        id="seed_home",
        menu="Seed",
        label=_says("To seed 0"),
        run=lambda session: session.history.step("seed 0", lambda scene: replace(scene, seed_x=0.0, seed_y=0.0)),
        shortcut="Shift+Home",
        enabled=lambda session: (session.history.scene.seed_x, session.history.scene.seed_y) != (0.0, 0.0),
    ),
    Action(
        id="snap",
        menu="Seed",
        label=_says("Snap to whole seeds"),
        run=lambda session: session.set_walk(snap=not session.settings.snap_seeds),
        shortcut="S",
        checked=lambda session: session.settings.snap_seeds,
        tooltip="A drag across the picture stops at whole seeds only.",
        separator=True,
    ),
    Action(
        id="reset_step",
        menu="Seed",
        label=lambda session: f"Reset the step ({seed_plane.step_text(session.settings.walk_step)})",
        run=lambda session: session.set_walk(step=seed_plane.STEP),
        enabled=lambda session: session.settings.walk_step != seed_plane.STEP,
        tooltip="How far a drag across the picture goes; the wheel over the picture changes it.",
    ),
    Action(
        id="play",
        menu="Play",
        label=lambda session: "Pause" if session.transport.playing else "Play",
        run=lambda session: session.transport.toggle(),
        shortcut="Space",
        tooltip="Glide along a closed path through the seeds.",
    ),
    Action(
        id="rewind",
        menu="Play",
        label=_says("Back to the start"),
        run=lambda session: session.transport.rewind(),
        shortcut="Home",
    ),
    Action(
        id="keyframe",
        menu="Play",
        label=_says("Add keyframe"),
        run=lambda session: session.timeline.add_keyframe(),
        shortcut="K",
        tooltip="Put all controls as they are on the timeline, at the playhead. A keyframe that is there takes them.",
        separator=True,
    ),
    Action(
        id="keyframe_update",
        menu="Play",
        label=_says("Update keyframe"),
        run=lambda session: session.timeline.update_keyframe(),
        shortcut="Shift+K",
        enabled=lambda session: session.timeline.differs,
        tooltip="Give the selected keyframe the controls as they are now. Moving a control alone does not change it.",
    ),
    Action(
        id="keyframe_delete",
        menu="Play",
        label=lambda session: (
            "Delete point"
            if session.timeline.selection is not None and session.timeline.selection.control
            else "Delete keyframe"
        ),
        run=lambda session: session.timeline.delete(),
        shortcut="Delete",
        enabled=lambda session: session.timeline.selection is not None,
        tooltip="Delete what is selected on the timeline.",
    ),
    Action(
        id="keyframe_next",
        menu="Play",
        label=_says("Next keyframe"),
        run=lambda session: session.timeline.step(1),
        shortcut=".",
        enabled=lambda session: bool(session.history.scene.keyframes),
        repeat=True,
    ),
    Action(
        id="keyframe_previous",
        menu="Play",
        label=_says("Previous keyframe"),
        run=lambda session: session.timeline.step(-1),
        shortcut=",",
        enabled=lambda session: bool(session.history.scene.keyframes),
        repeat=True,
    ),
    Action(
        id="snapshot",
        menu="Play",
        label=_says("Take snapshot"),
        run=snapshots.take,
        shortcut="N",
        tooltip="Keep this picture's controls, to come back to or to compare with.",
        separator=True,
    ),
    Action(
        id="a_b",
        menu="Play",
        label=_says("Snapshot A or B"),
        run=snapshots.toggle,
        shortcut="`",
        enabled=snapshots.can_toggle,
        tooltip="Go to and fro between the snapshots marked A and B, without a morph.",
    ),
    Action(
        id="compare_side",
        menu="View",
        label=_says("Snapshot B beside the picture"),
        run=lambda session: snapshots.compare(session, "side"),
        enabled=snapshots.can_compare,
        checked=lambda session: session.history.scene.compare == "side",
        separator=True,
    ),
    Action(
        id="compare_wipe",
        menu="View",
        label=_says("Snapshot B behind a wipe"),
        run=lambda session: snapshots.compare(session, "wipe"),
        enabled=snapshots.can_compare,
        checked=lambda session: session.history.scene.compare == "wipe",
        tooltip="Snapshot B over the right part of the picture; drag the line between them.",
    ),
    Action(
        id="zoom_fit",
        menu="View",
        label=_says("Fit the picture"),
        run=_zoom_to(0),
        shortcut="Ctrl+0",
        separator=True,
        checked=lambda session: session.history.scene.zoom == 0,
    ),
    Action(id="zoom_in", menu="View", label=_says("Zoom in"), run=_zoom_by(1), shortcut="Ctrl+=", repeat=True),
    Action(id="zoom_out", menu="View", label=_says("Zoom out"), run=_zoom_by(-1), shortcut="Ctrl+-", repeat=True),
    Action(
        id="smooth",
        menu="View",
        label=_says("Smooth filtering"),
        run=_toggle_smooth,
        checked=lambda session: session.history.scene.smooth,
        tooltip="Blend between the picture's pixels on screen instead of showing them as squares.",
    ),
    Action(
        id="light_theme",
        menu="View",
        label=_says("Light theme"),
        run=lambda session: session.set_theme("dark" if session.settings.theme == "light" else "light"),
        checked=lambda session: session.settings.theme == "light",
        separator=True,
        tooltip="Dark text on light panels, or the other way round.",
    ),
    Action(
        id="text_larger",
        menu="View",
        label=_says("Larger text"),
        run=lambda session: session.set_text_scale(session.settings.text_scale + 0.1),
        shortcut="Ctrl+Shift+=",
    ),
    Action(
        id="text_smaller",
        menu="View",
        label=_says("Smaller text"),
        run=lambda session: session.set_text_scale(session.settings.text_scale - 0.1),
        shortcut="Ctrl+Shift+-",
    ),
    Action(
        id="output",
        menu="View/Output",
        label=lambda session: "Full-screen output" if session.desk.output is None else "Close the output window",
        run=_toggle_output,
        shortcut="F11",
        tooltip="Nothing but the picture, on the whole of the other monitor if there is one. Escape closes it.",
    ),
    Action(
        id="output_window",
        menu="View/Output",
        label=_says("Output in a window"),
        run=_wish(ShowOutput(WINDOWED)),
        checked=lambda session: session.desk.output == WINDOWED,
        tooltip="Nothing but the picture, in a window that can be moved and captured.",
    ),
    Action(
        id="layout_save",
        menu="View/Layouts",
        label=_says("Save layout as…"),
        run=_name_layout,
        tooltip="Keep the arrangement of the panels under a name.",
    ),
    Action(
        id="layout_default",
        menu="View/Layouts",
        label=_says("Default arrangement"),
        run=_wish(UseLayout("")),
        tooltip="Put the panels where they were at the very first start.",
    ),
    Action(
        id="palette",
        menu="Help",
        label=_says("Command palette…"),
        run=_toggle_palette,
        shortcut="Ctrl+K",
        in_palette=False,
        tooltip="Find anything that can be done by some letters of its name.",
    ),
    Action(
        id="shortcuts",
        menu="Help",
        label=_says("Shortcuts and gestures"),
        run=_toggle_shortcuts,
        shortcut="F1",
        also="?",
        tooltip="All shortcuts, and what the mouse can do. The key ? opens it as well.",
    ),
)

MENUS = tuple(dict.fromkeys(action.menu.partition("/")[0] for action in ACTIONS))

GESTURES: tuple[tuple[str, str], ...] = (
    ("Drag the picture", "walk through the seeds"),
    ("Wheel over a word of the prompt", "change its weight"),
    ("Right click on a word of the prompt", "mute it, or give it a list of your own"),
    ("Double-click the pad", "back to the first prompt"),
    ("Drag it with Alt, Ctrl or Shift", "move, turn or scale its content, where the model can"),
    ("Turn the wheel over the picture", "walk in finer or coarser steps"),
    ("Drag a slider", "change it; the whole drag is one step to undo"),
    ("Ctrl or Alt while dragging a slider", "ten times finer"),
    ("Double-click a slider", "type a value; it may go beyond the slider's ends"),
    ("Drag a number", "change it; with Shift faster, with Alt slower"),
    ("Drag a panel's tab", "dock it elsewhere"),
    ("Drop a file on the window", "open it"),
)
"""What the mouse can do: (gesture, what it does)."""


def in_menu(menu: str) -> Iterable[Action]:
    """The actions of one menu and of the menus within it, in order."""
    return (action for action in ACTIONS if action.menu.partition("/")[0] == menu)


def run_live(session: Session) -> None:
    """Once a frame: do the actions that OSC, MIDI and beats ask for."""
    for action_id in session.live.take_actions():
        action = by_id(action_id)
        if action.enabled(session):
            action.run(session)


def by_id(action_id: str) -> Action:
    """The action with this id; a KeyError names a programming mistake."""
    return {action.id: action for action in ACTIONS}[action_id]


def all_actions(session: Session) -> Iterable[Action]:
    """`ACTIONS`, and after some of them those that depend on what there is: recent files, panels, saved layouts."""
    for action in ACTIONS:
        yield action
        if action.id in _FOLLOWED_BY:
            yield from _FOLLOWED_BY[action.id](session)


def for_palette(session: Session) -> list[Action]:
    """What the command palette offers."""
    return [action for action in all_actions(session) if action.in_palette] + [
        Action(id=f"show {title}", menu="View/Panels", label=_says(f"Show {title}"), run=_wish(ShowPanel(title, True)))
        for title in session.desk.panels
    ]


def _recents(session: Session) -> Iterable[Action]:
    for name in session.settings.recents:
        yield Action(
            id=name,
            menu="File/Open recent",
            label=_says(Path(name).name),
            run=lambda session, name=name: session.open_checkpoint(Path(name)),
            tooltip=name,
        )


def _panels(session: Session) -> Iterable[Action]:
    for title, shown in session.desk.panels.items():
        yield Action(
            id=f"panel {title}",
            menu="View/Panels",
            label=_says(title),
            run=_wish(ShowPanel(title, not shown)),
            checked=lambda session, shown=shown: shown,
            in_palette=False,
        )


def _monitors(session: Session) -> Iterable[Action]:
    for index, name in enumerate(session.desk.monitors):
        yield Action(
            id=f"output on monitor {index + 1}",
            menu="View/Output",
            label=_says(f"Output on monitor {index + 1} ({name})"),
            run=_wish(ShowOutput(index)),
            checked=lambda session, index=index: session.desk.output == index,
        )


def _layouts(session: Session) -> Iterable[Action]:
    for index, name in enumerate(session.desk.layouts):
        yield Action(
            id=f"layout {name}",
            menu="View/Layouts",
            label=_says(name),
            run=_wish(UseLayout(name)),
            separator=index == 0,
        )
    for index, name in enumerate(session.desk.layouts):
        yield Action(
            id=f"delete layout {name}",
            menu="View/Layouts",
            label=_says(f"Delete “{name}”"),
            run=_wish(DeleteLayout(name)),
            separator=index == 0,
        )


_FOLLOWED_BY: dict[str, Callable[[Session], Iterable[Action]]] = {
    "open": _recents,
    "text_smaller": _panels,
    "output_window": _monitors,
    "layout_default": _layouts,
}
