"""Saved states of version 4, from when StyleGAN-T was the only method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def from_version_4(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state as `Trainer.state_dict` has it since version 5.

    States of version 4 lack parts that did not exist when they were written. `steps` is 0: no phase is lazy.
    """
    modules = {name: state[name] for name in ("generator", "ema", "discriminator")}
    optimisers = {"g": state["optimiser_g"], "d": state["optimiser_d"]}
    if state["reconstruction"] is not None:
        modules["encoder"] = state["reconstruction"]["encoder"]
        optimisers["encoder"] = state["reconstruction"]["optimiser"]
    if state.get("text") is not None:
        modules |= {"text": state["text"]["tower"], "text_ema": state["text"]["ema"]}
    return {
        "images_seen": state["images_seen"],
        "steps": 0,
        "modules": modules,
        "optimisers": optimisers,
        "loss_scales": state.get("loss_scales", {}),
        "method": {"captions": state["captions"], "augment": state.get("augment")},
        "stream": state["stream"],
        "rng": state["rng"],
    }
