from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.text import EncoderFileError, Standardisation, TextEncoderError, convert, load_text_encoder, minilm
from core.text.encoder import WEIGHTS_VARIABLE
from core.text.sentence import SentenceEncoder, statistics_tensors

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[unused0]", "a", "cat", "dog", "##s", "雪", "ж", "é", "!"]
WIDTH, HEADS, HIDDEN, LAYERS, POSITIONS = 12, 3, 20, 2, 10


def published(seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the names that sentence-transformers publishes."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    found = {
        "embeddings.word_embeddings.weight": normal(len(PIECES), WIDTH),
        "embeddings.position_embeddings.weight": normal(POSITIONS, WIDTH) * 0.3,
        "embeddings.token_type_embeddings.weight": normal(2, WIDTH) * 0.3,
        "embeddings.LayerNorm.weight": 1 + 0.2 * normal(WIDTH),
        "embeddings.LayerNorm.bias": 0.2 * normal(WIDTH),
    }
    for n in range(LAYERS):
        for name, outputs, inputs in (
            ("attention.self.query", WIDTH, WIDTH),
            ("attention.self.key", WIDTH, WIDTH),
            ("attention.self.value", WIDTH, WIDTH),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", HIDDEN, WIDTH),
            ("output.dense", WIDTH, HIDDEN),
        ):
            found[f"encoder.layer.{n}.{name}.weight"] = normal(outputs, inputs) / math.sqrt(inputs)
            found[f"encoder.layer.{n}.{name}.bias"] = 0.1 * normal(outputs)
        for name in ("attention.output", "output"):
            found[f"encoder.layer.{n}.{name}.LayerNorm.weight"] = 1 + 0.2 * normal(WIDTH)
            found[f"encoder.layer.{n}.{name}.LayerNorm.bias"] = 0.2 * normal(WIDTH)
    return found


