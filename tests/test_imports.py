"""No file of the repository imports itself by way of others: not at its head, not in a function, not for types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import grimp
import pytest

PACKAGES = ("core", "training", "app", "assets")


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan, 1972), each sorted."""
    found: list[list[str]] = []
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    open_: set[str] = set()

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        open_.add(module)
        for other in graph[module]:
            if other not in order:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in open_:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            component = []
            while module in open_:
                component.append(stack.pop())
                open_.discard(component[-1])
            if len(component) > 1:
                found.append(sorted(component))

    for module in sorted(graph):
        if module not in order:
            visit(module)
    return sorted(found)


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """Each module and what it imports anywhere in its text: grimp reads functions and TYPE_CHECKING blocks too."""
    built = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False, cache_dir=None)
    return {module: built.find_modules_directly_imported_by(module) for module in built.modules}


def test_circles_are_found() -> None:
    """The search itself: two circles that share nothing, and a chain that is none."""
    graph = {"a": ["b"], "b": ["c", "d"], "c": ["a"], "d": ["e"], "e": ["d", "f"], "f": []}
    assert circles(graph) == [["a", "b", "c"], ["d", "e"]]
    assert circles({"a": ["b", "c"], "b": ["c"], "c": []}) == []


def test_imports_in_functions_and_for_types_are_seen(graph: Mapping[str, set[str]]) -> None:
    """`app.commands.train` imports the trainer in a function, which the graph must show to find a hidden circle."""
    assert any(module.startswith("training.") for module in graph["app.commands.train"])


def test_no_imports_go_in_a_circle(graph: Mapping[str, set[str]]) -> None:
    assert circles(graph) == []
