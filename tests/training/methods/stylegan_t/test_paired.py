"""A run that begins by regression on data with latents: it learns, resumes, and hands over to the adversary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from core.checkpoints import native
from core.engine import Engine, load_generator
from core.latents import seed_to_z
from core.models.layers import upsample
from core.perception.timm_vit import TimmViT
from core.request import RenderRequest, SynthesisOptions
from core.runlog import read_log
from core.text.sentence import SentenceEncoder
from tests.training.small import SMALL, opened, same, state_of, train, write_clip, write_data
from training.datasets.folder import load_folder
from training.engine.protocol import Compute
from training.errors import RunError
from training.methods.stylegan_t.config import MINILM
from training.methods.stylegan_t.method import StyleGANT
from training.methods.stylegan_t.sentence import SentenceConditioning
from training.runs.run import resume

PAIRED = replace(
    SMALL,
    choices=(0, 1),
    style_dim=16,
    input_maps=4,
    pairs=False,
    diversity=0.0,
    paired=2.0,
    paired_kimg=0.008,
    paired_features=0.0,
    adversarial=0.05,
    save_kimg=0.004,
    kimg=0.016,
)
"""Two steps of regression, then two beside the adversary."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose brightness is their latent's first number."""
    folder = tmp_path_factory.mktemp("paired")
    rng = np.random.default_rng(0)
    z = rng.standard_normal((16, 16)).astype(np.float32)
    for index in range(16):
        value = int(np.clip(128 + 60 * z[index, 0], 0, 255))
        Image.fromarray(np.full((16, 16, 3), value, np.uint8)).save(folder / f"{index:02d}.png")
        (folder / f"{index:02d}.txt").write_text("a grey square\n", encoding="utf-8")
    np.save(folder / "latents.npy", z)
    return folder


def test_the_warm_up_lowers_its_loss(data: Path, clip: Path) -> None:
    config = replace(PAIRED, paired_kimg=1.0, paired_rate=0.01)
    trainer, method = opened(config, data, clip)
    losses = [float(trainer.step()["paired"]) for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert not any(parameter.grad is not None for parameter in method.discriminator.parameters())
    trainer.prefetcher.close()


def test_the_adversary_comes_after_the_warm_up_and_the_regression_stays(data: Path, clip: Path, tmp_path: Path) -> None:
    train(PAIRED, data, clip, tmp_path / "run")
    lines = [line for line in read_log(tmp_path / "run" / "log.jsonl") if line["kind"] == "train"]
    assert [("loss_d" in line, "paired" in line) for line in lines] == [(False, True)] * 2 + [(True, True)] * 2
    frame = Engine.open(tmp_path / "run" / "latest.safetensors").render(RenderRequest(prompt="a grey square"))
    assert frame.pixels.shape == (16, 16, 3)


def test_its_share_falls_to_what_is_left_of_it(data: Path, clip: Path) -> None:
    config = replace(PAIRED, paired=2.0, paired_kimg=0.1, paired_fade_kimg=0.2, paired_least=0.25)
    trainer, method = opened(config, data, clip)
    weights = [method.schedule(images, 0).paired for images in (0, 100, 200, 300, 1000)]
    assert weights == pytest.approx([2.0, 2.0, 1.25, 0.5, 0.5])
    assert [method.schedule(images, 0).warm_up < 1 for images in (0, 99, 100)] == [True, True, False]
    trainer.prefetcher.close()


def test_a_killed_run_equals_an_uninterrupted_one(data: Path, clip: Path, tmp_path: Path) -> None:
    train(PAIRED, data, clip, tmp_path / "whole")
    train(replace(PAIRED, kimg=0.004), data, clip, tmp_path / "parts")
    for kimg in (0.012, 0.016):  # within the warm-up, and after it
        resume(tmp_path / "parts", settings=[f"kimg={kimg}"])
    assert same(state_of(tmp_path / "whole")["modules"], state_of(tmp_path / "parts")["modules"])


def test_data_without_latents_train_as_before_and_are_refused_where_they_are_needed(clip: Path, tmp_path: Path) -> None:
    plain = write_data(tmp_path / "plain")
    train(replace(PAIRED, paired=0.0, paired_kimg=0.0), plain, clip, tmp_path / "run")
    with pytest.raises(RunError, match="do not know which latents made their pictures"):
        train(PAIRED, plain, clip, tmp_path / "refused")


def test_latents_change_nothing_without_the_option(data: Path, clip: Path, tmp_path: Path) -> None:
    config = replace(PAIRED, paired=0.0, paired_kimg=0.0)
    train(config, data, clip, tmp_path / "with")
    other = tmp_path / "data"
    other.mkdir()
    for file in data.iterdir():
        if file.suffix != ".npy":
            (other / file.name).write_bytes(file.read_bytes())
    train(config, other, clip, tmp_path / "without")
    assert same(state_of(tmp_path / "with")["modules"], state_of(tmp_path / "without")["modules"])


def test_the_sentence_encoder_conditions_a_run_and_its_checkpoint(tmp_path: Path) -> None:
    pictures = load_folder(write_data(tmp_path / "data"), 16, progress=False)
    clip = SentenceConditioning(SentenceEncoder.open())
    clip.measure(pictures)
    captions = sorted({caption for every in pictures.captions for caption in every})
    rows = clip.encoder.encode(captions)
    torch.testing.assert_close(clip.mean, rows.mean(dim=0), atol=1e-3, rtol=0)
    embeddings = clip.encode_text(captions[:2])
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    vit = timm.models.vision_transformer.VisionTransformer(
        img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=0
    )
    method = StyleGANT(
        replace(PAIRED, clip=MINILM, guidance=0.0, features="timm:one"),
        Compute(device=torch.device("cpu"), dtype=torch.float32),
        clip,
        network=TimmViT(vit, (0.5,) * 3, (0.5,) * 3),
    )
    header, tensors = method.checkpoint({})
    native.save(tmp_path / "latest.safetensors", header, tensors)
    frame = Engine.open(tmp_path / "latest.safetensors").render(RenderRequest(prompt=captions[0], noise="none"))
    shown = method.ema.module(seed_to_z(0, 16)[None], embeddings[:1], options=SynthesisOptions(noise="none"))
    wanted = ((shown[0].clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()
    # The engine standardises and the run normalises as well; weights are in half precision.
    assert np.abs(frame.pixels.astype(float) - wanted).mean() < 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"choices": (1, 2, 3)}, "first and count"),
        ({"reconstruction": 1.0, "pairs": True}, "expected 0 with reconstructions"),
        ({"clip": MINILM, "features": "clip", "guidance": 0.0}, "features: minilm has no image tower"),
        ({"clip": MINILM, "features": "timm:x"}, "guidance: minilm"),
        ({"paired_least": 2.0}, "paired_least"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PAIRED, **changes)  # type: ignore[arg-type]


def test_a_run_grows_from_the_smaller_one_with_its_choices(data: Path, clip: Path, tmp_path: Path) -> None:
    small = train(replace(PAIRED, kimg=0.008), data, clip, tmp_path / "small")
    trainer, method = opened(replace(PAIRED, resolution=32), data, clip, start=small)
    z, c, options = seed_to_z(0, 16)[None], method.clip.encode_text(["a grey square"]), SynthesisOptions(noise="none")
    with torch.no_grad():
        before = load_generator(native.load(small))(z, c, options=options)
        after = method.ema.module(z, c, options=options)
    torch.testing.assert_close(after, upsample(before), atol=1e-4, rtol=1e-4)
    trainer.prefetcher.close()
