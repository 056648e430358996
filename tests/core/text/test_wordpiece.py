from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from core.text.wordpiece import LONGEST_WORD, WordPiece

WORDS = (
    "a b ##b ##a ##bb cat ##s dog house ##boat naive cafe ß i 3 ##d x ##x sep é ##é ı - , ' . ! ( ) [ ] $ … ° · « 雪 山"
)
PIECES = ["[UNK]", "[CLS]", "[SEP]", *WORDS.split()]

TEXTS = [
    "",
    "a cat",
    "CATS, dogs & houseboats!",
    "3D-cat (naïve) café's…",
    "don't",
    "ab abb abab aabb bbb",
    "雪山cat 雪",
    "[SEP] [CLS] x",
    "line\nbreak\ttab\0nul\u200bzero \ufffd \u00a0space",
    "İstanbul I ı ß ẞ ﬁ é e\u0301",
    "$3 + 3° · «cat»",
    "🏔️ a 👩‍🚀 cat",
    "x" * LONGEST_WORD,
    "x" * (LONGEST_WORD + 1),
    "cat\u2028dog\u3000house",
    "\U0002b740a\U0001f1e6 한국어 हिन्दी العربية",
]


def reference(vocabulary: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_the_numbers_are_those_of_the_tokenizers_package(text: str) -> None:
    numbers = WordPiece(PIECES, context_length=512)(text)
    assert numbers[0] == PIECES.index("[CLS]")
    assert numbers[-1] == PIECES.index("[SEP]")
    assert numbers[1:-1] == reference(PIECES).encode(text).ids


def test_a_long_text_keeps_its_end_mark() -> None:
    numbers = WordPiece(PIECES, context_length=5)("cat dog cat dog cat")
    assert [PIECES[n] for n in numbers] == ["[CLS]", "cat", "dog", "cat", "[SEP]"]


def test_a_vocabulary_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[SEP\]"):
        WordPiece(["[UNK]", "[CLS]", "cat"], context_length=8)
