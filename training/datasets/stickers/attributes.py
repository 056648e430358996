"""What a sticker shows: concept, manner, colour, ground, place, size and count; what is held out of training."""

from dataclasses import asdict, dataclass, fields
from typing import Literal

from training.datasets.stickers.concepts import NAMES

MANNERS = ("3D", "flat", "detailed", "sticker", "comic", "pixel art", "line drawing", "neon")
COLOURS = ("red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink", "brown", "black")
PLAIN = ("white", "gray", "black", "navy", "red", "peach", "yellow", "mint", "teal", "sky blue", "lavender", "pink")
GRADIENTS = ("pink and purple", "blue and green", "orange and pink")
PATTERNS = ("polka dots", "stripes", "checks")
SCENES = ("meadow", "sea", "desert", "snow", "night sky", "sunset")
STANDING = ("meadow", "sea", "desert", "snow")
"""Scenes with a floor, on which things stand."""
GROUNDS = (*PLAIN, *GRADIENTS, *PATTERNS, *SCENES)

# "own": as it was drawn. Names of grounds occur once: "pink" and "black" are grounds as well as colours.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "concept": tuple(NAMES),
    "manner": MANNERS,
    "colour": ("own", *COLOURS),
    "ground": GROUNDS,
    "place": ("left", "centre", "right"),
    "size": ("small", "medium", "large"),
    "count": ("one", "two"),
}
"""Attribute name -> its values, in a fixed order."""

Split = Literal["train", "heldout", "all"]
SPLITS: tuple[Split, ...] = ("train", "heldout", "all")


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """The attributes of one picture. ValueError for a value that is not in ATTRIBUTES."""

    concept: str
    manner: str
    colour: str
    ground: str
    place: str
    size: str
    count: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value not in ATTRIBUTES[field.name]:
                allowed = ", ".join(ATTRIBUTES[field.name])
                raise ValueError(f"{field.name}: expected one of {allowed}; got {value!r}")

    def as_dict(self) -> dict[str, str]:
        """Attribute name -> value, in the order of ATTRIBUTES."""
        return asdict(self)


def manner_held_out(concept: str, manner: str) -> bool:
    """Whether no training picture shows `concept` in `manner`: a tenth of the pairs, at most one a concept."""
    return (ATTRIBUTES["concept"].index(concept) + MANNERS.index(manner)) % 10 == 4


def colour_held_out(concept: str, colour: str) -> bool:
    """Whether no training picture shows `concept` in `colour`: one of its ten colours; never its own."""
    if colour == "own":
        return False
    return (ATTRIBUTES["concept"].index(concept) + 3 * COLOURS.index(colour)) % 10 == 7


def is_held_out(attributes: Attributes) -> bool:
    """Whether a pair of the picture's is kept out of training."""
    return manner_held_out(attributes.concept, attributes.manner) or colour_held_out(
        attributes.concept, attributes.colour
    )


def clashes(colour: str, ground: str) -> bool:
    """Whether a drawing of this colour would drown in the ground."""
    alike = {
        "blue": ("sky blue", "blue and green", "sea", "navy"),
        "turquoise": ("teal", "mint", "sea", "blue and green"),
        "green": ("meadow", "mint", "teal", "blue and green"),
        "orange": ("peach", "sunset", "orange and pink", "desert"),
        "yellow": ("yellow", "desert"),
        "brown": ("desert",),
        "black": ("black", "navy", "night sky"),
        "purple": ("lavender", "pink and purple"),
        "pink": ("pink", "pink and purple", "orange and pink"),
        "red": ("red",),
    }
    return ground in alike.get(colour, ())
