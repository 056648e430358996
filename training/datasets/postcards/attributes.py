"""What a postcard shows: seven attributes, the held-out triples, and how attributes are drawn at random.

Combinations. The sampler never asks for a sun at night; every other combination occurs, the moon at noon (drawn pale)
included, and a sky without sun or moon occurs at every time of day. A sailboat away from the sea gets a pond; every
other object stands in the foreground of any terrain.
"""

from dataclasses import asdict, dataclass, fields
from typing import Literal

import numpy as np

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "terrain": ("mountains", "hills", "desert", "sea", "forest"),
    "time": ("dawn", "noon", "sunset", "night"),
    "season": ("plain", "snowy", "autumn"),
    "sky": ("sun", "moon", "none"),
    "weather": ("clear", "cloudy", "foggy", "rain"),
    "object": ("none", "house", "pine trees", "sailboat", "cactus", "castle", "lighthouse"),
    "style": ("plain", "flat poster", "pixel art", "ink drawing", "neon", "watercolor"),
}
"""Attribute name -> its values, in a fixed order."""

Split = Literal["train", "heldout", "all"]

SPLITS: tuple[Split, ...] = ("train", "heldout", "all")

# Six sevenths of the pictures have an object; the empty foreground is one value of seven, like the others.
_SKY_WEIGHTS = {
    "dawn": {"sun": 0.45, "moon": 0.22, "none": 0.33},
    "noon": {"sun": 0.55, "moon": 0.15, "none": 0.30},
    "sunset": {"sun": 0.45, "moon": 0.22, "none": 0.33},
    "night": {"sun": 0.0, "moon": 0.65, "none": 0.35},
}


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """The seven attributes of one picture. ValueError for a value that is not in ATTRIBUTES."""

    terrain: str
    time: str
    season: str
    sky: str
    weather: str
    object: str
    style: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value not in ATTRIBUTES[field.name]:
                allowed = ", ".join(ATTRIBUTES[field.name])
                raise ValueError(f"{field.name}: expected one of {allowed}; got {value!r}")

    def as_dict(self) -> dict[str, str]:
        """Attribute name -> value, in the order of ATTRIBUTES."""
        return asdict(self)


def is_held_out(attributes: Attributes) -> bool:
    """Whether the (terrain, time, style) triple is kept out of training.

    20 of the 120 triples, a Latin square: each (terrain, time) pair loses exactly one of its six styles, and each
    (terrain, style) or (time, style) pair at most one of its triples. Every value and every pair stays in training.
    """
    terrain = ATTRIBUTES["terrain"].index(attributes.terrain)
    time = ATTRIBUTES["time"].index(attributes.time)
    style = ATTRIBUTES["style"].index(attributes.style)
    return style == (terrain + time) % len(ATTRIBUTES["style"])


def is_plausible(attributes: Attributes) -> bool:
    """Whether the sampler may draw this combination: no sun at night."""
    return not (attributes.time == "night" and attributes.sky == "sun")


def sample_attributes(rng: np.random.Generator, split: Split = "train") -> Attributes:
    """Draws the attributes of one picture: uniform, but for the sky, which depends on the time of day.

    `split` is "train" (no held-out triple), "heldout" (only held-out triples) or "all"; ValueError for another.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}; got {split!r}")
    while True:
        values = {name: choices[int(rng.integers(len(choices)))] for name, choices in ATTRIBUTES.items()}
        weights = _SKY_WEIGHTS[values["time"]]
        values["sky"] = list(weights)[int(rng.choice(len(weights), p=list(weights.values())))]
        attributes = Attributes(**values)
        if split == "all" or is_held_out(attributes) == (split == "heldout"):
            return attributes
