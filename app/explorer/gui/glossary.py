"""Definitions of technical terms, shared by tooltips and the list of shortcuts."""

from __future__ import annotations

from app.document.controls import control

PSI = control("psi").help
CUTOFF = control("cutoff").help
W = "The style that every layer draws with: the mapping network makes it from the seed, with the prompt or the class."

WORDS: tuple[tuple[str, str], ...] = (("psi", PSI), ("cutoff", CUTOFF), ("w", W))
