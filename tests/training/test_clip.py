"""The small CLIP: its short way equals open_clip's own, it learns, it resumes exactly, bad input gets a clear error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.perception.clip import FILE_NAME, METADATA_KEY, ClipHeader, save_clip
from core.perception.clip_towers import build_clip, embed_patches, encode_tokens, image_embedding, run_blocks
from core.runlog import read_log
from training.clip import ClipConfig, ClipError, ClipModel, clip_recipe, load_clip, train_clip
from training.clip import data as clip_data
from training.clip import train as clip_train
from training.datasets.folder import load_folder

CONFIG = ClipConfig(
    image_size=16,
    patch_size=4,
    vision_width=32,
    vision_layers=2,
    head_width=16,
    text_width=32,
    text_layers=1,
    context_length=12,
    embed_dim=16,
    batch=8,
    steps=8,
    warmup=2,
    whole_from=0.75,
    held_out=0.1,
    evaluate_every=4,
    save_every_s=0,
)
COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (40, 50, 220), "white": (240, 240, 240)}


def write_pictures(root: Path, count: int) -> Path:
    root.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        name = list(COLOURS)[index % 4]
        pixels = np.clip(np.array(COLOURS[name]) + rng.normal(0, 12, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{index:03d}.png")
        (root / f"{index:03d}.txt").write_text(f"a {name} picture\nsomething {name} to look at\n")
    return root


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLISSANDO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "data", 40)


@pytest.fixture(scope="module")
def clip() -> Any:
    torch.manual_seed(0)
    model = build_clip(CONFIG.embed_dim, CONFIG.vision_cfg(), CONFIG.text_cfg())
    with torch.no_grad():
        for (
            parameter
        ) in model.parameters():  # biases and positions are zero or tiny at first, which would hide mistakes
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture
def frozen(clip: Any) -> ClipModel:
    header = ClipHeader(embed_dim=CONFIG.embed_dim, vision_cfg=CONFIG.vision_cfg(), text_cfg=CONFIG.text_cfg())
    copy = build_clip(CONFIG.embed_dim, CONFIG.vision_cfg(), CONFIG.text_cfg())
    copy.load_state_dict(clip.state_dict())
    return ClipModel(copy, header)


def gradients(module: Any, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*module.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {name: g for name, g in zip(names, found, strict=True) if g is not None}


# --- the short way and open_clip's own -----------------------------------------------------------------------------


def test_the_image_tower_equals_open_clip_gradients_included(clip: Any) -> None:
    x = torch.randn(3, 3, 16, 16, requires_grad=True)
    weights = torch.randn(3, CONFIG.embed_dim)
    plain = clip.encode_image(x, normalize=True)
    tokens, _ = run_blocks(clip.visual.transformer.resblocks, embed_patches(clip.visual, x))
    fast = image_embedding(clip.visual, tokens)
    torch.testing.assert_close(fast, plain)
    torch.testing.assert_close(
        *(torch.autograd.grad((y * weights).sum(), x, retain_graph=True)[0] for y in (fast, plain))
    )
    expected, got = gradients(clip.visual, (plain * weights).sum()), gradients(clip.visual, (fast * weights).sum())
    assert expected.keys() == got.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_the_text_tower_equals_open_clip_gradients_included(clip: Any) -> None:
    tokens = SimpleTokenizer(context_length=12)(
        ["a red picture", "", "one two three four five six seven eight nine ten"]
    )
    assert tokens[2, -1] != 0  # the last one fills the context
    weights = torch.randn(3, CONFIG.embed_dim)
    plain, fast = clip.encode_text(tokens, normalize=True), encode_tokens(clip.text, tokens)
    torch.testing.assert_close(fast, plain)
    torch.testing.assert_close(encode_tokens(clip.text, tokens[:2]), plain[:2])  # cut to a shorter longest caption
    expected, got = gradients(clip.text, (plain * weights).sum()), gradients(clip.text, (fast * weights).sum())
    assert expected.keys() == got.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_left_out_patches_leave_the_others_as_they_are(clip: Any) -> None:
    x = torch.randn(2, 3, 16, 16)
    keep = torch.tensor([[0, 5, 15], [3, 2, 9]])
    whole, part = embed_patches(clip.visual, x), embed_patches(clip.visual, x, keep)
    torch.testing.assert_close(part[:, 0], whole[:, 0])
    for row in range(2):
        torch.testing.assert_close(part[row, 1:], whole[row, 1 + keep[row]])


def test_patches_to_keep_are_distinct_and_as_many_as_asked() -> None:
    rng = np.random.default_rng(0)
    keep = clip_data.keep_patches(50, 16, 0.5, rng)
    assert keep is not None
    assert keep.shape == (50, 8)
    assert all(len(set(row)) == 8 for row in keep.tolist())
    assert len({tuple(sorted(row)) for row in keep.tolist()}) > 10
    assert clip_data.keep_patches(50, 16, 0.0, rng) is None


# --- the model at work ---------------------------------------------------------------------------------------------


def test_taps_are_the_blocks_outputs_with_the_class_token_added(frozen: ClipModel) -> None:
    x = torch.randn(2, 3, 16, 16)
    features = frozen.features(x)
    assert frozen.tap_blocks == (0, 1, 2)
    assert frozen.tap_channels == (32, 32, 32)
    visual = frozen.clip.visual
    expected = [visual._embeds(x)]
    for block in visual.transformer.resblocks:
        expected.append(block(expected[-1]))
    for tap, tokens in zip(features.taps, expected, strict=True):
        assert tap.shape == (2, 32, 16)
        torch.testing.assert_close(tap, (tokens[:, 1:] + tokens[:, :1]).transpose(1, 2))
    torch.testing.assert_close(features.embedding, frozen.encode_image(x))
    torch.testing.assert_close(features.embedding, frozen.clip.encode_image(x, normalize=True))
    torch.testing.assert_close(frozen.taps(x)[1], features.taps[1])


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (64, 64), (20, 24), (12, 40)])
def test_pictures_of_any_size_pass_gradients_back_and_weights_stay_frozen(
    frozen: ClipModel, size: tuple[int, int]
) -> None:
    frozen.train()
    assert not frozen.training
    x = torch.randn(2, 3, *size, requires_grad=True)
    features = frozen(x)
    assert features.embedding is not None
    (features.embedding[:, 0].sum() + sum(tap.square().mean() for tap in features.taps)).backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert (x.grad != 0).float().mean() > 0.9
    assert all(p.grad is None and not p.requires_grad for p in frozen.parameters())


def test_a_picture_enlarged_by_whole_pixels_gives_the_same_embedding(frozen: ClipModel) -> None:
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(
        frozen.encode_image(x.repeat_interleave(4, 2).repeat_interleave(4, 3)), frozen.encode_image(x)
    )


def test_it_runs_under_bfloat16_autocast(frozen: ClipModel) -> None:
    x = torch.randn(2, 3, 16, 16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        features = frozen.features(x)
        assert features.embedding is not None
        loss = features.embedding.float().sum() + sum(tap.float().mean() for tap in features.taps)
    loss.backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    torch.testing.assert_close(features.embedding.float(), frozen.encode_image(x), atol=0.05, rtol=0.05)


def test_prompts_become_unit_vectors_whatever_they_say(frozen: ClipModel) -> None:
    prompts = ["a red picture", "", "雪山 🌄", "word " * 2000]
    text = frozen.encode_text(prompts)
    assert text.shape == (4, CONFIG.embed_dim)
    torch.testing.assert_close(text.norm(dim=1), torch.ones(4))
    tokens = SimpleTokenizer(context_length=12)(prompts)
    torch.testing.assert_close(text, frozen.clip.encode_text(tokens, normalize=True))
    assert frozen.encode_text([]).shape == (0, CONFIG.embed_dim)


# --- training ------------------------------------------------------------------------------------------------------


def test_it_learns_to_tell_colours_apart(data: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, steps=40, batch=16, save_every_s=600, learning_rate=3e-3, evaluate_every=20)
    path = train_clip(config, data, tmp_path / "run", progress=False)
    model = load_clip(path)
    images = torch.stack([torch.tensor(c).view(3, 1, 1).expand(3, 16, 16) / 127.5 - 1 for c in COLOURS.values()])
    similarity = model.encode_image(images) @ model.encode_text([f"a {name} picture" for name in COLOURS]).T
    assert similarity.argmax(dim=1).tolist() == [0, 1, 2, 3]
    assert similarity.argmax(dim=0).tolist() == [0, 1, 2, 3]
    losses = [row["loss"] for row in read_log(tmp_path / "run" / "log.jsonl", "step")]
    assert losses[-1] < losses[0]
    assert model.header.images_seen == 40 * 16
    # 4 held-out pictures, one of each colour.
    assert model.header.figures["picture_to_caption"] == 1.0
    assert [row["step"] for row in read_log(tmp_path / "run" / "log.jsonl", "retrieval")] == [20, 40]


def test_words_never_seen_have_zero_rows_and_count_as_one_unknown_word(data: Path, tmp_path: Path) -> None:
    model = load_clip(train_clip(CONFIG, data, tmp_path / "run", progress=False))
    table = model.clip.text.token_embedding.weight
    tokenizer = SimpleTokenizer(context_length=12)
    seen = {
        int(t)
        for name in COLOURS
        for text in (f"a {name} picture", f"something {name} to look at")
        for t in tokenizer(text)[0]
    }
    assert set(torch.nonzero(table.abs().sum(dim=1)).flatten().tolist()) == seen
    texts = model.encode_text(["a majestic red picture", "a quaint red picture", "a red picture", "a blue picture"])
    torch.testing.assert_close(texts[0], texts[1])
    assert not torch.allclose(texts[2], texts[3])


def test_an_unknown_word_is_slipped_in_between_the_marks() -> None:
    tokens = SimpleTokenizer(context_length=8)(["a red picture", "one two three four five six seven"]).numpy()
    rng = np.random.default_rng(0)
    places = set()
    for _ in range(60):
        result = clip_data.slip_in_unknown(tokens, 1.0, 9, rng)
        np.testing.assert_array_equal(result[1], tokens[1])  # no room
        at = int(np.flatnonzero(result[0] == 9)[0])
        np.testing.assert_array_equal(np.delete(result[0], at), tokens[0, :-1])
        places.add(at)
    assert places == {1, 2, 3, 4}
    np.testing.assert_array_equal(clip_data.slip_in_unknown(tokens, 0.0, 9, rng), tokens)


def test_augmentation_moves_and_tints_but_keeps_the_picture() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 16, 16), dtype=np.uint8)
    rng = np.random.default_rng(1)
    still = replace(CONFIG, shift=0.0, colour=0.0, coarse=0.0)
    torch.testing.assert_close(clip_data.augment(images, still, rng), torch.from_numpy(images).float() / 127.5 - 1)
    moved = clip_data.augment(images, replace(still, shift=2 / 16), rng)
    for picture, original in zip(moved, clip_data.to_float(images), strict=True):
        inner = picture[:, 4:12, 4:12]
        assert any(
            torch.equal(inner, original[:, 4 + y : 12 + y, 4 + x : 12 + x]) for y in range(-2, 3) for x in range(-2, 3)
        )
    coarse = clip_data.augment(images, replace(still, coarse=1.0), rng)
    blocks = (coarse - clip_data.to_float(images)).abs().mean()
    assert 0.05 < blocks < 0.6


def test_a_drawn_caption_belongs_to_its_picture(data: Path) -> None:
    dataset = load_folder(data, 16, progress=False)
    table = clip_data.CaptionTable(dataset.captions, 12)
    tokenizer = SimpleTokenizer(context_length=12)
    own = [{tuple(tokenizer(text)[0].tolist()) for text in texts} for texts in dataset.captions]
    rows = np.array([0, 7, 7, 39])
    drawn = [{tuple(row)} for _ in range(20) for row in table.draw(rows, np.random.default_rng(_)).tolist()]
    for index, picked in enumerate(drawn):
        assert picked <= own[rows[index % 4]]
    assert set.union(*drawn[1::4]) == own[7]


def tensors(run: Path) -> dict[str, Tensor]:
    return dict(load_file(run / FILE_NAME))


def assert_equal_runs(one: Path, other: Path) -> None:
    expected, got = tensors(one), tensors(other)
    assert expected.keys() == got.keys()
    assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())
    assert load_clip(one).header == load_clip(other).header


def test_a_run_stopped_by_ctrl_c_and_resumed_equals_an_uninterrupted_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train_clip(CONFIG, data, tmp_path / "whole", progress=False)
    step = clip_train.ClipRun.train_step

    def interrupted(run: clip_train.ClipRun) -> Tensor:
        if run.step == 4:
            signal.raise_signal(signal.SIGINT)
        return step(run)

    monkeypatch.setattr(clip_train.ClipRun, "train_step", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as stopped:
        train_clip(replace(CONFIG, save_every_s=600), data, tmp_path / "run", progress=False)
    assert stopped.value.code == 130
    assert "Stopped at step 5 of 8" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.setattr(clip_train.ClipRun, "train_step", step)
    train_clip(CONFIG, data, tmp_path / "run", resume=True, progress=False)
    assert_equal_runs(tmp_path / "whole", tmp_path / "run")


def test_a_run_killed_and_resumed_equals_an_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, steps=60, save_every_s=600)
    run = tmp_path / "run"
    code = (
        "from pathlib import Path; from training.clip import ClipConfig, train_clip;"
        f"train_clip({replace(config, save_every_s=0)!r}, Path({str(data)!r}), Path({str(run)!r}), progress=False)"
    )
    # Sums over another number of threads may differ in their last bits.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2], env=environment) as process:
        try:
            while not (run / "log.jsonl").is_file() or len(read_log(run / "log.jsonl", "save")) < 2:
                assert process.poll() is None
                time.sleep(0.005)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    assert 2 <= len(read_log(run / "log.jsonl", "save")) < 60
    train_clip(config, data, run, resume=True, progress=False)
    train_clip(config, data, tmp_path / "whole", progress=False)
    assert_equal_runs(tmp_path / "whole", run)


def test_a_folder_with_a_run_is_not_overwritten_and_a_resumed_run_must_be_the_same(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(ClipError, match="no run to resume"):
        train_clip(CONFIG, data, run, resume=True, progress=False)
    train_clip(replace(CONFIG, steps=1), data, run, progress=False)
    with pytest.raises(ClipError, match="already holds a CLIP run"):
        train_clip(CONFIG, data, run, progress=False)
    with pytest.raises(ClipError, match="the saved run has steps 1; now asked for steps 8"):
        train_clip(CONFIG, data, run, resume=True, progress=False)
    (data / "000.txt").write_text("a new caption for an old picture")
    with pytest.raises(ClipError, match="have changed since"):
        train_clip(replace(CONFIG, steps=1), data, run, resume=True, progress=False)
    (run / "state.pt").write_bytes(b"nothing that was ever saved")
    with pytest.raises(ClipError, match="cannot be read"):
        train_clip(replace(CONFIG, steps=1), data, run, resume=True, progress=False)


def test_a_save_that_fails_leaves_the_old_file(
    frozen: ClipModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / FILE_NAME
    save_clip(path, frozen.clip, frozen.header)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_clip(path, frozen.clip, frozen.header)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [FILE_NAME]


# --- files and settings that cannot be used --------------------------------------------------------------------------


def test_files_that_are_no_clip_are_one_clear_error_each(frozen: ClipModel, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="no such file"):
        load_clip(tmp_path)
    with pytest.raises(ClipError, match="no such file"):
        load_clip(tmp_path / "missing.safetensors")
    path = tmp_path / FILE_NAME
    save_clip(path, frozen.clip, frozen.header)
    torch.testing.assert_close(load_clip(tmp_path).encode_text(["a"]), frozen.encode_text(["a"]))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ClipError, match="cannot be read"):
        load_clip(path)
    path.write_bytes(b"something else")
    with pytest.raises(ClipError, match="cannot be read"):
        load_clip(path)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ClipError, match="not a CLIP of ours"):
        load_clip(path)
    save_clip(path, frozen.clip, replace(frozen.header, format_version=99))
    with pytest.raises(ClipError, match="format version 1, got 99; update"):
        load_clip(path)
    save_file({"weight": torch.zeros(2)}, path, {METADATA_KEY: "[1]"})
    with pytest.raises(ClipError, match="cannot be read"):
        load_clip(path)
    wrong = replace(frozen.header, embed_dim=8)
    save_clip(path, frozen.clip, wrong)
    with pytest.raises(ClipError, match="do not fit"):
        load_clip(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps: expected 1 or more, got 0"),
        ({"patch_size": 5}, "image_size: expected a multiple of patch_size 5, got 64"),
        ({"text_width": 100}, "text_width: expected a multiple of head_width 64, got 100"),
        ({"patch_dropout": 1.0}, "patch_dropout: expected a share"),
        ({"coarse": 1.5}, "coarse: expected a share"),
        ({"learning_rate": 0.0}, "learning_rate: expected more than 0"),
        ({"learning_rate": float("nan")}, "learning_rate: expected more than 0"),
        ({"seed": -1}, "seed: expected 0 or more"),
        ({"context_length": 2}, "context_length: expected 3 or more"),
    ],
)
def test_settings_out_of_range_say_what_was_expected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipConfig(**change)


def test_recipes_have_names() -> None:
    assert clip_recipe("postcards").image_size == 64
    assert clip_recipe("tiny").image_size == 32
    with pytest.raises(ValueError, match="one of postcards, tiny, got 'huge'"):
        clip_recipe("huge")


@pytest.mark.parametrize("name", ["postcards", "tiny"])
def test_each_recipe_trains_two_steps(name: str, data: Path, tmp_path: Path) -> None:
    config = replace(clip_recipe(name), steps=2, batch=4)
    model = load_clip(train_clip(config, data, tmp_path / "run", progress=False))
    assert model.image_size == config.image_size
    assert all(torch.isfinite(p).all() for p in model.parameters())
