from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.checkpoints import load
from core.text import TextEncoder, TextEncoderError, bundled_text_tower, load_text_encoder, published
from core.text import encoder as encoding
from core.text.byte_pairs import BytePairs

TEXT_CFG: dict[str, Any] = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}


@pytest.fixture(scope="module")
def encoder(tiny_checkpoint: Path) -> TextEncoder:
    checkpoint = load(tiny_checkpoint)
    return load_text_encoder(checkpoint.header.text, checkpoint.part("text"))


def spec(**changes: Any) -> dict[str, Any]:
    return {"kind": "bundled", "embed_dim": 8, "text_cfg": TEXT_CFG} | changes


PROMPTS = [
    "",
    " ",
    "snowy mountains at sunset, watercolor",
    "雪山，日落，水彩画",
    "🏔️🌅🎨👩‍🚀",
    "\ud83c half an emoji",
    "a" * 10_000,
    "mountains " * 1_000,
    "雪" * 10_000,
    "<start_of_text><end_of_text>",
    "line\nbreak\ttab\0nul",
]


@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
def test_any_text_is_a_prompt(encoder: TextEncoder, prompt: str) -> None:
    embedding = encoder.encode([prompt])
    assert embedding.shape == (1, 16)
    assert embedding.dtype == torch.float32
    assert float(embedding.norm()) == pytest.approx(1.0, abs=1e-5)


def test_different_prompts_give_different_embeddings(encoder: TextEncoder) -> None:
    rows = encoder.encode(["", "sea", "mountains", "雪", "mountains at sunset", "sunset at mountains"])
    similarity = rows @ rows.T - torch.eye(6)
    assert float(similarity.max()) < 0.9999


def test_an_embedding_does_not_depend_on_its_company(tiny_checkpoint: Path) -> None:
    checkpoint = load(tiny_checkpoint)
    together = load_text_encoder(checkpoint.header.text, checkpoint.part("text")).encode(["sea", "a house " * 20, ""])
    alone = load_text_encoder(checkpoint.header.text, checkpoint.part("text"))
    for prompt, row in (("", 2), ("a house " * 20, 1), ("sea", 0)):
        assert torch.equal(alone.encode([prompt])[0], together[row])


def test_no_prompts_and_one_string(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, 16)
    with pytest.raises(TypeError, match="sequence of strings"):
        encoder.encode("sea")


class CountingTower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return tokens.float()


def test_embeddings_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "CACHED_PROMPTS", 3)
    tower = CountingTower()
    encoder = TextEncoder(tower, lambda prompts: torch.tensor([[len(p), 1] for p in prompts]), dim=2)
    first = encoder.encode(["a", "bb", "a"])
    assert tower.calls == 2
    assert torch.equal(encoder.encode(["bb", "a"]), first[[1, 0]])
    assert tower.calls == 2
    encoder.encode(["ccc", "dddd"])  # "bb" was used longest ago
    encoder.encode(["a"])
    assert tower.calls == 4
    encoder.encode(["bb"])
    assert tower.calls == 5


def test_a_tower_of_the_wrong_width() -> None:
    encoder = TextEncoder(CountingTower(), lambda prompts: torch.ones(len(prompts), 3), dim=2)
    with pytest.raises(TextEncoderError, match="expected embeddings of 2 numbers"):
        encoder.encode(["a"])


def test_the_tower_is_open_clips_own() -> None:
    import open_clip

    clip = open_clip.CustomTextCLIP(
        embed_dim=8,
        vision_cfg={"image_size": 8, "layers": 1, "width": 64, "patch_size": 8},
        text_cfg=TEXT_CFG,
        quick_gelu=True,
    )
    tower = bundled_text_tower(8, TEXT_CFG, quick_gelu=True)
    tower.load_state_dict(clip.text.state_dict())
    encoder = load_text_encoder(spec(quick_gelu=True), clip.text.state_dict())
    tokens = open_clip.SimpleTokenizer(context_length=12)(["a house by the sea"])
    expected = clip.encode_text(tokens, normalize=True)
    assert torch.allclose(nn.functional.normalize(tower(tokens), dim=-1), expected, atol=1e-6)
    assert torch.allclose(encoder.encode(["a house by the sea"]), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"width": 10**9}, "width"),
        ({"width": 15}, "heads"),
        ({"layers": -1}, "layers"),
        ({"heads": "2"}, "heads"),
        ({"vocab_size": 100}, "vocab_size"),
        ({"context_length": 10**6}, "context_length"),
        ({"mlp_ratio": float("nan")}, "mlp_ratio"),
        ({"pool_type": "none"}, "pool_type"),
        ({"hf_model_name": "someone/something"}, "hf_model_name"),
        ({"output_tokens": True}, "output_tokens"),
    ],
)
def test_tower_configs_are_checked(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(TextEncoderError, match=named):
        bundled_text_tower(8, TEXT_CFG | changes)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"kind": "clip"}, "kind"),
        ({}, "kind"),
        (spec(embed_dim=0), "embed_dim"),
        (spec(embed_dim="8"), "embed_dim"),
        (spec(text_cfg=[1]), "text_cfg"),
        (spec(quick_gelu=1), "quick_gelu"),
        (spec(surprise=1), "surprise"),
        ({"kind": "open_clip", "model": "ViT-B-32"}, "pretrained"),
    ],
)
def test_specs_are_checked(value: dict[str, Any], named: str) -> None:
    with pytest.raises(TextEncoderError, match=named):
        load_text_encoder(value, {})


