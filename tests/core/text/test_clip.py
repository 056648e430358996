"""The tower against open_clip's, with the same weights."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU, TextTransformer
from torch import nn

from core.text import bundled_text_tower
from core.text.byte_pairs import BytePairs

CFG: dict[str, Any] = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
PROMPTS = ["a house by the sea", "", "snowy mountains at sunset in watercolor with a boat and a lighthouse and clouds"]


def theirs(embed_dim: int = 8, *, quick_gelu: bool = False, **changes: Any) -> TextTransformer:
    act_layer = QuickGELU if quick_gelu else nn.GELU
    tower = TextTransformer(output_dim=embed_dim, act_layer=act_layer, **(CFG | changes)).eval()
    with torch.no_grad():
        for p in tower.parameters():  # biases and norms too, which are plain at the start
            p.add_(torch.randn_like(p) * 0.1)
    return tower


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"quick_gelu": True},
        {"ls_init_value": 0.3},
        {"embed_cls": True, "pad_id": 0},
        {"embed_cls": True, "no_causal_mask": True},
        {"no_causal_mask": True},
        {"proj_bias": True, "mlp_ratio": 2.5},
        {"pool_type": "first", "no_causal_mask": True},
        {"pool_type": "last"},
        {"pool_type": "eos", "eos_id": 49407},
    ],
    ids=str,
)
def test_every_setting_gives_what_open_clips_tower_gives(changes: dict[str, Any]) -> None:
    quick_gelu = bool(changes.get("quick_gelu"))
    settings = {name: value for name, value in changes.items() if name != "quick_gelu"}
    plain = theirs(quick_gelu=quick_gelu, **settings)
    tower = bundled_text_tower(8, CFG | settings, quick_gelu=quick_gelu)
    tower.load_state_dict(plain.state_dict())
    tokens = BytePairs(12)(PROMPTS)
    assert tower(tokens).shape == (3, 8)
    assert torch.allclose(tower(tokens), plain(tokens), atol=2e-6)
    for row in range(3):  # cut to its own length
        assert torch.allclose(tower(tokens[row : row + 1])[0], plain(tokens)[row], atol=2e-6)


def test_gradients_are_open_clips_too() -> None:
    plain = theirs()
    tower = bundled_text_tower(8, CFG)
    tower.load_state_dict(plain.state_dict())
    tokens, weights = BytePairs(12)(PROMPTS), torch.randn(3, 8)
    for module in (plain, tower):
        (module(tokens) * weights).sum().backward()
    found = dict(tower.named_parameters())
    for name, p in plain.named_parameters():
        assert p.grad is not None
        # The rows of token numbers and places that do not come are zero in both.
        assert torch.allclose(found[name].grad, p.grad, atol=1e-5), name


def test_a_fresh_tower_starts_as_open_clips_does() -> None:
    torch.manual_seed(0)
    settings = CFG | {"width": 64, "layers": 4, "ls_init_value": 0.5}
    plain = open_clip.CustomTextCLIP(8, {"image_size": 8, "layers": 1, "width": 64, "patch_size": 8}, settings).text
    ours = bundled_text_tower(8, settings)
    expected = plain.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    for name, tensor in ours.state_dict().items():
        assert tensor.shape == expected[name].shape
        assert float(tensor.std()) == pytest.approx(float(expected[name].std()), rel=0.35, abs=1e-6), name
