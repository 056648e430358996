"""Offsets that sound adds to the controls it is mapped to: on a request, no part of the document."""

from __future__ import annotations

from collections.abc import Sequence

from app.document.controls import Control, controls_of
from app.document.scene import Scene
from app.live.audio import SIGNALS, AudioFeatures
from app.live.mapping import ControlMapping, Modulator
from core.request import RenderRequest


class SoundModulation:
    """The modulators of all mappings of sound, stepped once a frame."""

    def __init__(self) -> None:
        self._modulators: list[Modulator] = []
        self._offsets: tuple[tuple[Control, float], ...] = ()

    def use(self, mappings: Sequence[ControlMapping]) -> None:
        """Take other mappings; those that stay go on where they are."""
        going = {modulator.mapping: modulator for modulator in self._modulators}
        self._modulators = [going.get(mapping) or Modulator(mapping) for mapping in mappings]

    def silence(self) -> None:
        """Add nothing, as while no sound comes in."""
        self._offsets = ()

    def step(self, scene: Scene, features: AudioFeatures, dt: float) -> None:
        """Work out the offsets of a frame, `dt` seconds after the one before."""
        controls = {control.id: control for control in controls_of(scene) if control.modulated}
        offsets: list[tuple[Control, float]] = []
        for modulator in self._modulators:
            mapping = modulator.mapping
            if mapping.control in controls and mapping.source.name in SIGNALS:
                offset = modulator.step(features.signal(mapping.source.name), dt)
                offsets.append((controls[mapping.control], offset))
        self._offsets = tuple(offsets)

    def overlay(self, request: RenderRequest) -> RenderRequest:
        """`request` with the offsets of this frame."""
        if not self._offsets:
            return request
        scene = Scene().with_request(request)
        for control, offset in self._offsets:
            value = control.read(scene)
            # A value that was typed may lie beyond the slider's range; sound goes no further.
            low, high = min(control.low, value), max(control.high, value)
            scene = control.set(scene, min(max(value + offset, low), high))
        return scene.request()