def bert(weights: dict[str, Tensor], tokens: list[int]) -> NDArray[np.float64]:
    """The formulas of BERT in double precision, a token and a head at a time."""
    p = {name: tensor.double().numpy() for name, tensor in weights.items()}

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centred = x - x.mean()
        scaled = centred / math.sqrt((centred**2).mean() + 1e-12)
        return np.asarray(scaled * p[name + ".weight"] + p[name + ".bias"])

    def linear(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return np.asarray(p[name + ".weight"] @ x + p[name + ".bias"])

    types = p["embeddings.token_type_embeddings.weight"]
    xs = [
        norm(
            p["embeddings.word_embeddings.weight"][t] + p["embeddings.position_embeddings.weight"][place] + types[0],
            "embeddings.LayerNorm",
        )
        for place, t in enumerate(tokens)
    ]
    for n in range(LAYERS):
        name = f"encoder.layer.{n}."
        q, k, v = (
            [linear(x, f"{name}attention.self.{part}").reshape(HEADS, -1) for x in xs]
            for part in ("query", "key", "value")
        )
        for place in range(len(xs)):
            heads = []
            for h in range(HEADS):
                logits = np.array([q[place][h] @ other[h] for other in k]) / math.sqrt(WIDTH // HEADS)
                shares = np.exp(logits) / np.exp(logits).sum()
                heads.append(sum(share * other[h] for share, other in zip(shares, v, strict=True)))
            mixed = linear(np.concatenate(heads), f"{name}attention.output.dense")
            x = norm(xs[place] + mixed, f"{name}attention.output.LayerNorm")
            up = linear(x, f"{name}intermediate.dense")
            gelu = np.array([u / 2 * (1 + math.erf(u / math.sqrt(2))) for u in up])
            xs[place] = norm(x + linear(gelu, f"{name}output.dense"), f"{name}output.LayerNorm")
    mean = np.mean(xs, axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def rounded(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """What is left of the matrices after int8: whole steps of a 127th of the largest number of each row."""
    found = {}
    for name, tensor in weights.items():
        found[name] = tensor
        if tensor.ndim == 2 and "position" not in name and "token_type" not in name:
            step = tensor.double().abs().amax(dim=1, keepdim=True) / 127
            found[name] = (tensor.double() / step).round() * step
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published model as it is downloaded, only small."""
    folder = tmp_path_factory.mktemp("published")
    safetensors.torch.save_file(published(), folder / "model.safetensors")
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    shape = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "num_hidden_layers": LAYERS}
    (folder / "config.json").write_text(json.dumps(shape | {"intermediate_size": HIDDEN}))
    return folder


@pytest.fixture(scope="module")
def file(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "small.safetensors"
    convert.main([str(folder), str(path), "--context-length", "8"])
    return path


@pytest.mark.parametrize("text", ["", "a cat", "cats a dog! dogs"])
def test_the_embedding_is_that_of_berts_formulas(file: Path, text: str) -> None:
    pretrained = minilm.load(file)
    tokens = pretrained.tokenizer(text)
    pieces = file_pieces(file)
    expected = bert(rounded(published()), [PIECES.index(pieces[t]) for t in tokens])
    found = pretrained.network(torch.tensor([tokens]))[0]
    assert np.abs(found.double().numpy() - expected).max() < 1e-5


def test_the_first_eight_tokens_count_and_other_scripts_are_left_out(file: Path) -> None:
    pretrained = minilm.load(file)
    assert file_pieces(file) == ["[UNK]", "[CLS]", "[SEP]", "a", "cat", "dog", "##s", "é", "!"]
    assert len(pretrained.tokenizer("a cat " * 10)) == 8


def file_pieces(path: Path) -> list[str]:
    return bytes(safetensors.torch.load_file(path)["vocabulary"].numpy()).decode().split("\n")


def test_many_texts_at_once_are_each_as_one_alone(file: Path) -> None:
    encoder = SentenceEncoder.open(file)
    texts = ["a cat", "", "dogs!", "a cat", "a a a cat", "a dog"]
    together = encoder.encode(texts)
    assert together.shape == (6, WIDTH)
    assert together.dtype == torch.float32
    for row, text in zip(together, texts, strict=True):
        assert torch.allclose(row, encoder.encode([text])[0], atol=1e-6)
    assert encoder.encode([]).shape == (0, WIDTH)


def test_a_checkpoint_names_its_encoder_and_standardises(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(file.parent))
    trainer = SentenceEncoder.open(file)
    captions = ["a cat", "a dog", "dogs", "cats!"]
    rows = trainer.encode(captions)
    standardisation = Standardisation.of(rows)
    assert torch.allclose(standardisation(rows).mean(dim=0), torch.zeros(WIDTH), atol=1e-5)
    assert torch.allclose(standardisation(rows).std(dim=0), torch.ones(WIDTH), atol=1e-4)
    encoder = load_text_encoder(trainer.spec(), statistics_tensors(standardisation))
    assert encoder.dim == WIDTH
    assert torch.allclose(encoder.encode(captions), rows, atol=1e-6)
    assert torch.allclose(encoder.conditions(captions), (rows - rows.mean(dim=0)) / rows.std(dim=0), atol=1e-4)


@pytest.mark.parametrize(
    ("spec", "tensors", "message"),
    [
        ({"file": "../../etc/passwd"}, {}, "text file: expected a name"),
        ({"file": "/x.safetensors"}, {}, "text file: expected a name"),
        ({"file": 3}, {}, "text file: expected a name"),
        ({"sha256": "abc"}, {}, "64 hexadecimal digits"),
        ({"more": 1}, {}, "unknown"),
        ({}, {"mean": None}, r"tensor text\.mean is missing"),
        ({}, {"other": torch.zeros(1)}, r"tensor text\.other is not part"),
        ({}, {"std": torch.zeros(WIDTH)}, "every std above 0"),
        ({}, {"mean": torch.full((WIDTH,), math.nan)}, "finite"),
        ({}, {"mean": torch.zeros(WIDTH + 1), "std": torch.ones(WIDTH + 1)}, r"expected shape \[12\], got \[13\]"),
        ({}, {"mean": torch.zeros(WIDTH, 1)}, "expected one shape"),
    ],
)
def test_a_checkpoint_that_is_wrong_about_its_encoder(
    file: Path, monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any], tensors: dict[str, Tensor | None], message: str
) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(file))
    right: dict[str, Tensor | None] = {"mean": torch.zeros(WIDTH), "std": torch.ones(WIDTH)}
    given = {name: tensor for name, tensor in (right | tensors).items() if tensor is not None}
    with pytest.raises(TextEncoderError, match=message):
        load_text_encoder(SentenceEncoder.open(file).spec() | spec, given)


def test_a_missing_or_different_file_is_named(file: Path, folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    right = {"mean": torch.zeros(WIDTH), "std": torch.ones(WIDTH)}
    spec = SentenceEncoder.open(file).spec()
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    with pytest.raises(EncoderFileError, match=r"needs the file small\.safetensors.*GLISSANDO_TEXT_WEIGHTS") as caught:
        load_text_encoder(spec, right)
    assert "\n" not in str(caught.value)
    other = tmp_path / file.name
    convert.main([str(folder), str(other), "--context-length", "7"])
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    with pytest.raises(EncoderFileError, match=f"{other}: expected the text encoder that the checkpoint was trained"):
        load_text_encoder(spec, right)


def test_damaged_files_are_one_message(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    path = tmp_path / "damaged.safetensors"
    for content in (b"", whole[:5], whole[:100], whole[:-1], b"\xff" * 200, whole.replace(b'"minilm', b'"maxilm')):
        path.write_bytes(content.replace(rb"\"minilm", rb"\"maxilm") if content[-1:] == whole[-1:] else content)
        with pytest.raises(EncoderFileError, match=str(path)):
            minilm.load(path)
    with pytest.raises(EncoderFileError, match="no-such-file"):
        minilm.load(tmp_path / "no-such-file.safetensors")


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("layers.0.up.weight", torch.zeros(HIDDEN, WIDTH), "expected .* of torch.int8"),
        ("layers.0.up.weight", torch.zeros(HIDDEN, WIDTH + 1, dtype=torch.int8), r"expected \[20, 12\]"),
        ("layers.1.norm2.bias", None, r"layers\.1\.norm2\.bias is missing"),
        ("layers.7.norm2.bias", torch.zeros(WIDTH), "is not part of it"),
        ("words.scale", torch.full((9,), math.inf), "not finite"),
        ("vocabulary", torch.tensor([65, 10, 66], dtype=torch.uint8), "expected 9 pieces, got 2"),
    ],
)
def test_tensors_are_checked_against_the_header(
    file: Path, tmp_path: Path, name: str, tensor: Tensor | None, message: str
) -> None:
    with safetensors.safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    tensors = safetensors.torch.load_file(file)
    if tensor is None:
        del tensors[name]
    else:
        tensors[name] = tensor
    path = tmp_path / "wrong.safetensors"
    safetensors.torch.save_file(tensors, path, metadata)
    with pytest.raises(EncoderFileError, match=message):
        minilm.load(path)


def test_a_config_cannot_ask_for_more_than_the_tensors_that_came(file: Path, tmp_path: Path) -> None:
    with safetensors.safe_open(file, framework="pt") as opened:
        fields = json.loads(opened.metadata()[minilm.METADATA_KEY])
    path = tmp_path / "huge.safetensors"
    for change, message in (({"width": 8184}, "expected"), ({"width": 10**9}, "width"), ({"depth": 1}, "depth")):
        text = json.dumps(fields | {"config": fields["config"] | change})
        safetensors.torch.save_file(safetensors.torch.load_file(file), path, {minilm.METADATA_KEY: text})
        with pytest.raises(EncoderFileError, match=message):
            minilm.load(path)


def test_the_encoder_that_is_shipped_knows_english() -> None:
    encoder = SentenceEncoder.open()
    assert encoder.dim == 384
    rows = encoder.encode(["a car", "an automobile", "a tulip", "a puppy", "a dog face", "a castle"])
    near = rows @ rows.T
    assert float(near[0, 1]) > 0.85 > 0.5 > float(near[0, 2])
    assert float(near[3, 4]) > float(near[3, 5]) + 0.2
