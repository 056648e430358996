"""The Prompt menu: the words of the prompt, and the quick prompts."""

from __future__ import annotations

from collections.abc import Callable

from app.document.scene import QUICK_PROMPTS
from app.explorer.actions.action import Action, fixed_label
from app.explorer.prompts.word_editor import WEIGHT_STEP
from app.explorer.session import Session
from core.prompts import plain


def _takes_text(session: Session) -> bool:
    return session.models.conditioning == "text"


def _word_selected(session: Session) -> bool:
    return _takes_text(session) and session.prompts.words.place is not None


def _weigh(by: float) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        word = session.prompts.words.place
        if word is not None:
            session.prompts.words.weigh(word, by)

    return run


def _mute(session: Session) -> None:
    word = session.prompts.words.place
    if word is not None:
        session.prompts.words.mute(word)


def _quick_label(index: int) -> Callable[[Session], str]:
    def label(session: Session) -> str:
        prompt = plain(session.prompts.quick(index))
        return f"{index + 1}: {prompt[:40] + '…' * (len(prompt) > 40) if prompt else '(empty)'}"

    return label


def _use_quick(index: int) -> Action:
    return Action(
        id=f"use_quick_{index + 1}",
        menu="Prompt/Quick prompts",
        label=_quick_label(index),
        run=lambda session: session.prompts.use_quick(index),
        shortcut=str(index + 1),
        enabled=lambda session: _takes_text(session) and bool(session.prompts.quick(index)),
        tooltip="Make this quick prompt the prompt.",
    )


def _store_quick(index: int) -> Action:
    return Action(
        id=f"store_quick_{index + 1}",
        menu="Prompt/Store the prompt",
        label=fixed_label(f"Store as quick prompt {index + 1}"),
        run=lambda session: session.prompts.store_quick(index, session.history.scene.prompt),
        shortcut=f"Ctrl+Shift+{index + 1}",
        enabled=lambda session: _takes_text(session) and bool(session.history.scene.prompt.strip()),
    )


ACTIONS: tuple[Action, ...] = (
    Action(
        id="next_word",
        menu="Prompt",
        label=fixed_label("Next word"),
        run=lambda session: session.prompts.words.step(1),
        shortcut="Alt+Right",
        enabled=_takes_text,
        repeat=True,
        tooltip="Select the next word of the prompt; a click on a word below the prompt does so, too.",
    ),
    Action(
        id="previous_word",
        menu="Prompt",
        label=fixed_label("Previous word"),
        run=lambda session: session.prompts.words.step(-1),
        shortcut="Alt+Left",
        enabled=_takes_text,
        repeat=True,
    ),
    Action(
        id="swap_down",
        menu="Prompt",
        label=fixed_label("Swap word for the next"),
        run=lambda session: session.prompts.words.swap(1),
        shortcut="Alt+Down",
        enabled=_word_selected,
        repeat=True,
        tooltip="The next word of its list: your own list for the word, or words the model knows.",
        separator=True,
    ),
    Action(
        id="swap_up",
        menu="Prompt",
        label=fixed_label("Swap word for the previous"),
        run=lambda session: session.prompts.words.swap(-1),
        shortcut="Alt+Up",
        enabled=_word_selected,
        repeat=True,
    ),
    Action(
        id="heavier",
        menu="Prompt",
        label=fixed_label("More weight on the word"),
        run=_weigh(WEIGHT_STEP),
        shortcut="Alt+=",
        enabled=_word_selected,
        repeat=True,
    ),
    Action(
        id="lighter",
        menu="Prompt",
        label=fixed_label("Less weight on the word"),
        run=_weigh(-WEIGHT_STEP),
        shortcut="Alt+-",
        enabled=_word_selected,
        repeat=True,
    ),
    Action(
        id="mute_word",
        menu="Prompt",
        label=fixed_label("Mute the word"),
        run=_mute,
        shortcut="Alt+M",
        enabled=_word_selected,
        tooltip="The picture of the prompt without the word; once more brings it back.",
    ),
    *(_use_quick(index) for index in range(QUICK_PROMPTS)),
    *(_store_quick(index) for index in range(QUICK_PROMPTS)),
)
