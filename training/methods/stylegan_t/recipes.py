"""Recipes: named runs, as functions that return their configuration; what each has shown stands in docs/log.md, how
they are used in docs/training.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from core.perception.features import EFFICIENTNET
from training.augmentation.diffaugment import POLICIES
from training.methods.stylegan_t.config import CLIP_FEATURES, MINILM, START, StyleGANTConfig

CLIP_L14 = "open_clip:ViT-L-14-quickgelu/openai"
"""The paper's CLIP; its embeddings have 768 numbers."""

EFFICIENTNET_96 = f"{EFFICIENTNET}:96"

PICTURE_PROMPTS = (
    "a photo of a red bicycle leaning on a wall",
    "an oil painting of a stormy sea",
    "a bowl of fruit on a wooden table",
    "a portrait of an old man with a beard",
    "a cat asleep on a sofa",
    "a city street at night in the rain",
    "a mountain lake in autumn",
    "the sign of a bakery",
)
"""Rows of the sample grid where pictures of all kinds are learnt."""


def postcards_32() -> StyleGANTConfig:
    """Postcards at 32 px, 45 minutes on two cores; what `postcards` starts from."""
    return StyleGANTConfig(features=CLIP_FEATURES, resolution=32, kimg=200.0, noise_kimg=1000.0, evaluate_kimg=16.0)


def postcards() -> StyleGANTConfig:
    """Postcards at 64 px, hours on two cores, started from a run of `postcards_32`.

    By then the discriminator knows what pictures look like. Reconstructions, which brought layout and variety about,
    now only hold the generator back: it drew the same strokes over all pictures as long as it had to meet both.
    """
    return StyleGANTConfig(
        features=CLIP_FEATURES,
        reconstruction=0.0,
        critic_steps=1,
        matching_fake=0.6,
        diversity_share=0.9,
        evaluate_kimg=16.0,
    )


STICKER_PROMPTS = (
    "a cat",
    "a 3D render of a fox on a navy background",
    "an owl at night",
    "a sticker of a panda in a meadow",
    "a penguin in the snow",
    "a red apple on a mint background",
    "a flat icon of a cactus in the desert",
    "a castle at sunset",
    "a blue car",
    "a sailboat at sea",
    "two strawberries",
    "a pixel art rocket in the night sky",
)


def stickers_32() -> StyleGANTConfig:
    """Stickers at 32 px by regression alone: what `stickers` starts from. Hours on two cores.

    Shapes are learnt at half of the cost. For data whose latents are known (`glissando data stickers`).
    """
    return StyleGANTConfig(
        preset="stickers",
        resolution=32,
        choices=(4, 1, 8, 8, 16, 24),
        clip=MINILM,
        features=EFFICIENTNET_96,
        taps=(0, 1, 2, 3),
        batch=8,
        kimg=400.0,
        critic_kimg=0.0,
        critic_steps=1,
        noise_kimg=1e6,
        ema_half_life=1000.0,
        paired=2.0,
        paired_kimg=400.0,
        adversarial=0.05,
        guidance=0.0,
        reconstruction=0.0,
        matching_fake=0.0,
        diversity=0.0,
        pairs=False,
        learning_rate_g=1e-3,
        learning_rate_d=5e-4,
        prompts=STICKER_PROMPTS,
        grid_seeds=6,
    )


def stickers() -> StyleGANTConfig:
    """Stickers at 64 px: regression once more, then a weak adversary beside it. Start it from a run of `stickers-32`.

    With the adversary at an eighth of the regression, shapes drifted towards emblems within 20 thousand images; at a
    fortieth they keep.
    """
    return replace(
        stickers_32(), resolution=64, batch=16, kimg=600.0, paired_kimg=200.0, critic_kimg=6.0, paired_rate=2e-3
    )


def tiny() -> StyleGANTConfig:
    """32 px: the first sample grid within a minute on two cores; palettes and horizons after some ten minutes."""
    return replace(
        postcards_32(), kimg=100.0, critic_kimg=2.0, noise_kimg=400.0, sample_kimg=1.0, save_kimg=2.0, evaluate_kimg=0.0
    )


