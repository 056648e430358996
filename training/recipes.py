"""Recipes: named runs, as functions that return their configuration; what each has shown stands in docs/log.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from training.config import CLIP_FEATURES, GanConfig


def postcards() -> GanConfig:
    """Postcards at 64 px, hours on two cores."""
    return GanConfig(features=CLIP_FEATURES, evaluate_kimg=16.0)


def tiny() -> GanConfig:
    """32 px: the first sample grid within a minute on two cores; palettes and horizons after some ten minutes."""
    return GanConfig(
        features=CLIP_FEATURES,
        resolution=32,
        kimg=100.0,
        sample_kimg=1.0,
        save_kimg=2.0,
        warmup_kimg=6.0,
        critic_kimg=2.0,
    )


GAN_RECIPES: Mapping[str, Callable[[], GanConfig]] = {"postcards": postcards, "tiny": tiny}


def gan_recipe(name: str) -> GanConfig:
    """A recipe by name; raises `ValueError` that lists the names."""
    if name not in GAN_RECIPES:
        raise ValueError(f"recipe: expected one of {', '.join(GAN_RECIPES)}, got {name!r}")
    return GAN_RECIPES[name]()