def test_tower_tensors_are_checked() -> None:
    state = bundled_text_tower(8, TEXT_CFG).state_dict()
    name = "ln_final.weight"
    with pytest.raises(TextEncoderError, match=r"text\.ln_final\.weight is missing"):
        load_text_encoder(spec(), {k: v for k, v in state.items() if k != name})
    with pytest.raises(TextEncoderError, match=r"text\.surprise is not part"):
        load_text_encoder(spec(), state | {"surprise": torch.zeros(1)})
    with pytest.raises(TextEncoderError, match=r"text\.ln_final\.weight: expected shape \[16\], got \[17\]"):
        load_text_encoder(spec(), state | {name: torch.zeros(17)})
    # A width the tensors do not have is refused before a tower of that size is made.
    with pytest.raises(TextEncoderError, match="expected shape"):
        load_text_encoder(spec(text_cfg=TEXT_CFG | {"width": 8192}), state)


# --- published encoders, with fakes in place of the network -------------------------------------------------------


def named(model: str = "ViT-B-32-quickgelu", pretrained: str = "openai") -> dict[str, str]:
    return {"kind": "open_clip", "model": model, "pretrained": pretrained}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.delenv(encoding.WEIGHTS_VARIABLE, raising=False)


@pytest.mark.usefixtures("no_network")
def test_weights_that_cannot_be_had_are_named() -> None:
    with pytest.raises(TextEncoderError) as caught:
        load_text_encoder(named(), {})
    message = str(caught.value)
    assert "open_clip_model.safetensors" in message
    assert "timm/vit_base_patch32_clip_224.openai" in message
    assert "no route to host" in message
    assert "GLISSANDO_TEXT_WEIGHTS" in message
    assert "ViT-B-32-quickgelu.openai.safetensors" in message
    assert "\n" not in message


@pytest.mark.usefixtures("no_network")
def test_a_download_that_fails_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(repository: str, name: str) -> str:
        raise OSError("connection reset\nand a long trace")

    monkeypatch.setattr(published, "_unreachable", lambda: "")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(TextEncoderError, match=r"connection reset\. On a machine with a network") as caught:
        load_text_encoder(named(), {})
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_network")
def test_a_weights_variable_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nothing.safetensors"):
        monkeypatch.setenv(encoding.WEIGHTS_VARIABLE, str(place))
        with pytest.raises(TextEncoderError, match="GLISSANDO_TEXT_WEIGHTS: expected a file of weights"):
            load_text_encoder(named(), {})


@pytest.mark.usefixtures("no_network")
def test_weights_of_another_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_checkpoint: Path) -> None:
    monkeypatch.setattr("open_clip.create_model", fake_create_model)
    monkeypatch.setenv(encoding.WEIGHTS_VARIABLE, str(tiny_checkpoint))
    with pytest.raises(TextEncoderError, match="not the weights of ViT-B-32-quickgelu/openai"):
        load_text_encoder(named(), {})


def fake_create_model(model: str, *, pretrained: str, force_custom_text: bool) -> nn.Module:
    """open_clip's loader at a size for a test: a text tower read from the file named."""
    import safetensors.torch

    assert force_custom_text
    holder = nn.Module()
    holder.text = bundled_text_tower(512, {"width": 16, "heads": 2, "layers": 1})
    holder.text.load_state_dict(safetensors.torch.load_file(pretrained))
    return holder


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("as_folder", [True, False])
def test_weights_from_a_place_the_user_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, as_folder: bool) -> None:
    import safetensors.torch

    tower = bundled_text_tower(512, {"width": 16, "heads": 2, "layers": 1})
    path = tmp_path / "ViT-B-32-quickgelu.openai.safetensors"
    safetensors.torch.save_file(tower.state_dict(), path)
    monkeypatch.setattr("open_clip.create_model", fake_create_model)
    monkeypatch.setenv(encoding.WEIGHTS_VARIABLE, str(tmp_path if as_folder else path))
    encoder = load_text_encoder(named(), {})
    assert encoder.dim == 512
    tokens = BytePairs()(["a house"])
    assert torch.allclose(encoder.encode(["a house"]), nn.functional.normalize(tower(tokens), dim=-1), atol=1e-6)


@pytest.mark.usefixtures("no_network")
def test_weights_from_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    snapshot = tmp_path / "empty" / "models--timm--vit_base_patch32_clip_224.openai" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "open_clip_model.safetensors").write_bytes(b"weights")
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    source = {"hf_hub": "timm/vit_base_patch32_clip_224.openai/"}
    found = published.find_weights("ViT-B-32-quickgelu", "openai", source)
    assert found == snapshot / "open_clip_model.safetensors"


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        ("ViT-B-32", "openai", "-quickgelu"),
        ("ViT-Z-99", "openai", "ViT-L-14-quickgelu"),
        ("hf-hub:someone/something", "openai", "list_models"),
        ("local-dir:/tmp", "openai", "list_models"),
        ("ViT-B-32-quickgelu", "/etc/passwd", "openai"),
        ("ViT-B-32-quickgelu", "", "openai"),
        ("roberta-ViT-B-32", "laion2b_s12b_b32k", "not supported"),
    ],
)
def test_only_published_names_are_accepted(model: str, pretrained: str, message: str) -> None:
    with pytest.raises(TextEncoderError, match=message):
        load_text_encoder(named(model, pretrained), {})


def test_names_must_be_strings() -> None:
    with pytest.raises(TextEncoderError, match="list_models"):
        load_text_encoder({"kind": "open_clip", "model": 3, "pretrained": "openai"}, {})
    with pytest.raises(TextEncoderError, match="expected one of"):
        load_text_encoder({"kind": "open_clip", "model": "ViT-B-32-quickgelu", "pretrained": None}, {})
