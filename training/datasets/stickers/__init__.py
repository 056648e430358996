"""Stickers: openly licensed emoji art in several manners, recoloured and composed, with captions and latents.

Every picture is determined by a caption and a latent z [64]: see `latents.py` for how, `writing.py` for the files.
"""

from training.datasets.stickers.art import SETS, Art, install_line
from training.datasets.stickers.attributes import ATTRIBUTES, COLOURS, SPLITS, Attributes, Split, is_held_out
from training.datasets.stickers.captions import Caption, caption, synonyms, vocabulary
from training.datasets.stickers.composing import GENERATOR_VERSION, render
from training.datasets.stickers.concepts import CONCEPTS, Concept, held_out_synonyms
from training.datasets.stickers.drawings import Drawings
from training.datasets.stickers.latents import Composition, Pose, compose
from training.datasets.stickers.sampling import Sample, draw_sample
from training.datasets.stickers.writing import write_dataset

__all__ = [
    "ATTRIBUTES",
    "COLOURS",
    "CONCEPTS",
    "GENERATOR_VERSION",
    "SETS",
    "SPLITS",
    "Art",
    "Attributes",
    "Caption",
    "Composition",
    "Concept",
    "Drawings",
    "Pose",
    "Sample",
    "Split",
    "caption",
    "compose",
    "draw_sample",
    "held_out_synonyms",
    "install_line",
    "is_held_out",
    "render",
    "synonyms",
    "vocabulary",
    "write_dataset",
]