def lite_64() -> StyleGANTConfig:
    """Phase 1 at 64 px as the paper has it, the lite generator (74.6 M parameters): its ablations' model.

    Nothing here is ours: heads on DINO alone, hinge and guidance alone, all of the augmentation, blur in, noise from
    the start. The length is that of the published defaults, 25 million pictures.
    """
    return StyleGANTConfig(
        preset="lite",
        resolution=64,
        prepared=False,
        clip=CLIP_L14,
        batch=2048,
        kimg=25_000.0,
        learning_rate_g=2e-3,
        learning_rate_d=2e-3,
        critic_kimg=0.0,
        critic_steps=1,
        pairs=False,
        noise_kimg=0.0,
        guidance=0.2,
        reconstruction=0.0,
        matching=0.0,
        matching_fake=0.0,
        other_captions=0,
        diversity=0.0,
        taps=(0, 1, 2, 3, 4),
        taps_every=1,
        logits="paper",
        pixel_channels=0,
        augment=POLICIES,
        blur_sigma=32.0,
        blur_kimg=1000.0,
        sample_kimg=200.0,
        save_kimg=200.0,
        prompts=PICTURE_PROMPTS,
    )


def full_64() -> StyleGANTConfig:
    """Phase 1 at 64 px with the paper's full generator (975.5 M parameters), which took 64 A100 weeks, on 250 M pairs.

    How many pictures it was shown is not told; 100 million is a guess.
    """
    return replace(lite_64(), preset="full", kimg=100_000.0, sample_kimg=1000.0, save_kimg=500.0)


def grow() -> StyleGANTConfig:
    """Twice the resolution of the run it starts from; again and again from 64 to 512 px.

    Only blocks above 64 px and the RGB layers learn (the paper's "freeze64"); `frozen_to=0` lets all of it. Without
    blur: the discriminator has seen pictures before.
    """
    return replace(
        lite_64(), preset=START, resolution=0, growth=2, frozen_to=64, blur_sigma=0.0, kimg=10_000.0, batch=1024
    )


def text_encoder() -> StyleGANTConfig:
    """Phase 2: the text tower of the run it starts from learns, through the frozen generator, by strong guidance.

    Start it from a run's folder, so that the discriminator comes along. Much shorter than phase 1; afterwards any
    recipe that is started from it goes on with the tuned tower (phase 3).
    """
    return replace(
        lite_64(),
        preset=START,
        resolution=0,
        phase="text",
        guidance=50.0,
        learning_rate_g=3e-6,
        blur_sigma=0.0,
        kimg=1000.0,
        sample_kimg=50.0,
        save_kimg=50.0,
    )


def fine_tune() -> StyleGANTConfig:
    """Any StyleGAN-T checkpoint on a few hundred pictures of your own, its text encoder kept.

    Few pictures are soon known by heart: augmentation comes in as far as the discriminator's certainty asks for, the
    discriminator gets acquainted with the generator first, and learning rates are low. Without a CLIP beside the
    checkpoint there is no guidance; `--clip CLIP --set guidance=0.2` has some.
    """
    return replace(
        lite_64(),
        preset=START,
        resolution=0,
        clip=START,
        encoder="start",
        guidance=0.0,
        batch=32,
        kimg=300.0,
        critic_kimg=4.0,
        learning_rate_g=5e-4,
        learning_rate_d=1e-3,
        augment_target=0.6,
        augment_kimg=50.0,
        blur_sigma=0.0,
        sample_kimg=4.0,
        save_kimg=8.0,
    )


GAN_RECIPES: Mapping[str, Callable[[], StyleGANTConfig]] = {
    "postcards": postcards,
    "postcards-32": postcards_32,
    "stickers": stickers,
    "stickers-32": stickers_32,
    "tiny": tiny,
    "lite-64": lite_64,
    "full-64": full_64,
    "grow": grow,
    "text-encoder": text_encoder,
    "fine-tune": fine_tune,
}


def gan_recipe(name: str) -> StyleGANTConfig:
    """A recipe by name; raises `ValueError` that lists the names."""
    if name not in GAN_RECIPES:
        raise ValueError(f"recipe: expected one of {', '.join(GAN_RECIPES)}, got {name!r}")
    return GAN_RECIPES[name]()
