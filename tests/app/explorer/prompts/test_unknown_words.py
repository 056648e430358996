from app.explorer.prompts.unknown_words import UnknownWords, unknown_words

VOCABULARY = frozenset({"snowy", "mountains", "at", "sunset", "snow", "covered"})


def test_unknown_words_come_in_order_once_in_lower_case() -> None:
    assert unknown_words("Snowy DRAGON at sunset, dragon; castle!", VOCABULARY) == UnknownWords(
        strange=("dragon", "castle")
    )


def test_known_prompts_and_empty_ones_have_none() -> None:
    assert unknown_words("Snow-covered mountains", VOCABULARY) == UnknownWords()
    assert unknown_words("", VOCABULARY) == UnknownWords()
    assert unknown_words("🏔 🏔 123 !?", VOCABULARY) == UnknownWords()


def test_other_scripts_are_words_too() -> None:
    assert unknown_words("雪山 at sunset", VOCABULARY) == UnknownWords(strange=("雪山",))


def test_without_a_vocabulary_nothing_is_marked() -> None:
    assert unknown_words("anything goes", frozenset()) == UnknownWords()


def test_ten_thousand_characters() -> None:
    assert unknown_words("dragon " * 1500, VOCABULARY) == UnknownWords(strange=("dragon",))


def test_an_encoder_that_knows_english_makes_something_of_english_words() -> None:
    found = unknown_words("A puppy’s café at sunset, 雪山 пёс puppy’s", VOCABULARY, knows_english=True)
    assert found == UnknownWords(near=("a", "puppy’s", "café"), strange=("雪山", "пёс"))
