"""What the field's words mean, a sentence each; tooltips and the list of shortcuts say them alike."""

from __future__ import annotations

PSI = "Truncation: 0 is the most typical picture, 1 the model's full variety, above 1 it exaggerates."
CUTOFF = "How many layers, from the coarsest on, truncation acts on; the finer ones keep their variety."
W = "The style that every layer draws with: the mapping network makes it from the seed, with the prompt or the class."

WORDS: tuple[tuple[str, str], ...] = (("psi", PSI), ("cutoff", CUTOFF), ("w", W))
