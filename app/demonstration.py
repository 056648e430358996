"""What the model can do, in two files: for machines without a display."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from app.files import free_paths
from app.images import contact_sheet, write_png
from app.rendering import export_video
from core.checkpoints import read_header
from core.engine import Engine
from core.request import RenderRequest
from core.timeline import timeline_through

# For a checkpoint whose notes hold no examples of its own.
PROMPTS = (
    "snowy mountains at sunset, watercolor",
    "a lighthouse by the sea at night, neon",
    "a house on green hills at noon, flat poster",
    "a castle in an autumn forest at dawn, ink drawing",
    "a cactus in the desert at sunset, pixel art",
)
SEEDS = 8
SECONDS = 10
FPS = 30
SIZE = 512


def demonstrate(checkpoint: Path, folder: Path) -> tuple[Path, Path]:
    """Write FOLDER/interpolation.mp4, a loop through the prompts, and FOLDER/sheet.png, each prompt with several seeds;
    with a number behind their names where these are taken.

    Returns their paths. Raises what loading the checkpoint raises, and `UserError` when the folder cannot be written.
    """
    engine = Engine.open(checkpoint)
    prompts = _prompts(checkpoint)
    sheet, video = free_paths([folder / "sheet.png", folder / "interpolation.mp4"])
    requests = [RenderRequest(prompt=prompt, seed_x=seed) for prompt in prompts for seed in range(SEEDS)]
    pictures = [engine.render(request).pixels for request in tqdm(requests, desc="sheet", unit="picture", disable=None)]
    write_png(sheet, contact_sheet(pictures, columns=SEEDS, labels=prompts))
    timeline = timeline_through(
        [RenderRequest(prompt=prompt) for prompt in prompts], seconds=SECONDS, loop=True, walk=len(prompts)
    )
    export_video(engine, timeline, video, frames=SECONDS * FPS, fps=FPS, size=SIZE)
    return video, sheet


def _prompts(checkpoint: Path) -> tuple[str, ...]:
    """The examples in the checkpoint's notes, as many as PROMPTS; or PROMPTS."""
    examples = read_header(checkpoint).notes.get("examples", [])
    own = tuple(example for example in examples if isinstance(example, str)) if isinstance(examples, list) else ()
    return own[: len(PROMPTS)] or PROMPTS
