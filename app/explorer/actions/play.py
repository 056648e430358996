"""The Play menu: play, keyframes and snapshots."""

from __future__ import annotations

from app.explorer.actions.action import Action, fixed_label

ACTIONS: tuple[Action, ...] = (
    Action(
        id="play",
        menu="Play",
        label=lambda session: "Pause" if session.playback.transport.playing else "Play",
        run=lambda session: session.playback.transport.toggle(),
        shortcut="Space",
        tooltip="Glide along a closed path through the seeds.",
    ),
    Action(
        id="rewind",
        menu="Play",
        label=fixed_label("Back to the start"),
        run=lambda session: session.playback.transport.rewind(),
        shortcut="Home",
    ),
    Action(
        id="keyframe",
        menu="Play",
        label=fixed_label("Add keyframe"),
        run=lambda session: session.playback.timeline.add_keyframe(),
        shortcut="K",
        tooltip="Put all controls as they are on the timeline, at the playhead. A keyframe that is there takes them.",
        separator=True,
    ),
    Action(
        id="keyframe_update",
        menu="Play",
        label=fixed_label("Update keyframe"),
        run=lambda session: session.playback.timeline.update_keyframe(),
        shortcut="Shift+K",
        enabled=lambda session: session.playback.timeline.differs,
        tooltip="Give the selected keyframe the controls as they are now. Moving a control alone does not change it.",
    ),
    Action(
        id="keyframe_delete",
        menu="Play",
        label=lambda session: (
            "Delete point"
            if session.playback.timeline.selection is not None and session.playback.timeline.selection.control
            else "Delete keyframe"
        ),
        run=lambda session: session.playback.timeline.delete(),
        shortcut="Delete",
        enabled=lambda session: session.playback.timeline.selection is not None,
        tooltip="Delete what is selected on the timeline.",
    ),
    Action(
        id="keyframe_next",
        menu="Play",
        label=fixed_label("Next keyframe"),
        run=lambda session: session.playback.timeline.step(1),
        shortcut=".",
        enabled=lambda session: bool(session.history.scene.keyframes),
        repeat=True,
    ),
    Action(
        id="keyframe_previous",
        menu="Play",
        label=fixed_label("Previous keyframe"),
        run=lambda session: session.playback.timeline.step(-1),
        shortcut=",",
        enabled=lambda session: bool(session.history.scene.keyframes),
        repeat=True,
    ),
    Action(
        id="snapshot",
        menu="Play",
        label=fixed_label("Take snapshot"),
        run=lambda session: session.snapshots.take(),
        shortcut="N",
        tooltip="Keep this picture's controls, to come back to or to compare with.",
        separator=True,
    ),
    Action(
        id="a_b",
        menu="Play",
        label=fixed_label("Snapshot A or B"),
        run=lambda session: session.snapshots.toggle(),
        shortcut="`",
        enabled=lambda session: session.snapshots.can_toggle,
        tooltip="Go to and fro between the snapshots marked A and B, without a morph.",
    ),
)
