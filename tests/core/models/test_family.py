"""Every family's generator keeps the promises of the protocol. FastGAN's, with its one style, has a test of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from core import model_info
from core.models import family, stylegan1, stylegan2, stylegan3, stylegan_t, stylegan_xl
from core.request import SynthesisOptions


def text() -> stylegan_t.Generator:
    return stylegan_t.Generator(
        stylegan_t.Config(resolution=16, text_dim=3, z_dim=4, base_channels=64, max_channels=8, norm_groups=2)
    )


def constant() -> stylegan2.Generator:
    return stylegan2.Generator(stylegan2.Config(resolution=8, size=(4, 6), z_dim=4, c_dim=3, w_dim=5, max_channels=6))


def fourier() -> stylegan3.Generator:
    return stylegan3.Generator(
        stylegan3.Config(resolution=16, z_dim=4, w_dim=5, max_channels=4, num_layers=4, margin=2, kernel=1, radial=True)
    )


def styled() -> stylegan1.Generator:
    return stylegan1.Generator(stylegan1.Config(resolution=8, z_dim=4, w_dim=5, max_channels=6))


def grown() -> stylegan_xl.Generator:
    return stylegan_xl.Generator(
        stylegan_xl.Config(c_dim=3, z_dim=4, w_dim=5, max_channels=4, num_layers=4, margin=2, embed_features=6)
    )


# The annotation is checked when mypy is run over this file: all of them have every member, with the right type.
FAMILIES: dict[str, tuple[model_info.Conditioning, Callable[[], family.Generator]]] = {
    "stylegan_t": ("text", text),
    "stylegan1": ("none", styled),
    "stylegan2": ("class", constant),
    "stylegan3": ("none", fourier),
    "stylegan_xl": ("class", grown),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_promises(name: str) -> None:
    conditioning, build = FAMILIES[name]
    torch.manual_seed(0)
    generator: Any = build()
    assert torch.nn.Module in type(generator).__mro__
    assert generator.conditioning == conditioning
    assert (generator.c_dim > 0) == (conditioning != "none")
    z = torch.randn(2, generator.z_dim)
    c = torch.randn(2, generator.c_dim) if generator.c_dim else None
    ws = generator.map(z, c, psi=0.5, cutoff=1)
    assert ws.shape == (2, generator.num_ws, generator.w_dim)
    assert torch.equal(ws[:, 1], generator.map(z, c)[:, 1])
    assert not torch.equal(ws[:, 0], ws[:, 1])

    seen: dict[str, tuple[tuple[int, int], int, int]] = {}

    def watch(name: str, place: int) -> None:
        def hook(module: Any, args: Any, output: torch.Tensor) -> None:
            seen[name] = (tuple(output.shape[2:]), output.shape[1], int(args[place][0, 0]))  # type: ignore[assignment]

        generator.get_submodule(name).register_forward_hook(hook)

    for layer in generator.layers:
        watch(layer.name, 0 if layer.name.endswith("input") else 1)
    marks = torch.arange(float(generator.num_ws))[None, :, None].expand(1, -1, generator.w_dim).contiguous()
    options = SynthesisOptions(noise="none")
    picture = generator.synthesis(marks, options, generator=torch.Generator(), dtype=torch.float32)
    assert picture.shape == (1, 3, *generator.output_size)
    assert seen == {layer.name: (layer.size, layer.channels, layer.style) for layer in generator.layers}
    assert list(seen) == [layer.name for layer in generator.layers]
    assert {layer.style for layer in generator.layers} == set(range(generator.num_ws))

    # What a family does not have does nothing.
    still = generator.synthesis(ws)
    shift = SynthesisOptions(transform=(1.0, 0.0, 0.1, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    assert torch.equal(generator.synthesis(ws, shift), still) != generator.has_transform


@pytest.mark.parametrize("name", FAMILIES)
def test_the_seed_of_the_options_draws_the_noise_where_no_generator_is_given(name: str) -> None:
    torch.manual_seed(0)
    generator: Any = FAMILIES[name][1]()
    for key, tensor in generator.state_dict().items():
        if key.endswith("noise_strength"):
            tensor.fill_(1.0)
    ws = torch.randn(2, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(1))
    options = SynthesisOptions(noise="random", noise_seed=5)
    with torch.inference_mode():
        given = generator.synthesis(ws, options, generator=torch.Generator().manual_seed(5))
        assert torch.equal(generator.synthesis(ws, options), given)
        another = generator.synthesis(ws, SynthesisOptions(noise="random", noise_seed=6))
        assert torch.equal(another, given) != generator.has_noise


def test_a_text_generator_asks_for_text() -> None:
    with pytest.raises(ValueError, match=r"text: expected embeddings \[N, 3\], got none"):
        text().map(torch.randn(1, 4))
    generator = text()
    z, c = torch.randn(2, 4), torch.randn(2, 3)
    assert torch.equal(generator.synthesis(generator.map(z, c, 0.5)), generator(z, c, psi=0.5))
