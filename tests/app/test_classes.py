from __future__ import annotations

import pytest

from app.classes import class_title, matching_classes, one_class
from app.errors import UserError

NAMES = ("tench", "Golden Retriever", "Labrador Retriever", "crane bird", "construction crane", "crane")


def test_search() -> None:
    assert matching_classes("", NAMES, 6) == [0, 1, 2, 3, 4, 5]
    assert matching_classes("retr", NAMES, 6) == [1, 2]
    assert matching_classes("lab ret", NAMES, 6) == [2]
    assert matching_classes(" Crane ", NAMES, 6) == [5, 3, 4]
    assert matching_classes("3", NAMES, 6) == [3]
    assert matching_classes("etriever", NAMES, 6) == matching_classes("6", NAMES, 6) == []
    assert matching_classes("4", (), 10) == [4]
    assert matching_classes("crane", (), 10) == matching_classes("9" * 30, (), 10) == []


def test_one_class() -> None:
    assert one_class("2", NAMES, 6) == 2
    assert one_class("CRANE", NAMES, 6) == 5
    assert one_class("tench", NAMES, 6) == 0
    assert one_class("golden", NAMES, 6) == 1
    for text, message in (
        ("retriever", r"--class retriever: .* got 2 that fit: 1 Golden Retriever, 2 Labrador Retriever"),
        ("6", "expected a number from 0 to 5 or a name, got no class"),
        ("-1", "got no class of this model"),
        ("", "expected a number from 0 to 5 or a name"),
    ):
        with pytest.raises(UserError, match=message):
            one_class(text, NAMES, 6)
    with pytest.raises(UserError, match="expected a number from 0 to 9, got no class"):
        one_class("dog", (), 10)


def test_two_classes_of_one_name_are_told_apart_by_number() -> None:
    with pytest.raises(UserError, match="got 2 that fit: 0 crane, 1 crane"):
        one_class("crane", ("crane", "crane"), 2)
    assert one_class("1", ("crane", "crane"), 2) == 1


def test_titles() -> None:
    assert class_title(1, NAMES) == "1 Golden Retriever"
    assert class_title(7, ()) == "7"
