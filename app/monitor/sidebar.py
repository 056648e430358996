"""What stands left of the curves: the runs, commands for one of them, and how busy this machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dearpygui.dearpygui as dpg

from app.monitor import theme
from app.monitor.hardware import Hardware
from app.monitor.state import MonitorState, Run, writable
from app.monitor.status import in_words, settings_in_force
from app.monitor.theme import heading
from core.run_control import ACTIONS, SETTINGS

STATES = {
    "waiting": theme.DIM,
    "running": theme.GREEN,
    "silent": theme.AMBER,
    "stopped": theme.DIM,
    "finished": theme.GREEN,
}
RATES = {"learning_rate_g": "G", "learning_rate_d": "D"}

Changed = Callable[[], None]


class RunList:
    """A card for each run: name, state, progress, time left. A click selects it; the box shows and hides its curves."""

    def __init__(self, state: MonitorState, fonts: theme.Fonts, width: int, changed: Changed) -> None:
        self._state, self._changed = state, changed
        self._cards: list[dict[str, int]] = []
        heading(fonts, "Runs" if len(state.runs) > 1 else "Run")
        self._plain = theme.padded(10, 6, theme.PANEL, spacing=4)
        self._chosen = theme.padded(10, 6, theme.FRAME, spacing=4)
        for run in state.runs:
            self._cards.append(self._card(run, fonts, width))

    def _card(self, run: Run, fonts: theme.Fonts, width: int) -> dict[str, int]:
        colour = theme.of_run(run.number)
        card: dict[str, int] = {}
        with dpg.child_window(width=width, height=94, no_scrollbar=True, always_use_window_padding=True) as area:
            card["area"] = int(area)
            with dpg.group(horizontal=True):
                with dpg.drawlist(12, 20):
                    dpg.draw_circle((6, 11), 5, color=colour, fill=colour)
                name = dpg.add_text(run.name if len(run.name) <= 22 else f"...{run.name[-20:]}")
                fonts.use(name, fonts.bold)
            if len(self._state.runs) > 1:
                shown = dpg.add_checkbox(default_value=True, pos=(width - 36, 7), callback=self._show, user_data=run)
                with dpg.tooltip(shown):
                    dpg.add_text("Show its curves")
                card["shown"] = int(shown)
            card["bar"] = int(dpg.add_progress_bar(width=width - 20, height=5))
            dpg.bind_item_theme(card["bar"], theme.bar(colour))
            card["words"] = int(dpg.add_text(""))
            with dpg.group(horizontal=True, horizontal_spacing=6):
                card["state"] = int(dpg.add_text(""))
                card["more"] = int(dpg.add_text("", color=theme.DIM))
            for item in ("words", "state", "more"):
                fonts.use(card[item], fonts.small)
            with dpg.tooltip(name):
                dpg.add_text(str(run.folder))
        return card

    def _show(self, sender: int, value: bool, run: Run) -> None:
        run.shown = value
        self._changed()

    def click(self) -> None:
        """The mouse was clicked somewhere: on a card, that run is selected."""
        for run, card in zip(self._state.runs, self._cards, strict=True):
            on_box = "shown" in card and dpg.is_item_hovered(card["shown"])
            if dpg.is_item_hovered(card["area"]) and not on_box and run is not self._state.selected:
                self._state.selected = run
                self._changed()

    def card(self, run: Run) -> dict[str, int]:
        """The items of a run's card."""
        return self._cards[run.number]

    def draw(self) -> None:
        """Bring the cards up to date."""
        for run, card in zip(self._state.runs, self._cards, strict=True):
            several = len(self._state.runs) > 1
            dpg.bind_item_theme(card["area"], self._chosen if several and run is self._state.selected else self._plain)
            status, view = run.status, run.view
            dpg.set_value(card["bar"], status.share or 0.0)
            dpg.set_value(card["words"], in_words(status))
            dpg.configure_item(card["state"], color=STATES[status.state])
            dpg.set_value(card["state"], status.state)
            facts = []
            if view.error:
                facts = [view.error.rpartition(": ")[2]]
            else:
                if status.speed and status.state == "running":
                    facts.append(f"{status.speed:,.1f} img/s")
                if view.size and not view.whole:
                    facts.append(f"reading {view.read / view.size:.0%}")
                elif view.rows >= 10_000:
                    facts.append(f"{view.rows / 1e6:.2f} M rows" if view.rows >= 1e6 else f"{view.rows:,} rows")
                if view.damaged:
                    facts.append(f"{view.damaged:,} damaged line{'s' * (view.damaged > 1)}")
            dpg.configure_item(card["more"], color=theme.RED if view.error else theme.DIM)
            dpg.set_value(card["more"], "   ".join(facts))


