"""Text embeddings kept on disk: encoded once, the same ever after, and never another encoder's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from training.methods.stylegan_t.text_cache import BATCH, EmbeddingTable, encoder_key, precompute_texts

CAPTIONS = [f"caption {number}" for number in range(BATCH + 50)] + ["ümlaut", "caption 3"]


class Encoder:
    """A product with random weights, as a tower's last one; counts the captions it is given."""

    def __init__(self, seed: int = 0) -> None:
        self.weight = torch.randn(32, 8, generator=torch.Generator().manual_seed(seed))
        self.batches: list[int] = []

    def __call__(self, captions: list[str]) -> Tensor:
        self.batches.append(len(captions))
        letters = [[float(ord(letter) % 31) for letter in caption.ljust(32)[:32]] for caption in captions]
        return torch.tensor(letters) @ self.weight


def know(cache: Path, encode: Encoder, captions: list[str] = CAPTIONS, key: str = "k") -> EmbeddingTable:
    return precompute_texts(captions, encode, key=key, dim=8, cache=cache, progress=False)


def test_every_caption_is_encoded_once_and_found_again(tmp_path: Path) -> None:
    encode = Encoder()
    texts = know(tmp_path, encode)
    assert len(texts) == BATCH + 51
    assert encode.batches == [BATCH, BATCH]
    wanted = ["ümlaut", "caption 7", "caption 7"]
    torch.testing.assert_close(texts(wanted), encode(wanted))
    again = Encoder()
    found = know(tmp_path, again, CAPTIONS[::-1])
    assert torch.equal(found(wanted), texts(wanted))
    assert again.batches == []


def test_a_caption_that_is_not_known_is_encoded(tmp_path: Path) -> None:
    encode = Encoder()
    texts = know(tmp_path, encode)
    assert torch.equal(texts(["new", "caption 1"]), encode(["new", "caption 1"]))


def test_other_captions_and_encoders_have_files_of_their_own(tmp_path: Path) -> None:
    know(tmp_path, Encoder())
    for captions, key in ((CAPTIONS[1:], "k"), (CAPTIONS, "other")):
        encode = Encoder(1)
        texts = know(tmp_path, encode, captions, key)
        assert encode.batches
        torch.testing.assert_close(texts(["caption 9"]), encode(["caption 9"]))
    tensors = {"a": torch.ones(2), "b": torch.zeros(3, dtype=torch.bfloat16)}
    key = encoder_key({"kind": "x"}, tensors, "cpu")
    assert key == encoder_key({"kind": "x"}, {name: tensors[name].clone() for name in ("b", "a")}, "cpu")
    others = [
        encoder_key({"kind": "y"}, tensors, "cpu"),
        encoder_key({"kind": "x"}, tensors, "cuda"),
        encoder_key({"kind": "x"}, {**tensors, "a": torch.ones(2) + 1e-6}, "cpu"),
    ]
    assert len({key, *others}) == 4


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY garbage", None])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    before = know(tmp_path, Encoder())(CAPTIONS)
    (file,) = tmp_path.glob("texts-*.npy")
    file.write_bytes(file.read_bytes()[:-40] if damage is None else damage)
    assert torch.equal(know(tmp_path, Encoder())(CAPTIONS), before)
    assert file.stat().st_size > 1000


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    encode = Encoder()
    texts = know(tmp_path / "file" / "cache", encode)
    torch.testing.assert_close(texts(CAPTIONS), encode(CAPTIONS))
