import pytest

from app.explorer.gui.fuzzy import match


@pytest.mark.parametrize(
    ("query", "text"),
    [("svp", "Save picture"), ("SAVE PIC", "Save picture"), ("", "anything"), ("undo psi", "Undo psi"), ("é", "Café")],
)
def test_letters_in_order_are_found(query: str, text: str) -> None:
    found = match(query, text)
    assert found is not None
    typed = "".join(query.split()).lower()
    assert "".join(text[place] for place in found.positions).lower() == typed
    assert list(found.positions) == sorted(set(found.positions))


@pytest.mark.parametrize(("query", "text"), [("x", "Save picture"), ("ps", "Sp"), ("savez", "Save picture"), ("a", "")])
def test_letters_that_are_not_there_are_not_found(query: str, text: str) -> None:
    assert match(query, text) is None


@pytest.mark.parametrize(
    ("query", "better", "worse"),
    [
        ("save", "Save picture", "Show all the values of everything"),
        ("sp", "Save picture", "Inspect"),
        ("pic", "Save picture", "Play in circles"),
        ("in", "Zoom in", "Default arrangement"),
        ("play", "Play", "Display"),
    ],
)
def test_word_starts_and_runs_come_first(query: str, better: str, worse: str) -> None:
    good, bad = match(query, better), match(query, worse)
    assert good is not None
    assert bad is None or good.score > bad.score


def test_a_run_is_marked_as_a_run() -> None:
    found = match("pic", "Pause in the picture")
    assert found is not None
    assert found.positions == (13, 14, 15)


def test_a_letter_whose_small_form_is_longer_does_no_harm() -> None:
    assert match("stanbul", "İstanbul") is not None
