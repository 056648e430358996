from __future__ import annotations

import random
import subprocess
import sys

import open_clip
import pytest

from core.text.byte_pairs import BytePairs

TEXTS = [
    "",
    " ",
    "snowy mountains at sunset, watercolor",
    "It's we're I'll they'd 'S don''t",
    "3D 2024 1,000.5 a1b2",
    "hello!!! ... --- (what?) #tag @me",
    "&amp; &amp;lt;b&amp;gt; &eacute; &",
    "<start_of_text>a<end_of_text> <START_OF_TEXT>",
    "naïve café – “quoted” ﬁne ſ İ K",
    "雪山，日落，水彩画 한국어 हिन्दी العربية",
    "🏔️🌅🎨👩‍🚀",
    "x²½ ⅷ ٣",
    "sÃ©ance â€œmojibakeâ€\x9d",
    "line\nbreak\ttab\0nul\x1b[31mred\r\n\u2028\u3000",
    "antidisestablishmentarianism floccinaucinihilipilification zzzzzzzzz",
    "a" * 500,
    "mountains " * 200,
    "aaaa abab ababab",
]


@pytest.fixture(scope="module")
def theirs() -> open_clip.SimpleTokenizer:
    return open_clip.SimpleTokenizer()


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_the_numbers_are_those_of_open_clip(text: str, theirs: open_clip.SimpleTokenizer) -> None:
    assert BytePairs().encode(text) == theirs.encode(text)
    for length in (3, 12, 77):
        assert BytePairs(length)([text, "a b"]).equal(theirs([text, "a b"], context_length=length))


def test_so_are_those_of_random_letters(theirs: open_clip.SimpleTokenizer) -> None:
    rng = random.Random(0)
    letters = "abcdeinorst' -.,!&;3é雪<>_\\$"
    ours = BytePairs()
    for _ in range(400):
        text = "".join(rng.choices(letters, k=rng.randrange(40)))
        assert ours.encode(text) == theirs.encode(text), text


def test_a_plain_prompt_imports_neither_open_clip_nor_what_mends_text() -> None:
    code = (
        "import sys; from core.text.byte_pairs import BytePairs; assert BytePairs()(['a cat']).shape == (1, 77); "
        "print([name for name in ('open_clip', 'ftfy', 'regex', 'timm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
