"""The prompt word by word, own lists, the past, quick prompts and fine layers, without a window."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.document.fine_layers import fine_mix, with_fine_mix
from app.document.history import History
from app.document.scene import Scene, SceneError
from app.explorer.prompts.neighbours import NEAREST, Neighbours
from app.explorer.prompts.recent import PAST_PROMPTS, PAUSE_S, TypingPause, matching, remembered
from app.explorer.prompts.word_editor import WordEditor
from app.explorer.session import Session
from app.explorer.storage.settings import Settings, SettingsStore
from core.request import Mix
from tests.app.explorer.fakes import SlowEngine, make_session, settle, wait_until


class Calls:
    """A render thread that answers when told to."""

    def __init__(self, **info: Any) -> None:
        self.engine = SlowEngine(Path("model"), **info)
        self.waiting: list[tuple[Any, Future[Any]]] = []
        self.answered = 0

    def call(self, function: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((function, future))
        return future

    def answer(self) -> None:
        function, future = self.waiting.pop(0)
        self.answered += 1
        try:
            future.set_result(function(self.engine))
        except ValueError as error:
            future.set_exception(error)


def finish(neighbours: Neighbours, calls: Calls) -> None:
    neighbours.tick()
    while calls.waiting:
        calls.answer()
        neighbours.tick()


WORDS = ("snow", "snowy", "wintry", "castle", "the", "of", *(f"zz{i}" for i in range(30)))


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def neighbours(calls: Calls) -> Neighbours:
    found = Neighbours(calls)
    found.follow("ab" * 32, WORDS)
    return found


def words_on(prompt: str, neighbours: Neighbours, lists: dict[str, tuple[str, ...]] | None = None) -> WordEditor:
    return WordEditor(History(Scene(prompt=prompt)), neighbours, lambda: lists or {})


def test_neighbours_are_computed_in_small_calls_once(neighbours: Neighbours, calls: Calls) -> None:
    neighbours.tick()
    assert not calls.waiting, "nobody asked yet"
    assert neighbours.nearest("snows") is None
    finish(neighbours, calls)
    nearest = neighbours.nearest("snows")
    assert nearest is not None
    assert nearest[:2] == ("snow", "snowy")
    assert len(nearest) == NEAREST
    assert "the" not in nearest
    assert calls.answered == 1 + 5  # the word itself, and 36 words by eights
    assert neighbours.nearest("the") is None
    finish(neighbours, calls)
    assert neighbours.nearest("the") == ("of",)
    assert calls.answered == 7


def test_what_comes_of_another_model_does_not_count(neighbours: Neighbours, calls: Calls) -> None:
    neighbours.nearest("snow")
    neighbours.tick()
    neighbours.follow("cd" * 32, ("sea", "seaside"))
    neighbours.nearest("sea")
    calls.answer()
    neighbours.tick()
    assert neighbours.nearest("sea") is None
    calls.engine.info = replace(calls.engine.info, sha256="cd" * 32)
    finish(neighbours, calls)
    assert neighbours.nearest("sea") == ("seaside",)


def test_an_encoder_that_fails_leaves_no_words(neighbours: Neighbours, calls: Calls) -> None:
    def fail(prompts: Any) -> Any:
        raise ValueError("no text")

    calls.engine.embeddings = fail  # type: ignore[method-assign]
    neighbours.nearest("snow")
    finish(neighbours, calls)
    assert neighbours.nearest("snow") == ()
    assert not neighbours.busy


def test_swapping_goes_round_a_list_and_comes_back(neighbours: Neighbours) -> None:
    words = words_on("a Snowy (house:1.4), night", neighbours, {"snowy": ("foggy old", "rainy")})
    history = words._history
    words.swap(1)
    assert history.scene.prompt == "a Snowy (house:1.4), night", "nothing is selected"
    words.select(1)
    seen = []
    for _ in range(3):
        words.swap(1)
        seen.append(history.scene.prompt)
    assert seen == [f"a {word} (house:1.4), night" for word in ("foggy old", "rainy", "Snowy")]
    words.swap(-2)
    assert history.scene.prompt == "a foggy old (house:1.4), night"
    assert [word.text for word in words.words if words.is_selected(word)] == ["foggy", "old"]
    assert history.undo_name == "swap word"
    history.undo()
    assert history.scene.prompt == seen[2]
    assert len(history) == 3
    words.select(2)
    words.swap(1)
    assert history.scene.prompt == seen[2], "no list, and none computed yet"


def test_a_member_of_an_own_list_finds_it(neighbours: Neighbours) -> None:
    words = words_on("a Rainy day", neighbours, {"snowy": ("foggy", "rainy")})
    words.select(1)
    assert words.choices() == (("snowy", "foggy", "Rainy"), 2)
    words.swap(1)
    assert words._history.scene.prompt == "a snowy day"


def test_a_swap_waits_for_its_words(neighbours: Neighbours, calls: Calls) -> None:
    words = words_on("a (snowy:1.4) day", neighbours)
    words.select(1)
    words.swap(1)
    words.swap(1)
    assert words.waiting
    finish(neighbours, calls)
    words.tick()
    nearest = neighbours.nearest("snowy")
    assert nearest is not None
    assert words._history.scene.prompt == f"a ({nearest[1]}:1.4) day"
    words.swap(-2)
    assert words._history.scene.prompt == "a (snowy:1.4) day"
    assert not words.waiting


def test_another_prompt_ends_a_round(neighbours: Neighbours) -> None:
    words = words_on("snowy day", neighbours, {"snowy": ("foggy",), "sea": ("lake",)})
    words.select(0)
    words.swap(1)
    words._history.step("typing", lambda scene: replace(scene, prompt="sea"))
    words.swap(1)
    assert words._history.scene.prompt == "lake"
    words._history.step("typing", lambda scene: replace(scene, prompt=""))
    assert words.place is None
    words.swap(1)
    words.step(1)


def test_stepping_goes_round_the_words(neighbours: Neighbours) -> None:
    words = words_on("one (two three:2) four", neighbours, {"one": ("x y",)})
    chosen = []
    for by in (1, 1, 1, 1, -1):
        words.step(by)
        assert words.place is not None
        chosen.append(words.place.text)
    assert chosen == ["one", "two three", "four", "one", "four"]
    words.select(0)
    words.swap(1)
    words.step(1)
    assert words.place.text == "two three", "x y was one place"


def test_weights_and_mutes_are_steps(neighbours: Neighbours) -> None:
    words = words_on("a snowy day", neighbours)
    history = words._history

    def word() -> Any:
        return words.words[1]

    for by in (0.1, 0.1, 0.1):
        words.weigh(word(), by)
    assert history.scene.prompt == "a (snowy:1.3) day"
    words.mute(word())
    assert history.scene.prompt == "a (snowy:0) day"
    assert history.undo_name == "mute word"
    words.mute(word())
    assert history.scene.prompt == "a (snowy:1.3) day"
    words.weigh(word(), -0.3)
    assert history.scene.prompt == "a snowy day"
    assert len(history) == 6
    words.weigh(word(), 1e9)
    assert history.scene.prompt == "a (snowy:10) day"
    words.reset(word())
    assert history.scene.prompt == "a snowy day"


# The past


def test_the_past_has_each_prompt_once_newest_first() -> None:
    past: tuple[str, ...] = ()
    for place in range(PAST_PROMPTS + 5):
        past = remembered(past, f"prompt {place}")
    past = remembered(past, "prompt 50")
    assert past[:2] == ("prompt 50", f"prompt {PAST_PROMPTS + 4}")
    assert len(past) == len(set(past)) == PAST_PROMPTS
    assert matching(("Snowy hills", "sea at dawn", "hills at sea"), "SEA hills") == ["hills at sea"]


def test_a_prompt_counts_after_a_pause() -> None:
    pause = TypingPause("a")
    assert pause.follow("a", 0.0) is None
    assert pause.follow("a", 100.0) is None, "what was there at the start is not new"
    for place, text in enumerate(("a s", "a se", "a sea")):
        assert pause.follow(text, 101.0 + place * PAUSE_S * 0.9) is None
    assert pause.waiting
    assert pause.follow("a sea", 110.0) == "a sea"
    assert pause.follow("a sea", 120.0) is None
    assert pause.follow("  ", 121.0) is None
    assert pause.follow("  ", 130.0) is None


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(tmp_path: Path, clock: Clock) -> Iterator[Session]:
    made = make_session(tmp_path, clock=clock)
    yield made
    made.close()
    assert made.rendering.thread.close(timeout=10.0)


def test_the_past_is_kept_in_the_settings(session: Session, clock: Clock, tmp_path: Path) -> None:
    wait_until(lambda: (session.tick(), session.models.info is not None)[1])
    for prompt in ("a sea", "a castle"):
        session.history.step("typing", lambda scene, prompt=prompt: replace(scene, prompt=prompt))
        session.tick()
        clock.now += PAUSE_S + 1.0
        session.tick()
    assert session.preferences.settings.past_prompts == ("a castle", "a sea")
    assert SettingsStore(tmp_path / "config").load_settings()[0].past_prompts == ("a castle", "a sea")
    session.prompts.forget_past()
    assert session.preferences.settings.past_prompts == ()


def test_own_lists_are_kept_in_the_settings(session: Session, tmp_path: Path) -> None:
    session.prompts.set_list("Snowy", [" foggy ", "", "rainy", "foggy"])
    session.prompts.set_list("sea", ["lake"])
    kept = SettingsStore(tmp_path / "config").load_settings()[0]
    assert kept.word_lists == {"snowy": ("foggy", "rainy"), "sea": ("lake",)}
    session.prompts.set_list("sea", [])
    assert set(session.preferences.settings.word_lists) == {"snowy"}


@pytest.mark.parametrize("text", ['{"word_lists": ["a"]}', '{"word_lists": {"a": "b"}}', '{"past_prompts": [1]}'])
def test_settings_of_a_wrong_kind_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    settings, problem = SettingsStore(tmp_path).load_settings()
    assert settings == Settings()
    assert problem is not None
    assert ("word_lists" if "word" in text else "past_prompts") in problem


def test_the_selected_word_is_swapped_in_a_running_session(session: Session) -> None:
    settle(session)
    session.prompts.words.select(0)
    session.prompts.words.swap(1)
    wait_until(lambda: (session.tick(), not session.prompts.words.waiting)[1])
    assert session.history.scene.prompt == "sunset mountains at sunset, watercolor"
    assert session.history.undo_name == "swap word"


# Quick prompts


def test_quick_prompts_are_part_of_the_scene(session: Session) -> None:
    prompts = session.prompts
    prompts.use_quick(3)
    assert session.history.undo_name is None
    prompts.store_quick(3, "a sea")
    assert session.history.scene.quick_prompts == ("", "", "", "a sea")
    assert Scene.from_json(session.history.scene.to_json()) == session.history.scene
    session.history.step("typing", lambda scene: replace(scene, prompt="x"))
    prompts.use_quick(3)
    assert session.history.scene.prompt == "a sea"
    assert session.history.undo_name == "quick prompt 4"
    prompts.store_quick(3, "")
    assert session.history.scene.quick_prompts == ()
    with pytest.raises(SceneError, match="at most 9"):
        Scene(quick_prompts=("a",) * 10)


# Fine layers


def test_fine_layers_are_one_mix_and_leave_the_others() -> None:
    seed, part, latent = Mix(seed_x=3.0), Mix(prompt="b", stop=4), Mix(latent="a@b")
    scene = Scene(mixes=(seed, part, latent))
    assert fine_mix(scene) is None
    assert with_fine_mix(scene, None) == scene
    own = Mix(prompt="c", first=5)
    with_own = with_fine_mix(scene, own)
    assert with_own.mixes == (own, seed, part, latent)
    moved = replace(scene, mixes=(seed, own, part))
    assert fine_mix(moved) == own
    other = Mix(label=2, first=1)
    assert with_fine_mix(moved, other).mixes == (seed, other, part)
    assert with_fine_mix(moved, None).mixes == (seed, part)


def test_classes_that_a_new_model_lacks_are_left(tmp_path: Path) -> None:
    session = make_session(tmp_path, open_engine=lambda path, report: SlowEngine(path, conditioning="class", classes=3))
    try:
        settle(session)
        mixes = (Mix(label=9), Mix(seed_x=1.0))
        session.history.step("x", lambda scene: replace(scene, label_c=7, label_d=1, mixes=mixes))
        session.models.open(tmp_path / "other.pkl")
        wait_until(lambda: (session.tick(), session.models.path == tmp_path / "other.pkl")[1])
        scene = session.history.scene
        assert (scene.label_c, scene.label_d, scene.mixes[0].label, scene.mixes[1].label) == (2, 1, 2, None)
    finally:
        session.close()
        assert session.rendering.thread.close(timeout=10.0)
