"""Postcards: a procedural data set of captioned, stylised landscapes.

Seven attributes say what a picture shows and a seed decides the rest: positions, sizes, colours, ridge lines, clouds,
stars. A sixth of the (terrain, time, style) triples is held out of the training split, for evaluation. There is no sun
at night; every other combination occurs.
"""

from training.datasets.generated import DatasetError
from training.datasets.postcards.attributes import (
    ATTRIBUTES,
    SPLITS,
    Attributes,
    Split,
    is_held_out,
    is_plausible,
    sample_attributes,
)
from training.datasets.postcards.captions import Caption, caption, describe, swap_pair, vocabulary
from training.datasets.postcards.rendering import GENERATOR_VERSION, render
from training.datasets.postcards.writing import CAPTIONS_PER_PICTURE, Record, make_record, write_dataset

__all__ = [
    "ATTRIBUTES",
    "CAPTIONS_PER_PICTURE",
    "GENERATOR_VERSION",
    "SPLITS",
    "Attributes",
    "Caption",
    "DatasetError",
    "Record",
    "Split",
    "caption",
    "describe",
    "is_held_out",
    "is_plausible",
    "make_record",
    "render",
    "sample_attributes",
    "swap_pair",
    "vocabulary",
    "write_dataset",
]
