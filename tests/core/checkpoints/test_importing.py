"""Files become checkpoints on disk, once, and whatever goes wrong leaves nothing behind."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from core.cache import cache_folder
from core.checkpoints import CheckpointError, importing, load, read_header
from core.checkpoints.importing import (
    describe_published,
    export_part,
    import_file,
    read_part_header,
)
from core.checkpoints.pickles import Limits, PublishedError
from core.models import registry
from tests.core.checkpoints import published_models as models
from tests.core.checkpoints.lookalikes import dumps, snapshot
from tests.core.checkpoints.published_models import file_of

LIMITS = Limits(memory_bytes=256 * 2**20, seconds=300)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("GLISSANDO_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A conditional StyleGAN2 file."""
    path = tmp_path / "cats and dogs.pkl"
    path.write_bytes(file_of(models.stylegan2_shell(models.stylegan2_model(c_dim=3))))
    return path


def test_an_import_is_a_checkpoint(source: Path, cache: Path) -> None:
    stages = []
    report = import_file(source, limits=LIMITS, progress=lambda stage, done, total: stages.append((stage, done, total)))
    assert report.path.parent == cache / "imports"
    assert report.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (report.kind, report.family, report.size, report.classes) == ("StyleGAN2", "stylegan2", (16, 16), 3)
    assert report.dropped == ("G", "D", "augment_pipe", "training_set_kwargs")
    assert not report.cached
    assert stages[0] == ("hashing", source.stat().st_size, source.stat().st_size)
    assert stages[-1] == ("writing", 1, 1)

    checkpoint = load(report.path)
    assert (checkpoint.header.name, checkpoint.header.text) == ("cats and dogs", None)
    assert checkpoint.header.licence.startswith("unknown")
    model = models.stylegan2_model(c_dim=3)
    again: Any = registry.build("stylegan2", checkpoint.header.config)
    again.load_state_dict(checkpoint.part("generator"))
    z, c = torch.randn(2, model.z_dim), torch.eye(3)[:2]
    assert torch.equal(model(z, c), again(z, c))
    assert report.parameters == sum(p.numel() for p in model.parameters())


def test_a_generator_with_text(tmp_path: Path) -> None:
    path = tmp_path / "text.pkl"
    path.write_bytes(file_of(models.stylegan_t_shell(models.stylegan_t_model(), models.text_tower())))
    checkpoint = load(import_file(path, limits=LIMITS).path)
    assert checkpoint.header.text is not None
    assert checkpoint.header.text["kind"] == "bundled"
    assert checkpoint.part("text")["token_embedding.weight"].shape == (49408, 16)


def test_what_was_imported_is_not_read_again(
    source: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = import_file(source, limits=LIMITS)
    copy = source.rename(tmp_path / "renamed.pkl")
    with monkeypatch.context() as patch:
        patch.setattr(importing, "read_published", None)
        second = import_file(copy)
        out = import_file(copy, tmp_path / "new" / "out.safetensors")
    assert second.cached
    assert second.path == first.path
    assert out.path.read_bytes() == first.path.read_bytes()
    assert sorted(path.name for path in out.path.parent.iterdir()) == ["out.safetensors"]
    # A damaged import is made again.
    first.path.write_bytes(first.path.read_bytes()[:-5])
    third = import_file(copy, limits=LIMITS)
    assert not third.cached
    assert load(third.path).header.name == "renamed"
    assert [path.name for path in (cache / "imports").iterdir()] == [first.path.name]


def test_places_to_write(source: Path, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    for out, message in [
        (tmp_path / "there.safetensors", "there is a file already"),
        (tmp_path, "got a folder"),
        (source / "below.safetensors", "cannot make the folder"),
        (Path("nul\0character"), "cannot write the checkpoint"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            import_file(source, out, limits=LIMITS)
    assert (tmp_path / "there.safetensors").read_bytes() == b"mine"
    assert not cache.exists()
    out = import_file(source, tmp_path / "out.safetensors", limits=LIMITS).path
    assert load(out).header.family == "stylegan2"
    assert not cache.exists()  # one copy is enough
    cache.write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot make the folder"):
        import_file(source, limits=LIMITS)


def test_files_that_cannot_be_imported(source: Path, tmp_path: Path, cache: Path) -> None:
    cut = tmp_path / "cut.pkl"
    cut.write_bytes(source.read_bytes()[:-1000])
    nan = models.stylegan2_model()
    nan.mapping.w_avg.fill_(torch.nan)
    (tmp_path / "nan.pkl").write_bytes(file_of(models.stylegan2_shell(nan)))
    (tmp_path / "foreign.pkl").write_bytes(dumps({"G_ema": {"a": 1}}))
    (tmp_path / "page.pkl").write_bytes(b"<html>no such file</html>")
    for name, message in [
        ("cut.pkl", "."),
        ("nan.pkl", "mapping.w_avg holds values that are not finite"),
        ("foreign.pkl", "expected a module or a dictionary of tensors"),
        ("page.pkl", "a web page"),
        ("absent.pkl", "no such file"),
        (".", "got a folder"),
    ]:
        with pytest.raises(PublishedError, match=message) as caught:
            import_file(tmp_path / name, limits=LIMITS)
        assert str(caught.value).startswith(str(tmp_path))
        assert "\n" not in str(caught.value)
    assert not cache.exists() or not list(cache.rglob("*.*"))


def test_the_discriminator_as_plain_tensors(tmp_path: Path) -> None:
    critic = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)).half()
    path, out = tmp_path / "model.pkl", tmp_path / "d.safetensors"
    path.write_bytes(dumps(snapshot(nn.Linear(1, 1)) | {"D": critic}))
    header = export_part(path, "D", out, limits=LIMITS)
    assert (header["part"], header["tensors"], header["parameters"]) == ("D", 4, 11)
    tensors = safetensors.torch.load_file(out)
    assert tensors.keys() == critic.state_dict().keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in critic.state_dict().items())
    assert read_part_header(out) == header
    assert read_part_header(path) is None
    with pytest.raises(CheckpointError, match="not one of Glissando's"):
        read_header(out)
    with pytest.raises(CheckpointError, match="there is a file already"):
        export_part(path, "D", out, limits=LIMITS)
    export_part(path, "D", out, overwrite=True, limits=LIMITS)


def test_descriptions(source: Path, tmp_path: Path, cache: Path) -> None:
    values = describe_published(source, limits=LIMITS)
    assert (values["kind"], values["size"], values["classes"]) == ("StyleGAN2", "16x16", 3)
    assert values["parts"] == ["synthesis", "mapping"]
    (tmp_path / "other.pkl").write_bytes(dumps(snapshot(nn.Linear(2, 2))))
    assert "expected a generator of" in describe_published(tmp_path / "other.pkl", limits=LIMITS)["import"]
    assert not cache.exists()


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("GLISSANDO_CACHE_DIR")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    places = {
        "linux": tmp_path / "xdg" / "glissando",
        "darwin": tmp_path / "Library" / "Caches" / "glissando",
        "win32": tmp_path / "local" / "glissando" / "Cache",
    }
    for platform, place in places.items():
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_folder() == place
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "glissando"
