"""Published StyleGAN-XL generators as ours: stems, and generators that grew from one by super-resolution stages.

A grown file names its stem by a path alone, and no rule gives its layers: all is read from the layers' own attributes,
as in StyleGAN3's files. What differs is the mapping. The names of tensors are the same on both sides.
"""

from __future__ import annotations

from typing import Any

from core.checkpoints.conversion import (
    Conversion,
    check_dense,
    child,
    dense_layer_values,
    expect,
    finished,
    tensor,
)
from core.checkpoints.from_stylegan3 import config_of_layers, layer_names
from core.checkpoints.pickles import PublishedModule


def convert_stylegan_xl(root: PublishedModule) -> Conversion:
    """The generator of a file. Raises `PublishedError` for a variant that `core.models.stylegan_xl` is not."""
    from core.models import stylegan_xl

    others = _mapping_values(child(root, "", "mapping")) | {"names": layer_names(root)}
    config = config_of_layers("StyleGAN-XL", root, stylegan_xl.Config, others)
    return finished("StyleGAN-XL", "stylegan_xl", config, root.state_dict())


def _mapping_values(mapping: PublishedModule) -> dict[str, Any]:
    """The fields of the mapping. The table of class features is there without classes too, when nothing uses it."""
    where = "mapping.embed"
    table = child(mapping, "mapping", "embed")
    classes, features = tensor(table, where, "weight", 2).shape
    if "max_norm" in table.attributes:  # would rescale rows as they are looked up
        expect(table, where, max_norm=None)
    if "embed_proj" in mapping.children:
        check_dense(mapping.children["embed_proj"], "mapping.embed_proj", activation="lrelu")
    return dense_layer_values(mapping) | {"embed_classes": classes, "embed_features": features}