class ControlPanel:
    """Buttons that leave commands for the selected run, and what became of them."""

    def __init__(self, state: MonitorState, fonts: theme.Fonts, width: int) -> None:
        self._state = state
        self._for: Run | None = None
        self._title = heading(fonts, "Commands")
        half = (width - 8) // 2
        with dpg.group(horizontal=True):
            self.snapshot = self._button("Snapshot now", half, "snapshot")
            self.evaluate = self._button("Evaluate now", half, "evaluate")
        self.stop = int(dpg.add_button(label="Stop cleanly...", width=width, callback=self._ask))
        self._tip(self.stop, "stop")
        self.rates: dict[str, tuple[int, int]] = {}
        dpg.add_spacer(height=1)
        self.now = dpg.add_text("Learning rates", color=theme.DIM)
        fonts.use(self.now, fonts.small)
        for name, label in RATES.items():
            with dpg.group(horizontal=True):
                with dpg.group(width=14):
                    dpg.add_text(label)
                field = dpg.add_input_text(width=width - 92, scientific=True, hint="as it is", on_enter=True)
                button = dpg.add_button(label="Set", width=52, callback=self._set, user_data=name)
                dpg.configure_item(field, callback=self._set, user_data=name)
            self.rates[name] = (int(field), int(button))
        self.lines = [int(dpg.add_text("", wrap=width)) for _ in range(4)]
        for item in self.lines:
            fonts.use(item, fonts.small)
        with dpg.window(modal=True, show=False, no_title_bar=True, no_resize=True, no_move=True) as self.question:
            dpg.bind_item_theme(self.question, _dialog())
            self._asked = dpg.add_text("", wrap=340)
            dpg.add_spacer(height=4)
            with dpg.group(horizontal=True):
                self.yes = int(dpg.add_button(label="Stop it", width=110, callback=self._stop))
                self.no = int(dpg.add_button(label="Let it run", width=110, callback=self._close))

    def _button(self, label: str, width: int, command: str) -> int:
        item = int(dpg.add_button(label=label, width=width, callback=lambda: self._send(command)))
        self._tip(item, command)
        return item

    def _tip(self, item: int, command: str) -> None:
        with dpg.tooltip(item):
            dpg.add_text(f"At its next step the run {ACTIONS[command]}.")

    @property
    def asking(self) -> bool:
        """Whether the question is open."""
        return bool(dpg.is_item_shown(self.question))

    def _send(self, command: str) -> None:
        self._state.selected.commands.send(command)

    def _ask(self) -> None:
        self._for = self._state.selected
        dpg.set_value(
            self._asked, f"Stop {self._for.name}? It saves everything at its next step; --resume goes on with it."
        )
        width, height = dpg.get_viewport_client_width(), dpg.get_viewport_client_height()
        dpg.configure_item(self.question, show=True, pos=((width - 380) // 2, height // 3))

    def _stop(self) -> None:
        if self._for is not None:
            self._for.commands.send("stop")
        self._close()

    def _close(self) -> None:
        dpg.configure_item(self.question, show=False)

    def _set(self, sender: int, data: Any, name: str) -> None:
        field, _ = self.rates[name]
        commands = self._state.selected.commands
        text = dpg.get_value(field).strip().replace(",", ".")
        try:
            value = float(text)
        except ValueError:
            commands.error = f"{name}: expected a number such as 0.0005, got {text!r}"
            return
        commands.send("set", name=name, value=value)
        if not commands.error:
            dpg.set_value(field, "")

    def draw(self) -> None:
        """Bring buttons and answers up to date."""
        run = self._state.selected
        now = time.time()
        listens = run.status.listens and writable(run)
        for item in (self.snapshot, self.evaluate, self.stop, *(i for pair in self.rates.values() for i in pair)):
            if dpg.is_item_enabled(item) != listens:
                dpg.configure_item(item, enabled=listens)
        dpg.set_value(self._title, f"Commands for {run.name}" if len(self._state.runs) > 1 else "Commands")
        found = settings_in_force(run.view, tuple(SETTINGS))
        rates = "   ".join(f"{label} {found[name]:g}" for name, label in RATES.items() if name in found)
        dpg.set_value(self.now, f"Learning rates   {rates}" if rates else "Learning rates")
        lines = run.commands.lines(now)
        if not listens and not lines:
            why = {"waiting": "has not begun", "stopped": "has stopped", "finished": "has finished"}
            reads = why.get(run.status.state, "cannot be written to")
            lines = [(f"The run {reads}.", False)]
        for index, item in enumerate(self.lines):
            text, bad = lines[index] if index < len(lines) else ("", False)
            dpg.set_value(item, text)
            dpg.configure_item(item, color=theme.RED if bad else theme.DIM, show=bool(text))


class MachinePanel:
    """How busy this machine is."""

    def __init__(self, hardware: Hardware, fonts: theme.Fonts, width: int) -> None:
        self._hardware, self._fonts, self._width = hardware, fonts, width
        self._rows: list[tuple[int, int, int, int]] = []
        heading(fonts, "This machine")
        self._group = dpg.add_group()

    def draw(self) -> None:
        """Bring the bars up to date."""
        meters = self._hardware.meters
        while len(self._rows) < len(meters):
            with dpg.group(parent=self._group) as row:
                with dpg.group(horizontal=True):
                    label = dpg.add_text("")
                    words = dpg.add_text("", color=theme.DIM)
                bar = dpg.add_progress_bar(width=self._width, height=4)
            for item in (label, words):
                self._fonts.use(item, self._fonts.small)
            dpg.bind_item_theme(bar, theme.bar(theme.rgb("6f7d9c")))
            self._rows.append((int(row), int(label), int(words), int(bar)))
        for index, (row, label, words, bar) in enumerate(self._rows):
            dpg.configure_item(row, show=index < len(meters))
            if index < len(meters):
                dpg.set_value(label, meters[index].label)
                dpg.set_value(words, meters[index].words)
                dpg.set_value(bar, meters[index].share)


def _dialog() -> int:
    with dpg.theme() as made, dpg.theme_component(dpg.mvAll):
        dpg.add_theme_color(dpg.mvThemeCol_WindowBg, theme.POPUP)
        dpg.add_theme_style(dpg.mvStyleVar_WindowPadding, 18, 16)
        dpg.add_theme_style(dpg.mvStyleVar_WindowBorderSize, 1)
    return int(made)
