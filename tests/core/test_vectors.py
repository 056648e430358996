from __future__ import annotations

import io
import json
import random
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import vectors as vectors_module
from core.vectors import Vector, VectorError, free_name, load_vectors, merged, save_vectors

SHA = "0123456789abcdef" * 4


def some() -> tuple[Vector, ...]:
    rng = np.random.default_rng(0)
    return (
        Vector(
            name="snowy – green", kind="direction", values=rng.normal(size=6), note="a\nb", first=1, stop=4, scale=2
        ),
        Vector(name="my place", kind="latent", values=rng.normal(size=(3, 6))),
    )


def same(a: Vector, b: Vector) -> bool:
    fields = ("name", "kind", "note", "first", "stop", "scale", "id")
    return all(getattr(a, f) == getattr(b, f) for f in fields) and np.array_equal(a.values, b.values)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "mine.npz"
    save_vectors(path, some(), SHA)
    found = load_vectors(path)
    assert found.checkpoint == SHA
    assert len(found.vectors) == 2
    assert all(same(a, b) for a, b in zip(found.vectors, some(), strict=True))
    assert [entry.name for entry in path.parent.iterdir()] == ["mine.npz"]
    # Anybody's numpy reads it, without pickles.
    with np.load(path, allow_pickle=False) as archive:
        assert np.array_equal(archive["v1"], some()[1].values)
        assert json.loads(str(archive["about"]))["vectors"][0]["scale"] == 2
    save_vectors(path, (), SHA)
    assert load_vectors(path).vectors == ()


def test_compressed_files_are_read(tmp_path: Path) -> None:
    save_vectors(tmp_path / "a.npz", some(), SHA)
    with np.load(tmp_path / "a.npz") as archive:
        np.savez_compressed(tmp_path / "b.npz", **dict(archive))
    assert [v.id for v in load_vectors(tmp_path / "b.npz").vectors] == [v.id for v in some()]


def test_ids_tell_values_apart() -> None:
    a, b = some()
    name, digest = a.id.split("@")
    assert name == a.name
    assert len(digest) == 12
    assert digest == replace(a, name="other", note="", scale=1.0).digest
    changed = a.values.copy()
    changed[3] = np.nextafter(changed[3], np.float32(np.inf))
    assert replace(a, values=changed).digest != digest
    # The shape counts, not the bytes alone.
    assert replace(b, values=b.values.reshape(2, 9)).digest != b.digest
    assert a.fits(3, 6)
    assert b.fits(3, 6)
    assert not b.fits(4, 6)


