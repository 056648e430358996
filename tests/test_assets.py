"""What ships with the program is whole, small enough, and what its card says."""

import hashlib
from pathlib import Path

import numpy as np

from core.checkpoints import bundled_checkpoint, load
from core.engine import Engine
from core.request import RenderRequest
from core.text.minilm import find_file
from core.text.minilm import load as load_minilm

MEGABYTE = 2**20


def test_the_bundled_checkpoint_is_the_one_its_card_describes() -> None:
    path = bundled_checkpoint()
    assert path.stat().st_size <= 32 * MEGABYTE
    checkpoint = load(path)
    card = Path(path).with_suffix(".md").read_text(encoding="utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == checkpoint.sha256
    assert checkpoint.sha256 in card
    assert f"{checkpoint.header.images_seen:,}" in card
    assert checkpoint.header.licence in card
    assert checkpoint.header.config["resolution"] >= 64
    assert {"snowy", "mountains", "sunset", "watercolor"} <= set(checkpoint.header.vocabulary)


def test_the_bundled_checkpoint_follows_prompt_and_seed() -> None:
    engine = Engine.open(bundled_checkpoint(), device="cpu", precision="float32")

    def picture(prompt: str, seed: float) -> np.ndarray:
        return engine.render(RenderRequest(prompt=prompt, seed_x=seed)).pixels.astype(float)

    night = np.mean([picture("a castle at night, neon", seed).mean() for seed in range(8)])
    noon = np.mean([picture("snowy hills at noon, watercolor", seed).mean() for seed in range(8)])
    # Neon nights are dark and watercolours of snow are bright: a model that has learnt anything knows.
    assert night + 60 < noon
    assert np.abs(picture("hills at noon", 0) - picture("hills at noon", 1)).mean() > 2


def test_the_text_encoder_is_the_one_its_card_describes() -> None:
    path = find_file()
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card
    assert "Apache-2.0" in card
    assert len(load_minilm(path).network.layers) == 6


def test_the_assets_are_small_enough() -> None:
    files = [path for path in bundled_checkpoint().parent.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 64 * MEGABYTE
