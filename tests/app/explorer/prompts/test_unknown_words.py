from app.explorer.prompts.unknown_words import unknown_words

VOCABULARY = frozenset({"snowy", "mountains", "at", "sunset", "snow", "covered"})


def test_unknown_words_come_in_order_once_in_lower_case() -> None:
    assert unknown_words("Snowy DRAGON at sunset, dragon; castle!", VOCABULARY) == ["dragon", "castle"]


def test_known_prompts_and_empty_ones_have_none() -> None:
    assert unknown_words("Snow-covered mountains", VOCABULARY) == []
    assert unknown_words("", VOCABULARY) == []
    assert unknown_words("🏔 🏔 123 !?", VOCABULARY) == []


def test_other_scripts_are_words_too() -> None:
    assert unknown_words("雪山 at sunset", VOCABULARY) == ["雪山"]


def test_without_a_vocabulary_nothing_is_marked() -> None:
    assert unknown_words("anything goes", frozenset()) == []


def test_ten_thousand_characters() -> None:
    assert unknown_words("dragon " * 1500, VOCABULARY) == ["dragon"]
