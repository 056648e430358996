"""Feature networks and CLIP judges by name: what each gives, and one clear message when it cannot be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor

from core.perception import clip_towers as towers
from core.perception.clip import ClipError, ClipHeader, save_clip
from core.perception.features import FeatureError
from core.perception.inception import FILE_NAMES, InceptionError
from core.perception.lpips import LPIPS_FILE, VGG_FILE, Lpips, LpipsError
from training.metrics.classifier import ClassifierError, LoadedClassifier
from training.metrics.clip_score import ClipJudge, ClipScoreError, open_judge
from training.metrics.networks import open_extractor

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for torch's weights, and a network that answers nothing."""

    def refuse(url: str, *_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "hub" / "checkpoints"


def test_the_bundled_classifier_is_a_feature_network() -> None:
    extractor = open_extractor("classifier")
    _, expected = LoadedClassifier.open().model.judge(PICTURES)
    np.testing.assert_allclose(extractor.features(PICTURES), expected, rtol=1e-4, atol=1e-5)
    assert extractor.digest == open_extractor("classifier").digest
    assert len(extractor.digest) == 64


def test_a_run_of_train_clip_is_a_network_and_a_judge(tmp_path: Path) -> None:
    vision = {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 2}
    text = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    torch.manual_seed(0)
    clip = towers.build_clip(16, vision, text)
    save_clip(tmp_path / "clip.safetensors", clip, ClipHeader(embed_dim=16, vision_cfg=vision, text_cfg=text))
    features = open_extractor(f"clip={tmp_path}").features(PICTURES)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    judge = open_judge(f"clip={tmp_path}")
    assert judge.name == "clip"
    prompts = ["a house", "the sea at night", "a tree"]
    expected = (features * judge.encoder.encode_text(prompts).numpy()).sum(axis=1)
    np.testing.assert_allclose(judge.cosines(PICTURES, prompts), expected, atol=1e-5)


def test_a_vision_transformer_of_timm_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0).eval()
    torch.save(vit.state_dict(), tmp_path / "vit.pth")
    extractor = open_extractor(f"timm:vit_tiny_patch16_224={tmp_path / 'vit.pth'}")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1  # this model's mean and deviation are 0.5
    with torch.no_grad():
        expected = vit(x).numpy()
    np.testing.assert_allclose(extractor.features(pictures), expected, atol=1e-4)
    assert extractor.features(PICTURES).shape == (3, 192)
    # Other weights under the same name are another network.
    torch.manual_seed(1)
    other = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0)
    torch.save(other.state_dict(), tmp_path / "vit.pth")
    assert open_extractor(f"timm:vit_tiny_patch16_224={tmp_path / 'vit.pth'}").digest != extractor.digest


def test_a_clip_of_open_clip_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 48, "patch_size": 16, "width": 32, "head_width": 16, "layers": 2},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    published = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4), "interpolation": "bicubic", "resize_mode": "shortest"}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", tiny)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"test": published})
    torch.manual_seed(0)
    clip = open_clip.create_model("tiny", pretrained=None).eval()
    torch.save(clip.state_dict(), tmp_path / "tiny.pt")
    spec = f"open_clip:tiny/test={tmp_path / 'tiny.pt'}"
    judge = open_judge(spec)
    assert judge.name == "open_clip:tiny/test"
    pictures = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 3), dtype=np.uint8)
    transform = open_clip.image_transform(48, is_train=False, mean=published["mean"], std=published["std"])
    with torch.no_grad():
        image = clip.encode_image(transform(Image.fromarray(pictures[0]))[None], normalize=True)
        text = clip.encode_text(open_clip.get_tokenizer("tiny")(["a dog"]), normalize=True)
    assert judge.cosines(pictures, ["a dog"])[0] == pytest.approx(float((image * text).sum()), abs=1e-5)
    np.testing.assert_allclose(open_extractor(spec).features(pictures), image.numpy(), atol=1e-5)
    assert open_extractor(spec).features(PICTURES).shape == (3, 16)


def test_inception_that_is_not_here_says_where_it_belongs(no_network: Path, tmp_path: Path) -> None:
    with pytest.raises(InceptionError, match="no route to host") as error:
        open_extractor("inception")
    for part in (str(no_network / FILE_NAMES[0]), "--features inception=FILE", "https://", "classifier"):
        assert part in str(error.value)
    with pytest.raises(InceptionError, match=r"no such file.*inception=FILE"):
        open_extractor(f"inception={tmp_path / 'absent.pth'}")


