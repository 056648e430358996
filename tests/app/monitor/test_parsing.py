"""Reading rows: the fast way gives what JSON gives, and damage is counted and hides nothing."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest

from app.monitor.parsing import Rows, numbers, parse
from tests.app.monitor.runs import evaluate_row, start_row, text, train_row


def table(rows: Rows) -> list[dict[str, float]]:
    """Rows as dictionaries, without what is missing."""
    return [
        {"images": float(rows.x[i]), "time": float(rows.time[i])}
        | {name: float(rows.values[i, j]) for j, name in enumerate(rows.names) if math.isfinite(rows.values[i, j])}
        for i in range(len(rows))
    ]


def test_the_fast_way_gives_what_json_gives() -> None:
    rng = random.Random(1)
    rows = [train_row(320 * i, rng) for i in range(1, 400)]
    for i, row in enumerate(rows):
        if i % 4:
            del row["loss_g"]  # numbers that only some rows have
        if i % 7 == 0:
            row["gradient_d"] = 10.0 ** -rng.randint(5, 30)
        if i % 90 == 0:
            row["gradient_d"] = 10.0 ** rng.randint(17, 30)
        if i % 11 == 0:
            row["gradient_g"] = -1.5e25
        if i % 50 == 0:
            row["loss_d"] = "nan"
    data = text(rows)
    parsed = parse(data)
    assert parsed.damaged == 0
    assert not parsed.events
    for found, row in zip(table(parsed.rows), rows, strict=True):
        wanted = {name: value for name, value in row.items() if isinstance(value, int | float)}
        assert found == pytest.approx(wanted, rel=1e-6)
    lines = data.splitlines(keepends=True)
    assert [data[start:].split(b"\n")[0] + b"\n" for start in parsed.rows.offset] == lines


def test_exponents_without_a_sign_are_read_too() -> None:
    line = b'{"kind": "train", "time": 1.0, "images": %d, "loss": 1e%s}\n'
    assert parse(line % (1, b"-2") + line % (2, b"2")).rows.values[:, 0].tolist() == pytest.approx([0.01, 100.0])


@pytest.mark.parametrize("key", ["r1", "a-b", "p.q", "EMA", "x,y", "deep"])
def test_keys_that_look_like_numbers_do_not_mislead(key: str) -> None:
    value = {"a": 0.25, "b": 4} if key == "deep" else 0.25
    rows = [{"kind": "train", "time": 1.0, "images": i, key: value, "loss": 0.5} for i in range(5)]
    parsed = parse(text(rows))
    name = "deep.a" if key == "deep" else key
    assert parsed.rows.values[:, parsed.rows.names.index(name)].tolist() == [0.25] * 5
    assert parsed.rows.values[:, parsed.rows.names.index("loss")].tolist() == [0.5] * 5


def test_other_rows_are_events_in_their_order() -> None:
    rng = random.Random(0)
    rows = [start_row(), train_row(1, rng), evaluate_row(2, rng), train_row(3, rng), {"kind": "stop", "images": 3}]
    data = text(rows)
    parsed = parse(b"#" * 10 + data, 90)  # (a first line that is no JSON)
    assert parsed.damaged == 1
    assert [event.kind for event in parsed.events] == ["evaluate", "stop"]
    parsed = parse(data, 100)
    assert [event.row for event in parsed.events] == [rows[0], rows[2], rows[4]]
    assert parsed.events[0].offset == 100
    assert parsed.events[1].x == 2
    assert parsed.rows.x.tolist() == [1, 3]


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"{",
        b"[1, 2]",
        b"12.5",
        b"\x00\x00\x00",
        b"\xff\xfe",
        b'{"kind": "train", "time": 1..0, "images": 5, "loss": 1.0}',
        b'{"kind": "train", "time": 1.0, "images": , "loss": 1.0}',
        b'{"kind": "train", "time": 1.0, "images": 5, "lo',
        b"[" * 100_000,
    ],
)
def test_a_damaged_line_is_counted_and_costs_no_other(line: bytes) -> None:
    good = text([{"kind": "train", "time": 1.0, "images": i, "loss": i / 2} for i in (1, 2, 3, 4)]).splitlines()
    data = b"\n".join([*good[:2], line, *good[2:], b'{"torn'])
    parsed = parse(data)
    assert parsed.damaged == 1
    assert parsed.rows.x.tolist() == [1, 2, 3, 4]
    assert parsed.rows.values[:, 0].tolist() == [0.5, 1.0, 1.5, 2.0]


def test_blank_lines_and_nothing_at_all_are_no_damage() -> None:
    assert parse(b"").damaged == parse(b"\n\n \n").damaged == 0
    assert len(parse(b"").rows) == 0


def test_rows_without_images_have_no_place_on_a_curve() -> None:
    data = text([{"kind": "train", "time": 1.0, "loss": 1.0}, {"kind": "train", "time": 1.0, "images": 4, "loss": 2.0}])
    assert parse(data).rows.x.tolist() == [4]
    assert parse(text([{"kind": "train", "time": 1.0, "images": "nan"}])).rows.x.tolist() == []


def test_numbers_within_objects_are_named_by_their_path() -> None:
    row = {"kind": "evaluate", "time": 1.0, "images": 8, "fid": 3, "ok": True, "accuracy": {"sky": 0.5, "a": {"b": 1}}}
    assert numbers(row) == {"fid": 3.0, "accuracy.sky": 0.5, "accuracy.a.b": 1.0}
    assert math.isnan(numbers({"huge": 10**400})["huge"])


def test_numbers_too_large_for_a_curve_are_gaps() -> None:
    line = json.dumps({"kind": "train", "time": 1.0, "images": 1, "grad": 1e300})
    for data in (line, line.replace("1e+300", '"inf"')):
        assert np.isnan(parse(data.encode() + b"\n").rows.values).all()
