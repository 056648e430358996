"""Published TensorFlow networks as ours: StyleGAN, and StyleGAN2 with and without ADA.

A network is its variables and those of its two parts, and the options that its function was called with. Names and
layouts are turned into ours in `core.models.stylegan1` and `core.models.stylegan2_tf`; here the file is checked first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from core.checkpoints.conversion import OTHER, Conversion, finished, listed, plain, shown
from core.checkpoints.opcodes import PublishedError
from core.checkpoints.pickles import PublishedNetwork

if TYPE_CHECKING:
    from torch import Tensor

    from core.models import stylegan1, stylegan2

    Config = stylegan1.Config | stylegan2.Config
    Translate = Callable[[Mapping[str, Tensor], Mapping[str, Any]], tuple[Config, dict[str, Tensor]]]

PARTS = ("mapping", "synthesis")
ASSUMED = "options that the file does not set as the published functions have them"


def is_stylegan1(network: PublishedNetwork) -> bool:
    """By the functions that built it, as they are named in the file."""
    return network.build_function == "G_style"


def is_stylegan2(network: PublishedNetwork) -> bool:
    """The same, for the paper's configurations E and F and for ADA's; A to D are other networks under the same roof."""
    synthesis = network.components.get("synthesis")
    functions = ("G_synthesis", "G_synthesis_stylegan2")
    return network.build_function == "G_main" and (synthesis is None or synthesis.build_function in functions)


def convert_stylegan1(network: PublishedNetwork) -> Conversion:
    """The generator of a file. Raises `PublishedError` for a variant that `core.models.stylegan1` is not."""
    from core.models import stylegan1

    return _converted("StyleGAN", "stylegan1", network, stylegan1.from_tensorflow)


def convert_stylegan2_tf(network: PublishedNetwork) -> Conversion:
    """The generator of a file. Raises `PublishedError` for a variant that `core.models.stylegan2` is not."""
    from core.models import stylegan2_tf

    return _converted("StyleGAN2", "stylegan2", network, stylegan2_tf.from_tensorflow)


def _converted(kind: str, family: str, network: PublishedNetwork, translate: Translate) -> Conversion:
    variables = _variables(network)
    try:
        config, state = translate(variables, _options(network))
    except PublishedError:
        raise
    except ValueError as error:
        raise PublishedError(f"{kind}: {_brief(error)}. {OTHER}") from None
    if config.img_channels != 3:
        raise PublishedError(f"{kind}: expected pictures of 3 channels, got {config.img_channels}. {OTHER}")
    dropped = [name for name in variables if name.rpartition("/")[2] == "lod"]
    # Growing leaves layers to RGB for smaller pictures.
    dropped += [name for name in variables if "/ToRGB_lod" in name and "/ToRGB_lod0/" not in name]
    return finished(kind, family, config, state, dropped=tuple(dropped), assumed=(ASSUMED,))


def _variables(network: PublishedNetwork) -> dict[str, Tensor]:
    import torch

    if set(network.components) != set(PARTS) or any(part.components for part in network.components.values()):
        raise PublishedError(f"expected a network of {' and '.join(PARTS)}, got {listed(network.components)}. {OTHER}")
    variables = network.state_dict()
    for name, values in variables.items():
        if values.dtype not in (torch.float32, torch.float16) or not values.numel():
            raise PublishedError(
                f"variable {_brief(name)}: expected floating point of 16 or 32 bits, "
                f"got {values.dtype} {list(values.shape)}. {OTHER}"
            )
        if not bool(torch.isfinite(values).all()):
            raise PublishedError(
                f"variable {_brief(name)} holds values that are not finite, so every picture would be empty. "
                "Choose another file."
            )
    return variables


def _options(network: PublishedNetwork) -> dict[str, Any]:
    """What the network and its parts were built with. Options that a published function does not know it ignores, so
    an unknown name changes nothing.
    """
    options: dict[str, Any] = {}
    for source in (network, *(network.components[part] for part in PARTS)):
        for name, value in source.static_kwargs.items():
            value = plain(value)
            simple = all(
                isinstance(item, str | int | float | None) for item in (value if type(value) is list else [value])
            )
            options[name] = value if simple else shown(value)  # words that no option expects
    for name in ("mapping_lrmul", "conv_clamp"):
        value = options.get(name, 1.0)
        number = type(value) in (int, float) and 0 < value < 1e6
        if not number and not (name == "conv_clamp" and value is None):
            raise PublishedError(f"{name}: expected a number above 0, got {shown(value)}. {OTHER}")
    return options


def _brief(text: object) -> str:
    """A file's own words may stand in a message, but not pages of them."""
    return " ".join(str(text)[:300].split())
