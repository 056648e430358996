"""Recipes: named runs, as functions that return their configuration; what each has shown stands in docs/log.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from training.config import CLIP_FEATURES, GanConfig


def postcards_32() -> GanConfig:
    """Postcards at 32 px, 45 minutes on two cores; what `postcards` starts from."""
    return GanConfig(features=CLIP_FEATURES, resolution=32, kimg=200.0, noise_kimg=1000.0, evaluate_kimg=16.0)


def postcards() -> GanConfig:
    """Postcards at 64 px, hours on two cores, started from a run of `postcards_32`.

    By then the discriminator knows what pictures look like. Reconstructions, which brought layout and variety about,
    now only hold the generator back: it drew the same strokes over all pictures as long as it had to meet both.
    """
    return GanConfig(
        features=CLIP_FEATURES,
        reconstruction=0.0,
        critic_steps=1,
        matching_fake=0.6,
        diversity_share=0.9,
        evaluate_kimg=16.0,
    )


def tiny() -> GanConfig:
    """32 px: the first sample grid within a minute on two cores; palettes and horizons after some ten minutes."""
    return replace(
        postcards_32(), kimg=100.0, critic_kimg=2.0, noise_kimg=400.0, sample_kimg=1.0, save_kimg=2.0, evaluate_kimg=0.0
    )


GAN_RECIPES: Mapping[str, Callable[[], GanConfig]] = {
    "postcards": postcards,
    "postcards-32": postcards_32,
    "tiny": tiny,
}


def gan_recipe(name: str) -> GanConfig:
    """A recipe by name; raises `ValueError` that lists the names."""
    if name not in GAN_RECIPES:
        raise ValueError(f"recipe: expected one of {', '.join(GAN_RECIPES)}, got {name!r}")
    return GAN_RECIPES[name]()
