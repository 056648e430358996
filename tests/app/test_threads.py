from __future__ import annotations

import os

import pytest

from app import cli
from app.threads import WAIT_POLICY


@pytest.fixture(autouse=True)
def _without_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT_POLICY, "")  # restored afterwards
    monkeypatch.delenv(WAIT_POLICY)


def policy_in(monkeypatch: pytest.MonkeyPatch, module: str, name: str, *arguments: str) -> str | None:
    """The wait policy that a command finds when it begins."""
    found: list[str | None] = []

    def command(args: object) -> int:
        found.append(os.environ.get(WAIT_POLICY))
        return 0

    monkeypatch.setattr(f"app.commands.{module}.{name}", command)
    assert cli.main(list(arguments)) == 0
    return found[0]


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("explore", "run", []),
        ("explore", "run", ["explore"]),
        ("generate", "run", ["generate", "--prompt", "x"]),
        ("video", "run", ["video", "--prompt", "x"]),
        ("render", "run", ["render", "x.json"]),
        ("directions", "run", ["directions"]),
        ("bench", "run_engine", ["bench", "engine"]),
        ("bench", "run_start", ["bench", "start"]),
        ("evaluate", "run_postcards", ["evaluate", "postcards", "x"]),
    ],
    ids=str,
)
def test_threads_sleep_while_they_wait(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, arguments: list[str]
) -> None:
    assert policy_in(monkeypatch, module, name, *arguments) == "PASSIVE"


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("train", "run_gan", ["train", "gan"]),
        ("train", "run_clip", ["train", "clip", "--data", "x", "--out", "y"]),
        ("bench", "run_train", ["bench", "train"]),
    ],
    ids=str,
)
def test_training_has_the_machine_to_itself(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, arguments: list[str]
) -> None:
    assert policy_in(monkeypatch, module, name, *arguments) is None


def test_what_the_person_says_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT_POLICY, "ACTIVE")
    assert policy_in(monkeypatch, "bench", "run_engine", "bench", "engine") == "ACTIVE"
