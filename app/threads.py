"""How torch's threads on the CPU wait for each other, settled before torch loads; children inherit it."""

from __future__ import annotations

import os

WAIT_POLICY = "OMP_WAIT_POLICY"


def settle_wait_policy(*, alone: bool) -> None:
    """Let threads sleep while they wait, unless the process has the machine to itself (`alone`) or the variable says
    otherwise.

    OpenMP's threads spin by default, which keeps the cores from whatever else wants them, from each other too: beside
    one busy program a picture took fifty times as long.
    """
    if not alone:
        os.environ.setdefault(WAIT_POLICY, "PASSIVE")
