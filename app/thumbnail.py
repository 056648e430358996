"""`python -m app.thumbnail MODEL PICTURE`: one small picture of a model, for the library.

A process of its own: a large model's memory goes back when it ends, and a file that brings torch down takes nothing
with it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from app.images import write_png

SIDE = 128
PSI = 0.7


def render_thumbnail(model: Path, picture: Path) -> None:
    """Write a PNG of at most 128 pixels a side. Raises what opening the model raises, `UserError` for the file."""
    from core.engine import Engine
    from core.request import RenderRequest

    engine = Engine.open(model, device="cpu")
    frame = engine.render(RenderRequest(prompt=_prompt(engine.info.path), psi=PSI))
    image = Image.fromarray(frame.pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    write_png(picture, np.asarray(image))


def _prompt(checkpoint: Path) -> str:
    """The first of the examples that the checkpoint suggests."""
    from core.checkpoints import read_header

    examples = read_header(checkpoint).notes.get("examples")
    return examples[0] if isinstance(examples, list) and examples and isinstance(examples[0], str) else ""


def main() -> int:
    """Draw what the arguments say, behind everything else that the machine does."""
    if hasattr(os, "nice"):
        os.nice(10)
    try:
        render_thumbnail(Path(sys.argv[1]), Path(sys.argv[2]))
    except (ValueError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
