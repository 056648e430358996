"""The README's commands: they parse, they stand alone, and the files they name exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from app.cli import build_parser
from app.document.scene import Scene
from app.live.addresses import LIST, addresses

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```(?:sh|bat)\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("glissando")]
IN_DOCS = [
    line
    for page in sorted((ROOT / "docs").glob("*.md"))
    for line in page.read_text(encoding="utf-8").splitlines()
    if line.startswith("glissando ")
]


@pytest.mark.parametrize("line", [*COMMANDS, *IN_DOCS])
def test_every_glissando_command_is_one_the_program_takes(line):
    args = build_parser().parse_args(shlex.split(line)[1:])
    assert callable(args.run)


def test_the_examples_cover_the_program():
    said = " ".join(COMMANDS)
    names = "explore, generate, video, render, import, info, data postcards, train clip, train gan, evaluate postcards"
    for command in [*names.split(", "), "bench engine"]:
        assert f"glissando {command}" in said


def test_the_two_quick_commands_come_first_and_stand_alone():
    quick = [line for line in LINES if ".venv" in line]
    assert quick[0] == "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e . && .venv/bin/glissando"
    assert quick[1] == (
        "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[dev]' && .venv/bin/pytest"
    )
    assert all("venv" in line.split("&&")[0] and line.count("&&") == 2 for line in quick)
    # At most a screenful before the details.
    assert README.splitlines().index("---") <= 26


def test_what_the_commands_rely_on_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"]["glissando"] == "app.cli:main"
    assert set(project["optional-dependencies"]) == {"dev", "features", "formats", "live", "stickers", "tensorboard"}
    pinned = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    }
    wanted = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    for requirement in wanted:
        name = re.match(r"[A-Za-z0-9_.-]+?(?=[<>=]|$)", requirement)[0]
        assert re.sub(r"[-_.]+", "-", name).lower() in pinned, f"{name} is not pinned in constraints.txt"


def test_constraints_are_names_and_versions_only():
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line), line


def test_links_and_pictures_point_at_files():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).is_file(), target


def test_the_osc_addresses_exist():
    lines = re.findall(r"^ +(/glissando/\S+)(?: (\".*?\"|[\d.]+))?", README, re.MULTILINE)
    table = addresses(Scene())
    assert len(lines) == 5
    for path, value in lines:
        if path != LIST:
            table[path].parse((value.strip('"') if value.startswith('"') else float(value),) if value else ())
