"""Classes of a class-conditional model by number or name. No GUI and no torch here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.errors import UserError


def matching_classes(text: str, names: Sequence[str], count: int) -> list[int]:
    """The classes that `text` may mean, best first; all `count` of them when it is empty.

    A number means that class. Else every word of `text` must begin a word of the name; a name that is the text comes
    first, then those that begin with it. `names` may be empty: then only numbers match.
    """
    wanted = text.strip().lower()
    if not wanted:
        return list(range(count))
    found = [int(wanted)] if re.fullmatch(r"\d{1,9}", wanted) and int(wanted) < count else []
    ranked: list[tuple[int, int]] = []
    parts = wanted.split()
    for label, name in enumerate(names):
        lowered = name.lower()
        words = re.findall(r"\w+", lowered)
        if all(any(word.startswith(part) for word in words) for part in parts):
            ranked.append((0 if lowered == wanted else 1 if lowered.startswith(wanted) else 2, label))
    return found + [label for _, label in sorted(ranked) if label not in found]


def one_class(text: str, names: Sequence[str], count: int) -> int:
    """The class that `text` names, for the command line. Raises `UserError` when it is none or several."""
    found = matching_classes(text, names, count)
    exact = [label for label in found if text.strip().lower() in (str(label), _name(label, names).lower())]
    if len(exact) == 1 or len(found) == 1:
        return (exact or found)[0]
    expected = f"a number from 0 to {count - 1}" + (" or a name" if names else "")
    if not found or not text.strip():
        raise UserError(f"--class {text}: expected {expected}, got no class of this model")
    some = ", ".join(class_title(label, names) for label in found[:6]) + (", ..." if len(found) > 6 else "")
    raise UserError(f"--class {text}: expected {expected} of one class, got {len(found)} that fit: {some}")


def class_title(label: int, names: Sequence[str]) -> str:
    """What to call a class: "207 Golden Retriever"; its number where names are not known."""
    name = _name(label, names)
    return f"{label} {name}" if name else str(label)


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if label < len(names) else ""
