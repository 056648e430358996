"""StyleGAN-T with a joint style, choices of z and maps at the input."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from core.models.registry import config_from_dict
from core.models.stylegan_t import Config, Generator, sharpened
from core.models.stylegan_t_fast import FastSynthesis
from core.request import IDENTITY_TRANSFORM, SynthesisOptions

TINY: dict[str, Any] = {
    "resolution": 16,
    "text_dim": 6,
    "z_dim": 10,
    "base_channels": 256,
    "max_channels": 16,
    "convs_per_block": 1,
    "norm_groups": 4,
    "style_dim": 12,
    "input_maps": 5,
    "choices": ((0, 1), (2, 3), (6, 4)),
}
MOVED = torch.tensor([[1.0, 0.0, 0.125], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def build(**changes: Any) -> Generator:
    torch.manual_seed(0)
    generator = Generator(Config(**(TINY | changes))).eval().requires_grad_(False)
    for name, tensor in generator.state_dict().items():
        if name.endswith(("gamma", "noise_strength")):
            tensor.uniform_(0.2, 0.8)
        elif name.endswith("affine.weight"):
            tensor.normal_(std=0.3)
    return generator


def latents(count: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(count, 10, generator=rng), torch.randn(count, 6, generator=rng)


@pytest.mark.parametrize("changes", [{}, {"choices": ()}, {"input_maps": 0}, {"style_dim": 0, "choices": ()}])
@pytest.mark.parametrize("transform", [IDENTITY_TRANSFORM, tuple(MOVED.flatten().tolist())], ids=["still", "moved"])
def test_the_fast_synthesis_equals_the_plain_one(changes: dict[str, Any], transform: tuple[float, ...]) -> None:
    generator = build(**changes)
    fast = FastSynthesis(generator)
    w = generator.map(*latents(1), psi=0.8)
    mixed = w.clone()
    mixed[:, 3:] += 0.5
    for one in (w, mixed, w[:, 0]):
        options = SynthesisOptions(transform=transform)
        torch.testing.assert_close(fast(one, options), generator.synthesis(one, options), rtol=1e-4, atol=1e-4)


def test_a_choice_is_nearly_one_hot_with_unit_variance() -> None:
    z = torch.randn(20_000, 5, generator=torch.Generator().manual_seed(0))
    y = sharpened(z)
    assert abs(float(y.mean())) < 1e-5
    assert 0.7 < float(y.std()) <= 1.0
    torch.testing.assert_close(sharpened(torch.tensor([[2.0], [-1.0]])), torch.tensor([[1.0], [-1.0]]))
    clear = torch.tensor([[0.0, 2.0, 0.1]])
    torch.testing.assert_close(sharpened(clear), torch.tensor([[-1.0, 2.0, -1.0]]) / math.sqrt(2), atol=1e-3, rtol=0)


def test_truncation_moves_the_pose_and_keeps_the_choices() -> None:
    generator = build()
    z, c = latents(1)
    z[0, 2:5], z[0, 6:10] = torch.tensor([3.0, 0.0, -1.0]), torch.tensor([0.0, 0.0, 0.0, 3.0])
    z[0, 0] = 1.5
    full, half = generator.make_w(z, c), generator.make_w(z, c, psi=0.5)
    for first, count in generator.config.choices:
        block = slice(first, first + count)
        torch.testing.assert_close(full[:, block], z[:, block])
        torch.testing.assert_close(sharpened(full[:, block]), sharpened(half[:, block]), atol=1e-4, rtol=0)
    assert not torch.allclose(full[:, 1], half[:, 1])


def test_the_users_transform_moves_the_maps_by_whole_cells() -> None:
    generator = build()
    assert generator.input_maps is not None
    generator.input_maps.affine.weight.zero_()
    style = generator.joined(generator.make_w(*latents(2)))
    still, moved = generator.input_maps(style), generator.input_maps(style, MOVED)
    # An eighth of the picture is one of eight cells.
    torch.testing.assert_close(moved[..., :-1], still[..., 1:])


def test_a_config_comes_back_from_json_and_old_files_have_the_paper_s_shape() -> None:
    config = Config(**TINY)
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    assert config_from_dict("stylegan_t", values) == config
    old = {name: value for name, value in values.items() if name not in ("choices", "style_dim", "input_maps")}
    found = config_from_dict("stylegan_t", old)
    assert isinstance(found, Config)
    assert (found.choices, found.style_dim, found.input_maps) == ((), 0, 0)
    with pytest.raises(ValueError, match="missing or unknown: z_dim"):
        config_from_dict("stylegan_t", {name: value for name, value in values.items() if name != "z_dim"})


@pytest.mark.parametrize("choices", [((2, 0),), ((8, 3),), ((2, 3), (4, 2)), ((-1, 3),), (3, 4), "ab", ((0, 2.0),)])
def test_blocks_that_are_none_are_refused(choices: Any) -> None:
    with pytest.raises(ValueError, match="choices: expected pairs"):
        Config(**(TINY | {"choices": choices}))


def test_choices_need_a_joint_style() -> None:
    with pytest.raises(ValueError, match="need a style_dim"):
        Config(**(TINY | {"style_dim": 0}))
