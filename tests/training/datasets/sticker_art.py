"""Art packages of the real ones' shape, made here."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from training.datasets.stickers import CONCEPTS, SETS


def make_art(root: Path) -> Path:
    """Each concept a disc of one of three hues with a white spot; the dog is grey. Returns `root`."""
    for number, source in enumerate(SETS.values()):
        place = root / "node_modules" / source.package
        place.mkdir(parents=True)
        (place / "package.json").write_text("{}")
        if source.package.startswith("@lobehub"):
            (place / "assets").mkdir()
            for index, concept in enumerate(CONCEPTS):
                picture = Image.new("RGBA", (48, 48))
                picture.paste(_colour(index), (6 + index % 5, 8, 42, 44))
                picture.save(place / "assets" / f"{concept.code}.webp", lossless=True)
            continue
        icons = {
            concept.icon: {
                "body": f'<circle cx="16" cy="16" r="{10 + number}" fill="rgb{_colour(index)}"/>'
                '<circle cx="12" cy="12" r="3" fill="#fff"/>'
            }
            for index, concept in enumerate(CONCEPTS)
        }
        (place / "icons.json").write_text(json.dumps({"icons": icons, "width": 32, "height": 32}))
    return root


def _colour(index: int) -> tuple[int, int, int]:
    if CONCEPTS[index].name == "dog":
        return (120, 120, 120)
    return ((220, 60, 50), (60, 90, 210), (70, 170, 60))[index % 3]
