"""The zero-shot COCO protocol of the StyleGAN-T paper (section 5): captions that the generator was never trained on.

30,000 captions of val2014 drawn at random, each with a picture of its own where there are enough; psi 1; real pictures
cropped to the middle square, resized to 256 pixels by Lanczos (and from there to 64 for the 64-pixel figures); FID with
the Inception of 2015, CLIP score with open_clip's ViT-g-14.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.metrics.quality import QualityConfig, Subject, evaluate_subject, open_sampler
from training.metrics.reals import FilePictures
from training.metrics.shards import Progress

COCO_SIZE = 256
COCO_METRICS = ("fid", "clip")


class CocoError(ValueError):
    """Captions or pictures that cannot be used; the message says what was expected and what came."""


@dataclass(frozen=True, kw_only=True)
class CocoCaption:
    """One caption and the picture it was written for."""

    file: Path
    text: str


def read_captions(images: Path, captions: Path) -> list[CocoCaption]:
    """Every caption of a COCO captions file whose picture is in `images`, in the file's order. Raises `CocoError`."""
    if not images.is_dir():
        raise CocoError(f"{images}: no such folder; expected COCO's pictures, such as val2014")
    expected = "expected COCO's captions, such as annotations/captions_val2014.json"
    try:
        document = json.loads(captions.read_text(encoding="utf-8"))
        names = {int(image["id"]): str(image["file_name"]) for image in document["images"]}
        written = [(int(row["image_id"]), str(row["caption"])) for row in document["annotations"]]
    except OSError as error:
        raise CocoError(f"{captions}: cannot read it ({error.strerror or error}); {expected}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CocoError(f"{captions}: not a captions file ({type(error).__name__}: {error}); {expected}") from error
    present = {path.name for path in images.iterdir()}
    found = [
        CocoCaption(file=images / names[image], text=" ".join(text.split()))
        for image, text in written
        if image in names and names[image] in present and text.strip()
    ]
    if not found:
        raise CocoError(
            f"{captions}: none of its {len(written)} captions belongs to a picture in {images}; "
            "are the two of the same year and split?"
        )
    return found


def choose(captions: list[CocoCaption], count: int, seed: int) -> list[CocoCaption]:
    """`count` captions drawn at random, of different pictures as long as there are enough, then of any."""
    rng = np.random.default_rng((seed, 73))
    shuffled = [captions[row] for row in rng.permutation(len(captions))]
    first: dict[Path, CocoCaption] = {}
    more: list[CocoCaption] = []
    for caption in shuffled:
        if first.setdefault(caption.file, caption) is not caption:
            more.append(caption)
    chosen = [*first.values(), *more][:count]
    if len(chosen) < count:
        raise CocoError(f"captions: expected at least {count}, found {len(chosen)}; ask for fewer with --pictures")
    return chosen


def evaluate_coco(
    checkpoint: Path,
    images: Path,
    captions: Path,
    config: QualityConfig,
    *,
    size: int = COCO_SIZE,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The figures that `--json` writes. Generated pictures of another size are resized to `size` by Lanczos."""
    if not 8 <= size <= COCO_SIZE:
        raise ValueError(f"size: expected 8 to {COCO_SIZE} pixels, got {size!r}")
    chosen = choose(read_captions(images, captions), config.pictures, config.seed)
    file, sampler = open_sampler(checkpoint, config)
    if sampler.conditioning != "text":
        raise ValueError(f"{checkpoint}: the COCO protocol needs a generator that takes text, got {file.header.family}")
    files = sorted({caption.file for caption in chosen})
    subject = Subject(
        checkpoint=file,
        sampler=sampler,
        reals=FilePictures(files, size, via=COCO_SIZE),
        prompts=[caption.text for caption in chosen],
        size=size,
    )
    result = evaluate_subject(subject, config, progress=progress)
    if sampler.resolution < size:
        result["warnings"].append(f"pictures of {sampler.resolution} px were enlarged to {size}; try --size 64")
    return result | {"protocol": f"zero-shot COCO, {config.pictures} captions, {size} px"}
