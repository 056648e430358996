"""The syntax of prompts, and what weights do to embeddings and pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.checkpoints import bundled_checkpoint
from core.engine import Engine, EngineError
from core.prompts import escaped, parse, plain, with_text, with_weight, without, words_of
from core.request import RenderRequest


def weights(prompt: str) -> list[tuple[str, float]]:
    return [(span.text, span.weight) for span in parse(prompt)]


def test_a_weight_belongs_to_what_is_in_parentheses() -> None:
    assert weights("a (misty:1.4) morning") == [("a ", 1.0), ("misty", 1.4), (" morning", 1.0)]
    assert weights("(old castle:0),(sea: .5 )") == [("old castle", 0.0), (",", 1.0), ("sea", 0.5)]
    assert weights("(time 10:30:2)") == [("time 10:30", 2.0)]
    assert weights("(far:-1)") == [("far", -1.0)]
    assert weights("(a:1234)") == [("a", 10.0)]


@pytest.mark.parametrize(
    "prompt",
    ["", "(", ")", "()", "(:1)", "( :1)", "(a)", "(a:)", "(a:x)", "(a:1", "a:1)", "(a:1e3)", "(a:nan)", "(a:1:)", "\\"],
)
def test_what_is_not_a_weight_is_literal(prompt: str) -> None:
    assert plain(prompt) == prompt
    assert all(weight == 1.0 for _, weight in weights(prompt))


def test_parts_do_not_nest() -> None:
    assert weights("(a (b:2) c:3)") == [("(a ", 1.0), ("b", 2.0), (" c:3)", 1.0)]


def test_escapes() -> None:
    assert weights(r"\(a:2)") == [("(a:2)", 1.0)]
    assert weights(r"\\(a:2)") == [("\\", 1.0), ("a", 2.0)]
    assert weights(r"(a \(b\):2)") == [("a (b)", 2.0)]
    for text in ("(a:2)", "\\(", "a \\ b", "(((", "\\\\"):
        assert weights(escaped(text)) == [(text, 1.0)]


def test_parts_say_where_they_are() -> None:
    prompt = r"a \(b\) (misty:1.4), (c:2)"
    assert "".join(span.text for span in parse(prompt)) == plain(prompt) == "a (b) misty, c"
    for span in parse(prompt):
        assert plain(prompt)[span.start : span.stop] == span.text
    assert "".join(prompt[span.source_start : span.source_stop] for span in parse(prompt)) == prompt


@pytest.mark.parametrize(
    "text", ["(" * 5000, "(a:" + "1" * 20000, "(a:1)" * 3000, "\\" * 9999, "(" + "a:" * 5000, "- " * 9]
)
def test_long_prompts_are_read(text: str) -> None:
    assert "".join(span.text for span in parse(text)) == plain(text)
    words_of(text)


@pytest.mark.parametrize(
    ("prompt", "rest"),
    [
        ("a (snowy:0) castle", "a castle"),
        ("(snowy:0) castle", "castle"),
        ("castle, (snowy:0)", "castle"),
        ("castle, (snowy:0), night", "castle, night"),
        ("castle (snowy:0), night", "castle, night"),
        ("castle(snowy:0)", "castle"),
        ("(snowy:0)", ""),
    ],
)
def test_the_text_without_a_part(prompt: str, rest: str) -> None:
    (span,) = (span for span in parse(prompt) if span.weight == 0.0)
    assert without(prompt, span) == rest


def test_words_and_their_edits() -> None:
    prompt = "Snow-covered (old castle:1.4), it's 3.5 km \\(far\\)!"
    words = words_of(prompt)
    assert [word.text for word in words] == ["Snow-covered", "old castle", "it's", "3.5", "km", "far"]
    assert with_weight(prompt, words[0], 1.3).startswith("(Snow-covered:1.3) (old")
    assert with_weight(prompt, words[1], 1.0).startswith("Snow-covered old castle, it's")
    assert with_text(prompt, words[1], "house").startswith("Snow-covered (house:1.4), it's")
    assert plain(with_text(prompt, words[2], "a)")) == "Snow-covered old castle, a) 3.5 km (far)!"
    assert with_weight("fog", words_of("fog")[0], 0.1 + 0.2) == "(fog:0.3)"


# Embeddings


def engine_at(path: Path) -> Engine:
    return Engine.open(path, device="cpu", precision="float32")


def test_weights_follow_the_formula(tiny_checkpoint: Path) -> None:
    engine = engine_at(tiny_checkpoint)
    whole, no_sea, no_house = engine.embeddings(["sea house a", "house a", "sea a"])
    expected = whole + 0.7 * (whole - no_sea) - 1.5 * (whole - no_house)
    (found,) = engine.embeddings(["(sea:1.7) (house:-.5) a"])
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


def test_one_changes_nothing_and_nought_leaves_out_to_the_bit(tiny_checkpoint: Path) -> None:
    engine = engine_at(tiny_checkpoint)

    def pixels(prompt: str, **changes: float) -> bytes:
        return engine.render(replace(RenderRequest(prompt=prompt), **changes)).pixels.tobytes()  # type: ignore[arg-type]

    assert pixels("a (snowy:1) house") == pixels("a snowy house")
    assert pixels("a (snowy:0) house") == pixels("a house")
    assert pixels("a (snowy:2) house") != pixels("a snowy house")
    between = RenderRequest(prompt="sea", prompt_b="a (snowy:0) house", blend=0.5)
    bare = replace(between, prompt_b="a house")
    assert engine.render(between).pixels.tobytes() == engine.render(bare).pixels.tobytes()


def test_weights_that_cancel_everything_leave_the_text(tiny_checkpoint: Path) -> None:
    engine = engine_at(tiny_checkpoint)
    for row in engine.embeddings(["(sea:0) (sea:0)", "(a:10) (b:-10)", "(:0)", ""]):
        assert np.linalg.norm(row) == pytest.approx(1.0, abs=1e-5)


def test_a_thousand_weights_encode_no_more_than_the_context_holds(tiny_checkpoint: Path) -> None:
    engine = engine_at(tiny_checkpoint)
    encoded = set()
    assert engine._styles._text is not None
    encode = engine._styles._text.encode
    engine._styles._text.encode = lambda prompts: (encoded.update(prompts), encode(prompts))[1]  # type: ignore[method-assign]
    engine.embeddings(["".join(f"(w{place}:1.2) " for place in range(1000))])
    assert len(encoded) == 78


def test_only_a_model_with_text_has_embeddings(tiny_checkpoint: Path) -> None:
    engine = engine_at(tiny_checkpoint)
    assert engine.embeddings([]).shape == (0, 16)
    engine._styles._text = None
    with pytest.raises(EngineError, match="takes no text"):
        engine.embeddings(["a"])


def test_the_bundled_model_follows_a_weight() -> None:
    """More weight on "snowy" goes further the way that "snowy" goes, and none is the prompt without it."""
    engine = engine_at(bundled_checkpoint())
    snow, summer = engine.embeddings(["a forest in winter", "a forest in summer"])
    for word, sign in (("winter", 1.0), ("summer", -1.0)):
        alone, doubled = engine.embeddings([f"a castle in {word}", f"a castle in ({word}:2)"])
        assert sign * float((doubled - alone) @ (snow - summer)) > 0.0

    def mean(prompt: str) -> np.ndarray:
        frames = [engine.render(RenderRequest(prompt=prompt, seed_x=float(seed), psi=0.7)).pixels for seed in range(6)]
        return np.mean(np.stack(frames).astype(np.float64), axis=0)

    none, once, twice, muted = (
        mean(f"a {word} castle on green hills, flat poster") for word in ("", "snowy", "(snowy:2)", "(snowy:0)")
    )
    assert np.array_equal(none, mean("a castle on green hills, flat poster"))
    assert np.array_equal(muted, none)
    way = once - none
    assert float((twice - once).ravel() @ way.ravel()) > 0.0
