"""The evaluation against real pictures, from a checkpoint and a folder to figures; the psi curve; COCO."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.checkpoints import Header, save
from core.models import registry
from core.models.stylegan2 import Config
from core.perception.inception import Inception2015
from training.metrics import quality
from training.metrics.classifier import AttributeClassifier, ClassifierConfig, save_classifier
from training.metrics.clip_score import ClipJudge
from training.metrics.coco import COCO_METRICS, CocoError, choose, evaluate_coco, read_captions
from training.metrics.curve import evaluate_curve, format_curve
from training.metrics.quality import QualityConfig, Subject, balanced, evaluate_quality, format_table
from training.metrics.sampler import draw_captions, latents
from training.metrics.shards import evaluate_shard


class Colours:
    """A judge whose space is the mean colour; every prompt is a direction in it."""

    def encode_image(self, x_N3HW: torch.Tensor) -> torch.Tensor:
        return x_N3HW.mean(dim=(2, 3))

    def encode_text(self, prompts: list[str]) -> torch.Tensor:
        return torch.tensor([[1.0, len(prompt) % 3, len(prompt) % 2] for prompt in prompts])


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty captioned pictures, and a cache of their own."""
    monkeypatch.setenv("GLISSANDO_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(40):
        small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(small).resize((40, 32), Image.Resampling.BICUBIC).save(folder / f"{number:02d}.png")
        (folder / f"{number:02d}.txt").write_text(f"picture {number}\nanother caption of {number}\n")
    return folder


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small random classifier for a feature network, and a judge of colours for the CLIP score."""
    path = tmp_path / "judge.safetensors"
    torch.manual_seed(0)
    model = AttributeClassifier({"time": ("dawn", "noon")}, ClassifierConfig(resolution=16, channels=(8,)))
    save_classifier(path, model.eval(), {})
    colours = ClipJudge(name="colours", encoder=Colours(), signed=False, device=torch.device("cpu"))
    monkeypatch.setattr(quality, "open_judge", lambda spec, device: colours)
    return f"classifier={path}"


def small(judge: str, **changes: object) -> QualityConfig:
    return replace(QualityConfig(features=judge, pictures=45, device="cpu"), **changes)  # type: ignore[arg-type]


def test_a_checkpoint_is_measured(tiny_checkpoint: Path, data: Path, judge: str) -> None:
    config = small(judge, metrics=("fid", "kid", "precision", "recall", "clip", "ppl"), ppl_distance="features")
    stages = []
    result = evaluate_quality(
        tiny_checkpoint, data, config, progress=lambda stage, done, total: stages.append((stage, done, total))
    )
    assert json.loads(json.dumps(result)) == result
    assert result["fid"] > 0
    assert result["ppl"] > 0
    assert 0 <= result["precision"] <= 1
    assert 0 <= result["recall"] <= 1
    assert -1 <= result["clip"] <= 1
    assert (result["pictures"], result["reals"], result["size"]) == (45, 40, 32)
    assert result["features"]["dimensions"] == 16
    assert len(result["sha256"]) == 64
    assert ("pictures", 45, 45) in stages
    assert ("real pictures", 40, 40) in stages
    # The same again, to the last digit; the real pictures are not measured anew.
    stages.clear()
    again = evaluate_quality(
        tiny_checkpoint, data, config, progress=lambda stage, done, total: stages.append((stage, done, total))
    )
    assert again == result
    assert "real pictures" not in {stage for stage, _, _ in stages}
    table = format_table(result)
    for name in ("FID", "KID x 1000", "precision", "recall", "CLIP score", "path length"):
        assert name in table
    assert f"{result['fid']:.4f}" in table


def test_few_pictures_are_told(tiny_checkpoint: Path, data: Path, judge: str) -> None:
    result = evaluate_quality(tiny_checkpoint, data, small(judge, metrics=("fid",), pictures=16))
    assert any("16 generated pictures for 16 features" in warning for warning in result["warnings"])
    assert any("40 real pictures are few for 16 features" in warning for warning in result["warnings"])
    assert "Warning: FID: only 16 generated" in format_table(result)
    # KID, which has no such bias, does not complain.
    assert evaluate_quality(tiny_checkpoint, data, small(judge, metrics=("kid",), pictures=16))["warnings"] == []


def test_the_better_of_two_generators_is_told(tiny_checkpoint: Path, data: Path, judge: str) -> None:
    """Real pictures given for generated ones are at distance nearly zero, others are not."""
    config = small(judge, metrics=("fid", "kid", "precision", "recall"))
    subject = Subject.open(tiny_checkpoint, data, config)
    suite = quality.MetricSuite.open(config.metrics, features=judge, clip="", device=torch.device("cpu"))
    real = quality.measure_reals(subject.reals, suite, config)
    perfect = evaluate_shard(
        0, 1, draw=lambda numbers: subject.reals.read(numbers), measures=suite.measures(None), count=40
    )
    figures = suite.figures(perfect, real)
    assert figures["fid"] == pytest.approx(0, abs=1e-6)
    assert (figures["precision"], figures["recall"]) == (1.0, 1.0)
    poor = suite.figures(quality.measure_generated(subject, suite, config), real)
    assert poor["fid"] > 10 * figures["fid"] + 0.01
    assert poor["kid"] > figures["kid"]


def test_pictures_without_values_are_told(tiny_checkpoint: Path, data: Path, judge: str) -> None:
    config = small(judge, metrics=("fid",))
    subject = Subject.open(tiny_checkpoint, data, config)
    with torch.no_grad():
        for parameter in subject.sampler.generator.parameters():  # type: ignore[attr-defined]
            parameter.fill_(torch.nan)
    result = quality.evaluate_subject(subject, config)
    assert "45 generated pictures have values that are not finite" in result["warnings"][0]


def stylegan2(path: Path, classes: int) -> Path:
    config = asdict(
        Config(resolution=16, z_dim=8, c_dim=classes, w_dim=8, mapping_layers=2, base_channels=128, max_channels=8)
    )
    torch.manual_seed(0)
    generator = registry.build("stylegan2", config)
    header = Header(
        name="small", family="stylegan2", config=config, text=None, images_seen=0, vocabulary=(), licence="Apache-2.0"
    )
    save(path, header, {f"generator.{name}": tensor for name, tensor in generator.state_dict().items()})
    return path


@pytest.mark.parametrize("classes", [0, 3])
def test_generators_without_text_need_no_captions(tmp_path: Path, data: Path, judge: str, classes: int) -> None:
    for caption in data.glob("*.txt"):
        caption.unlink()
    checkpoint = stylegan2(tmp_path / "s.safetensors", classes)
    result = evaluate_quality(checkpoint, data, small(judge, metrics=("fid", "ppl"), ppl_distance="features"))
    assert (result["reals"], result["size"]) == (40, 16)
    assert result["fid"] > 0
    assert result["ppl"] > 0
    with pytest.raises(ValueError, match="CLIP score needs a generator that takes text"):
        evaluate_quality(checkpoint, data, small(judge, metrics=("clip",)))


def test_psi_and_random_noise_reach_the_pictures(tiny_checkpoint: Path, data: Path, judge: str) -> None:
    subject = Subject.open(tiny_checkpoint, data, small(judge))
    numbers = range(3)
    pictures = subject.draw()(numbers).pictures
    assert np.array_equal(pictures, subject.draw()(numbers).pictures)
    assert not np.array_equal(pictures, subject.draw(psi=0.3)(numbers).pictures)
    noisy = replace(subject, sampler=replace(subject.sampler, noise="random"))
    assert not np.array_equal(pictures, noisy.draw()(numbers).pictures)
    assert np.array_equal(noisy.draw()(numbers).pictures, noisy.draw()(numbers).pictures)
    assert replace(subject, size=24).draw()(numbers).pictures.shape == (3, 24, 24, 3)


def test_captions_are_of_different_pictures() -> None:
    captions = [[f"{n} a", f"{n} b"] for n in range(10)]
    assert len({text.split()[0] for text in draw_captions(captions, 10, 0)}) == 10
    many = draw_captions(captions, 25, 0)
    assert len(many) == 25
    assert draw_captions(captions, 25, 0) == many != draw_captions(captions, 25, 1)


def test_latents_are_their_numbers() -> None:
    whole = latents(0, 4, range(10))
    assert torch.equal(whole[3:7], latents(0, 4, range(3, 7)))
    assert not torch.equal(whole, latents(0, 4, range(10), stream=1))
    assert not torch.equal(whole, latents(1, 4, range(10)))


def test_precision_and_recall_get_as_many_of_each() -> None:
    a, b = np.arange(10.0)[:, None].astype(np.float32), np.arange(4.0)[:, None].astype(np.float32)
    thinned, same = balanced(a, b)
    assert thinned[:, 0].tolist() == [0, 2, 5, 7]
    assert same[:, 0].tolist() == [0, 1, 2, 3]


def test_impossible_settings_are_refused() -> None:
    for changes, message in (
        ({"metrics": ("fid", "beauty")}, "metrics: expected some of fid, kid"),
        ({"metrics": ()}, "metrics"),
        ({"metrics": ("fid", "fid")}, "each once"),
        ({"pictures": 3}, "pictures: expected a whole number above 3"),
        ({"psi": float("nan")}, "psi"),
        ({"seed": -1}, "seed"),
        ({"noise": "loud"}, "noise"),
        ({"ppl_distance": "eye"}, "ppl-distance"),
    ):
        with pytest.raises(ValueError, match=message):
            QualityConfig(**changes)  # type: ignore[arg-type]


def test_outputs_of_inception_are_measured(tiny_checkpoint: Path, data: Path, judge: str, tmp_path: Path) -> None:
    weights = tmp_path / "inception.pth"
    torch.save(Inception2015.random(7).net.state_dict(), weights)
    metrics = ("is", "sfid", "rfid")
    config = small(judge, metrics=metrics, features=f"inception={weights}", pictures=12, reals=16)
    result = evaluate_quality(tiny_checkpoint, data, config)
    assert result["is"] >= 1
    assert min(result["sfid"], result["rfid"]) >= 0
    assert set(result["outputs"]) == set(metrics)
    for label in ("Inception Score", "sFID", "rFID"):
        assert label in format_table(result)


def test_the_curve_has_a_point_a_psi(tiny_checkpoint: Path, data: Path, judge: str) -> None:
    result = evaluate_curve(tiny_checkpoint, data, small(judge), psis=[0.0, 0.5, 1.0])
    assert [point["psi"] for point in result["curve"]] == [0.0, 0.5, 1.0]
    assert json.loads(json.dumps(result)) == result
    # Its end is what the evaluation gives.
    whole = evaluate_quality(tiny_checkpoint, data, small(judge, metrics=("fid", "clip")))
    last = result["curve"][-1]
    assert (last["fid"], last["clip"]) == (whole["fid"], whole["clip"])
    # At psi 0 a caption has one picture, so the others differ.
    assert result["curve"][0]["fid"] != last["fid"]
    assert len(result["warnings"]) == len(set(result["warnings"]))
    assert "0.5" in format_curve(result)
    with pytest.raises(ValueError, match="at least two different"):
        evaluate_curve(tiny_checkpoint, data, small(judge), psis=[1.0])


def coco(folder: Path, pictures: int = 12) -> tuple[Path, Path]:
    """COCO's layout: pictures of any size, and a file with five captions of each."""
    images = folder / "val2014"
    images.mkdir(parents=True)
    rng = np.random.default_rng(1)
    document: dict[str, list[dict[str, object]]] = {"images": [], "annotations": []}
    for number in range(pictures):
        name = f"COCO_val2014_{number:012d}.jpg"
        Image.fromarray(rng.integers(0, 256, (30, 44, 3), dtype=np.uint8)).save(images / name)
        document["images"].append({"id": number, "file_name": name, "height": 30, "width": 44})
        for caption in range(5):
            text = f"Caption {caption}  of\npicture {number}."
            document["annotations"].append({"image_id": number, "id": 5 * number + caption, "caption": text})
    document["annotations"].append({"image_id": 999, "id": 999, "caption": "of a picture that is not there"})
    (folder / "captions.json").write_text(json.dumps(document))
    return images, folder / "captions.json"


def test_coco_by_its_protocol(tmp_path: Path, tiny_checkpoint: Path, data: Path, judge: str) -> None:
    images, captions = coco(tmp_path / "coco")
    config = small(judge, metrics=COCO_METRICS, pictures=30)
    result = evaluate_coco(tiny_checkpoint, images, captions, config, size=16)
    assert (result["pictures"], result["reals"], result["size"]) == (30, 12, 16)
    assert result["fid"] > 0
    assert "clip" in result
    assert "30 captions, 16 px" in result["protocol"]
    larger = evaluate_coco(tiny_checkpoint, images, captions, config, size=64)
    assert any("32 px were enlarged to 64" in warning for warning in larger["warnings"])


def test_coco_captions_are_drawn_one_a_picture_first(tmp_path: Path) -> None:
    images, captions = coco(tmp_path / "coco")
    found = read_captions(images, captions)
    assert len(found) == 60
    assert found[0].text == "Caption 0 of picture 0."
    assert len({caption.file for caption in choose(found, 12, 0)}) == 12
    assert choose(found, 12, 0) == choose(found, 12, 0) != choose(found, 12, 1)
    assert len(set(choose(found, 60, 0))) == 60
    with pytest.raises(CocoError, match=r"expected at least 61, found 60.*--pictures"):
        choose(found, 61, 0)


def write_list(path: Path) -> None:
    path.write_text("[1, 2]")


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_text("{}"), write_list, lambda path: path.write_text("not json")]
)
def test_damaged_coco_is_one_clear_message(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    images, captions = coco(tmp_path / "coco")
    damage(captions)
    with pytest.raises(CocoError, match="captions_val2014"):
        read_captions(images, captions)


def test_coco_of_another_split_is_told(tmp_path: Path) -> None:
    images, captions = coco(tmp_path / "coco")
    for picture in images.iterdir():
        picture.unlink()
    with pytest.raises(CocoError, match="same year and split"):
        read_captions(images, captions)
    with pytest.raises(CocoError, match="no such folder"):
        read_captions(tmp_path / "absent", captions)