def test_a_vector_cannot_be_changed() -> None:
    values = np.ones(4, dtype=np.float32)
    vector = Vector(name="a", kind="latent", values=values)
    values[0] = 5
    assert vector.values[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        vector.values[0] = 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "1 to 80 characters"),
        ({"name": "a@b"}, 'without "@"'),
        ({"name": "a\nb"}, "can be shown"),
        ({"name": "x" * 81}, "1 to 80"),
        ({"kind": "step"}, "direction or latent"),
        ({"values": np.zeros((2, 3, 4))}, r"\[2, 3, 4\]"),
        ({"values": np.zeros(0)}, r"expected \[W\]"),
        ({"values": np.zeros((65, 2))}, "at most 64 layers"),
        ({"values": np.array([1, np.inf])}, "not finite"),
        ({"values": np.array([1e39])}, "not finite"),
        ({"first": 3, "stop": 3}, "first < stop"),
        ({"stop": 65}, "first < stop"),
        ({"scale": 0.0}, "scale: expected a number above 0"),
        ({"scale": float("nan")}, "scale"),
        ({"note": "x" * 2001}, "note"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_what_cannot_be_a_vector(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(VectorError, match=message):
        Vector(**({"name": "a", "kind": "direction", "values": np.ones(3)} | fields))


def test_merging_loses_nothing() -> None:
    a, b = some()
    other = replace(b, name=a.name)
    noted = replace(a, note="new")
    changed = replace(b, name=a.name, values=b.values + 1)
    result = merged((a, b), (noted, other, changed))
    assert [v.name for v in result] == [a.name, "my place", f"{a.name} (2)"]
    assert result[0].note == a.note
    assert result[2].digest == changed.digest
    assert free_name("a", ["a", "a (2)"]) == "a (3)"
    assert len(free_name("x" * 80, ["x" * 80])) == 80


# Files that are not to be trusted


def about(**changes: Any) -> dict[str, Any]:
    entry = {"name": "a", "kind": "direction", "note": "", "first": 0, "stop": 64, "scale": 1.0}
    return {"format": "glissando vectors", "version": 1, "checkpoint": SHA, "vectors": [entry]} | changes


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def text(value: Any) -> bytes:
    return npy(np.array(value if isinstance(value, str) else json.dumps(value)))


def write(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


GOOD = npy(np.ones(3, dtype="<f4"))


class Bomb:
    def __reduce__(self) -> Any:
        raise AssertionError("pickled")


HOSTILE: dict[str, tuple[dict[str, bytes], str]] = {
    "nothing": ({}, "expected about"),
    "no about": ({"v0.npy": GOOD}, "expected about"),
    "strangers": ({"about.npy": text(about()), "v0.npy": GOOD, "../x.npy": GOOD}, "expected about"),
    "pickled values": ({"about.npy": text(about()), "v0.npy": npy(np.array([{}], dtype=object))}, "plain arrays"),
    "pickled about": ({"about.npy": npy(np.array({}, dtype=object)), "v0.npy": GOOD}, "plain arrays"),
    "about in bytes": ({"about.npy": npy(np.array(b"{}")), "v0.npy": GOOD}, "plain arrays"),
    "doubles": ({"about.npy": text(about()), "v0.npy": npy(np.ones(3))}, "plain arrays"),
    "text for numbers": ({"about.npy": text(about()), "v0.npy": text("abc")}, "another array"),
    "big endian": ({"about.npy": text(about()), "v0.npy": npy(np.ones(3, dtype=">f4"))}, "plain arrays"),
    "not finite": ({"about.npy": text(about()), "v0.npy": npy(np.full(3, np.nan, dtype="<f4"))}, "not finite"),
    "a number": ({"about.npy": text(about()), "v0.npy": npy(np.float32(1))}, "another array"),
    "a cube": ({"about.npy": text(about()), "v0.npy": npy(np.ones((2, 2, 2), dtype="<f4"))}, "another array"),
    "too short": ({"about.npy": text(about()), "v0.npy": GOOD[:-1]}, "another array"),
    "too long": ({"about.npy": text(about()), "v0.npy": GOOD + b"x"}, "another array"),
    "claims terabytes": (
        {"about.npy": text(about()), "v0.npy": GOOD.replace(b"(3,)", b"(3000000000000,)").replace(b" " * 12, b"", 1)},
        "another array",
    ),
    "no header": ({"about.npy": text(about()), "v0.npy": GOOD[:20]}, "plain arrays"),
    "empty member": ({"about.npy": text(about()), "v0.npy": b""}, "format 1.0"),
    "no JSON": ({"about.npy": text("{"), "v0.npy": GOOD}, "npz file of directions or latents"),
    "a deep JSON": ({"about.npy": text("[" * 100_000), "v0.npy": GOOD}, "nested too deeply"),
    "a list": ({"about.npy": text([]), "v0.npy": GOOD}, "expected a JSON object"),
    "other format": ({"about.npy": text(about(format="x")), "v0.npy": GOOD}, "format: expected 'glissando vectors'"),
    "newer": ({"about.npy": text(about(version=2)), "v0.npy": GOOD}, "update Glissando"),
    "bad hash": ({"about.npy": text(about(checkpoint="abc")), "v0.npy": GOOD}, "SHA-256"),
    "fewer described": ({"about.npy": text(about(vectors=[])), "v0.npy": GOOD}, "describes 0 vectors and holds 1"),
    "unknown field": ({"about.npy": text(about(more=1)), "v0.npy": GOOD}, "unknown field 'more'"),
    "bad name": ({"about.npy": text(about(vectors=[{"name": "a@b", "kind": "latent"}])), "v0.npy": GOOD}, "without"),
    "bad kind": ({"about.npy": text(about(vectors=[{"name": "a", "kind": "x"}])), "v0.npy": GOOD}, "direction, latent"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files(case: str, tmp_path: Path) -> None:
    members, message = HOSTILE[case]
    path = write(tmp_path / "x.npz", members)
    with pytest.raises(VectorError, match=message) as caught:
        load_vectors(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_bombs_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("about.npy", text(about()))
        archive.writestr("v0.npy", b"\0" * (vectors_module.MOST_BYTES + 1))
    assert path.stat().st_size < 2**20
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(VectorError, match="unpacks to 256 MB, expected at most 256"):
        load_vectors(path)
    many = write(tmp_path / "many.npz", {"about.npy": b""} | {f"v{i}.npy": b"" for i in range(1001)})
    with pytest.raises(VectorError, match="at most 1000 vectors, it has 1001"):
        load_vectors(many)


def test_a_directory_that_lies_about_sizes(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("about.npy", text(about()))
        archive.writestr("v0.npy", GOOD + b"\0" * 2**20)
    # The directory says less than the data hold: no more than it says is unpacked, and then the checksum is wrong.
    size = (len(GOOD) + 2**20).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, len(GOOD).to_bytes(4, "little")))
    with pytest.raises(VectorError, match="npz file"):
        load_vectors(path)


def test_encrypted_and_strangely_compressed(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "x.npz", {"about.npy": text(about()), "v0.npy": GOOD}).read_bytes())
    for offset, value in ((8, 1), (10, 99)):  # of a directory entry: flags, compression
        damaged = data.copy()
        start = damaged.find(b"PK\x01\x02")
        while start >= 0:
            damaged[start + offset] = value
            start = damaged.find(b"PK\x01\x02", start + 1)
        (tmp_path / "y.npz").write_bytes(damaged)
        with pytest.raises(VectorError, match="npz file"):
            load_vectors(tmp_path / "y.npz")


def test_files_that_are_not_there_or_something_else(tmp_path: Path) -> None:
    for name, content in (("empty.npz", b""), ("text.npz", b"hello" * 100), ("one.npz", GOOD)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VectorError, match="expected a .npz file of directions or latents, got something else"):
            load_vectors(tmp_path / name)
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(VectorError, match="cannot read it"):
            load_vectors(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_random_damage_is_one_kind_of_error(tmp_path: Path) -> None:
    save_vectors(tmp_path / "good.npz", some(), SHA)
    good = (tmp_path / "good.npz").read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(600):
        data = bytearray(good)
        for _ in range(rng.choice((1, 1, 2, 8))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            data = data[: rng.randrange(len(data))]
        (tmp_path / "x.npz").write_bytes(data)
        try:
            found = load_vectors(tmp_path / "x.npz")
        except VectorError:
            refused += 1
        else:
            assert all(np.isfinite(vector.values).all() for vector in found.vectors)
    assert refused > 400


def test_writing_fails_in_one_line_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.npz"
    save_vectors(path, some(), SHA)
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(VectorError, match=r"mine.npz: cannot write it: No space left"):
        save_vectors(path, (), SHA)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.npz"]
    with pytest.raises(VectorError, match="SHA-256"):
        save_vectors(path, (), "abc")
    with pytest.raises(VectorError, match="cannot write it"):
        save_vectors(path / "inside.npz", (), SHA)
