"""One minute of the soak in a real window."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_minute_of_random_actions_finds_nothing(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "app.cli", "soak", "--minutes", "1", "--seed", "1"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "found nothing" in done.stdout
