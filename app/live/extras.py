"""Which of the optional libraries are there, and what to do where they are not."""

from __future__ import annotations

from importlib.util import find_spec

INSTALL = "pip install 'glissando[live]'"

MIDI_MODULES = {"mido": "mido", "rtmidi": "python-rtmidi"}
AUDIO_MODULES = {"sounddevice": "sounddevice"}


def missing(modules: dict[str, str]) -> str:
    """What to install, in a sentence; empty when everything is there. `modules` are module names and their packages."""
    absent = [package for module, package in modules.items() if find_spec(module) is None]
    return f"This needs {' and '.join(absent)}: {INSTALL}" if absent else ""
