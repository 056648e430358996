"""Folders of runs that never were, with logs such as the trainer writes."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

BEGAN = 1_795_414_492.0
CONFIG = {
    "resolution": 64,
    "batch": 16,
    "kimg": 400.0,
    "learning_rate_g": 0.002,
    "learning_rate_d": 0.005,
    "evaluate_kimg": 16.0,
    "prompts": ["snowy mountains at sunset, watercolor"],
}


def start_row(images: int = 0, **config: Any) -> dict[str, Any]:
    return {
        "kind": "start",
        "time": BEGAN + images / 60,
        "images": images,
        "config": CONFIG | config,
        "pictures": 40000,
    }


def train_row(images: int, rng: random.Random, *, speed: float = 60.0, slow: float = 1.0) -> dict[str, Any]:
    """As a run behaves: losses settle, logits drift apart, all of it with noise."""
    far = 1 - math.exp(-images / (90_000 * slow))

    def noisy(value: float, share: float) -> float:
        return round(value + rng.gauss(0, share), 5)

    return {
        "kind": "train",
        "time": round(BEGAN + images / speed, 3),
        "images": images,
        "images_per_s": round(speed * (1 + rng.gauss(0, 0.03)), 2),
        "loss_d": noisy(1.3 - 0.5 * far, 0.06),
        "logit_real": noisy(4 + 5 * far, 0.5),
        "logit_fake": noisy(-1 + 6 * far, 0.6),
        "sign_real": round(min(1.0, max(-1.0, 0.9 - 0.3 * far + rng.gauss(0, 0.05))), 5),
        "sign_fake": round(min(1.0, max(-1.0, -0.8 + 0.6 * far + rng.gauss(0, 0.07))), 5),
        "match_real": noisy(0.3 + 0.25 * far, 0.07),
        "gradient_d": round(abs(4 - 2.5 * far + rng.gauss(0, 0.4)) * (8 if rng.random() < 0.004 else 1), 5),
        "loss_g": noisy(1.6 + 1.2 * far, 0.3),
        "diversity": noisy(0.4 + 0.4 * far, 0.1),
        "match_fake": noisy(0.2 + 0.4 * far, 0.08),
        "gradient_g": round(abs(1.5 - 0.8 * far + rng.gauss(0, 0.2)), 5),
    }


def evaluate_row(images: int, rng: random.Random) -> dict[str, Any]:
    far = 1 - math.exp(-images / 120_000)
    names = ("terrain", "time", "season", "sky", "weather", "object", "style")
    accuracy = {name: min(1.0, 0.3 + (0.5 + 0.03 * i) * far + rng.gauss(0, 0.02)) for i, name in enumerate(names)}
    return {
        "kind": "evaluate",
        "time": BEGAN + images / 60,
        "images": images,
        "accuracy": accuracy,
        "variety": 0.5 + 0.2 * far,
    }


def text(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_run(
    folder: Path, *, until: int = 200_000, step: int = 320, seed: int = 0, slow: float = 1.0, stopped: bool = False
) -> Path:
    """A run up to `until` images, with evaluations and sample grids."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [start_row()]
    for images in range(step, until + 1, step):
        rows.append(train_row(images, rng, slow=slow))
        if images % 16_000 < step:
            rows.append(evaluate_row(images, rng))
    if stopped:
        rows.append({"kind": "stop", "time": rows[-1]["time"], "images": until, "finished": False})
    (folder / "log.jsonl").write_bytes(text(rows))
    (folder / "config.json").write_text(json.dumps({"config": CONFIG}), encoding="utf-8")
    for images in range(0, until + 1, max(8_000, until // 8 // 1000 * 1000)):
        write_grid(folder / "samples" / f"{images // 1000:06d}.png", images)
    return folder


def write_grid(path: Path, images: int, size: int = 128) -> None:
    """A grid whose colour says how far the run is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = min(255, images // 1000)
    picture = Image.new("RGB", (size, size), (shade, 80, 255 - shade))
    ImageDraw.Draw(picture).rectangle((size // 4, size // 4, size // 2, size // 2), fill=(255, 255, shade))
    picture.save(path)