def test_weights_are_never_unpickled_and_must_fit(tmp_path: Path) -> None:
    import pickle

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    file = tmp_path / "weights.pth"
    for content in (b"", b"hello", pickle.dumps(Hostile())):
        file.write_bytes(content)
        with pytest.raises(InceptionError, match="not a file of weights"):
            open_extractor(f"inception={file}")
    torch.save({"a": Hostile()}, file)
    with pytest.raises(InceptionError, match="not a file of weights"):
        open_extractor(f"inception={file}")
    assert not (tmp_path / "ran").exists()
    torch.save({"a": torch.zeros(1)}, file)
    with pytest.raises(InceptionError, match="weights of another network"):
        open_extractor(f"inception={file}")


def test_lpips_that_is_not_here_says_where_it_belongs(no_network: Path, tmp_path: Path) -> None:
    with pytest.raises(LpipsError, match="no route to host") as error:
        Lpips.open()
    assert str(no_network / LPIPS_FILE) in str(error.value)
    torch.save({}, tmp_path / LPIPS_FILE)
    with pytest.raises(LpipsError, match=f"{VGG_FILE}: no such file"):
        Lpips.open(tmp_path)
    torch.save({}, tmp_path / VGG_FILE)
    with pytest.raises(LpipsError, match="another network"):
        Lpips.open(tmp_path)


def test_other_mistakes_are_one_clear_message(no_network: Path, tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"expected inception\[=FILE\], dino.*got 'resnet'"):
        open_extractor("resnet")
    with pytest.raises(FeatureError, match="clip=RUN"):
        open_extractor("clip")
    with pytest.raises(FeatureError, match="no such file"):
        open_extractor(f"dino={tmp_path / 'absent'}")
    with pytest.raises(ClipError, match="no such file"):
        open_extractor(f"clip={tmp_path}")
    with pytest.raises(ClassifierError, match="absent"):
        open_extractor(f"classifier={tmp_path / 'absent'}")
    with pytest.raises(ClipScoreError, match=r"expected open_clip:MODEL/TAG"):
        open_judge("vit")
    with pytest.raises(ClipScoreError, match="no model 'nothing'"):
        open_judge("open_clip:nothing/openai")
    with pytest.raises(ClipScoreError, match="openai"):
        open_judge("open_clip:RN50/none")
    with pytest.raises(ClipScoreError, match="no such file"):
        open_judge(f"open_clip:RN50/openai={tmp_path / 'absent'}")
    (tmp_path / "bad.pt").write_bytes(b"no weights")
    with pytest.raises(ClipScoreError, match="not the weights of RN50/openai"):
        open_judge(f"open_clip:RN50/openai={tmp_path / 'bad.pt'}")
    with pytest.raises(ClipScoreError, match=r"needs the file.*open_clip:ViT-g-14/laion2b_s12b_b42k=FILE"):
        open_judge("open_clip:ViT-g-14/laion2b_s12b_b42k")


def test_what_training_chose_for_speed_does_not_reach_the_figures() -> None:
    extractor = open_extractor("classifier")
    expected = extractor.features(PICTURES)
    seen: list[tuple[str, bool]] = []

    def embed(x_N3HW: torch.Tensor) -> torch.Tensor:
        seen.append((torch.get_float32_matmul_precision(), torch.is_autocast_enabled("cpu")))
        return extractor.embed(x_N3HW)

    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            np.testing.assert_array_equal(replace(extractor, embed=embed).features(PICTURES), expected)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == [("highest", False)]


def test_a_clip_in_float64_judges_pictures() -> None:
    class Colours(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.eye(3))

        def encode_image(self, x_N3HW: Tensor) -> Tensor:
            return x_N3HW.mean(dim=(2, 3)) @ self.weight

        def encode_text(self, prompts: Sequence[str]) -> Tensor:
            return torch.ones(len(prompts), 3, dtype=self.weight.dtype)

    pictures = np.random.default_rng(0).integers(0, 256, (4, 5, 5, 3), dtype=np.uint8)
    exact, plain = (
        ClipJudge(name="clip", encoder=Colours().to(dtype), signed=False, device=torch.device("cpu"))
        for dtype in (torch.float64, torch.float32)
    )
    np.testing.assert_allclose(exact.cosines(pictures, ["a"] * 4), plain.cosines(pictures, ["a"] * 4), rtol=1e-6)
