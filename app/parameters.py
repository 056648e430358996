"""Reads the text that AUTOMATIC1111's web UI and its relatives keep in a PNG under "parameters".

a cat, masterpiece
Negative prompt: blurry
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1234, Size: 512x512, Model hash: 6ce0161689, Model: v1-5
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from core.request import SEED_LIMIT, SEEDS_PER_ROW

# "Key: value", the value in JSON's quotes or up to the next comma; as the web UI itself reads it.
_PAIR = re.compile(r'\s*(\w[\w \-/]*):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
# Fewer pairs than these are the prompt's own words.
_FEWEST_PAIRS = 3
_NEGATIVE = "Negative prompt:"


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What of it means something to a one-pass generator."""

    prompt: str
    seed: int | None = None
    """0 to 2**32 - 1; larger ones, which other programs have, are taken modulo 2**32."""
    seed_x: float | None = None
    seed_y: float | None = None
    """A place between seeds, which only Glissando writes."""
    psi: float | None = None

    @property
    def place(self) -> tuple[float, float] | None:
        """Where on the seed plane, if it is said."""
        if self.seed_x is not None and self.seed_y is not None:
            return self.seed_x, self.seed_y
        if self.seed is None:
            return None
        return float(self.seed % SEEDS_PER_ROW), float(self.seed // SEEDS_PER_ROW)


def read_parameters(text: str) -> Parameters:
    """The prompt and the seed; the negative prompt, size, steps and sampler have no meaning here. Never raises."""
    *lines, last = text.strip("\n").split("\n")
    pairs = {key.strip().lower(): _unquoted(value.strip()) for key, value in _PAIR.findall(last)}
    if len(pairs) < _FEWEST_PAIRS:
        lines.append(last)
        pairs = {}
    prompt = []
    for line in lines:
        if line.strip().startswith(_NEGATIVE):
            break  # it runs to the end, over several lines if need be
        prompt.append(line)
    seed = pairs.get("seed", "")
    return Parameters(
        prompt="\n".join(prompt).strip(),
        seed=int(seed) % SEED_LIMIT if re.fullmatch(r"-?\d{1,30}", seed) else None,
        seed_x=_number(pairs.get("seed x")),
        seed_y=_number(pairs.get("seed y")),
        psi=_number(pairs.get("psi")),
    )


def _unquoted(value: str) -> str:
    if value[:1] != '"':
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"-?\d{1,12}(\.\d{1,12})?", text) else None
