"""FID, KID, precision, recall, Inception, LPIPS and path length against torch-fidelity, an independent implementation.

It gets features from an extractor that is registered with it, so nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch_fidelity
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch_fidelity import registry, sample_similarity_lpips
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.generative_model_modulewrapper import GenerativeModelModuleWrapper
from torch_fidelity.metric_ppl import calculate_ppl
from torch_fidelity.sample_similarity_base import SampleSimilarityBase

from core.perception.inception import Inception2015, resize_as_tensorflow_1
from core.perception.lpips import LPIPS_FILE, VGG_FILE, Lpips
from training.metrics.frechet import fid, kid_over_subsets
from training.metrics.neighbours import precision_recall
from training.metrics.path_length import path_lengths, trimmed_mean
from training.metrics.sampler import Sampler

SIZE, DIM = 8, 24
COUNT = 180


def embed(pictures_N3HW: Tensor) -> Tensor:
    """A small nonlinear network in float64 with fixed weights."""
    rng = np.random.default_rng(5)
    a = torch.from_numpy(rng.standard_normal((3 * SIZE * SIZE, 64)) / 14)
    b = torch.from_numpy(rng.standard_normal((64, DIM)) / 8)
    return torch.tanh(pictures_N3HW.double().flatten(1) / 128 @ a) @ b


class Registered(FeatureExtractorBase):
    """The same network, as torch-fidelity takes it."""

    def __init__(self, name: str, features_list: list[str], **_: object) -> None:
        super().__init__(name, features_list)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (embed(x),)

    @staticmethod
    def get_provided_features_list() -> tuple[str]:
        return ("all",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "all"


class Pictures(Dataset):
    def __init__(self, pictures_N3HW: Tensor) -> None:
        self.pictures = pictures_N3HW

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:
        return self.pictures[index]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(registry.FEATURE_EXTRACTORS_REGISTRY, "ours", Registered)
    return "ours"


def two_sets() -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (COUNT, 3, SIZE, SIZE))
    other = (rng.integers(0, 256, (COUNT + 40, 3, SIZE, SIZE)) * 0.8 + 20).astype(np.int64)
    return torch.from_numpy(base).to(torch.uint8), torch.from_numpy(other).to(torch.uint8)


def test_distances_and_neighbours_agree(registered: str) -> None:
    generated, real = two_sets()
    theirs = torch_fidelity.calculate_metrics(
        input1=Pictures(generated),
        input2=Pictures(real),
        feature_extractor=registered,
        fid=True,
        kid=True,
        prc=True,
        kid_subsets=7,
        kid_subset_size=50,
        rng_seed=3,
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
    )
    a, b = embed(generated).numpy(), embed(real).numpy()
    mean, deviation = kid_over_subsets(a, b, subsets=7, size=50, seed=3)
    precision, recall = precision_recall(a, b)
    assert fid(a, b) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6, abs=1e-9)
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6, abs=1e-9)
    assert deviation == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-6, abs=1e-9)
    assert precision == pytest.approx(theirs["precision"], abs=1e-6)
    assert recall == pytest.approx(theirs["recall"], abs=1e-6)
    # Not a comparison of trivial numbers.
    assert 0 < precision < 1
    assert 0 < recall < 1
    assert precision != recall


def test_inception_agrees(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Inception2015()
    for name, tensor in model.net.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0)
        elif name.endswith("running_mean"):
            tensor.normal_(std=0.1)
        elif tensor.ndim > 1:
            nn.init.kaiming_normal_(tensor)
    file = tmp_path / "weights-inception-2015-12-05-6726825d.pth"
    torch.save(model.net.state_dict(), file)
    theirs = FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(file), feature_extractor_internal_dtype="float64"
    )
    ours = Inception2015.open(file).double()
    for height, width in ((64, 64), (40, 330)):
        x = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
        (expected,) = theirs(x)
        assert expected.std() > 0.05
        torch.testing.assert_close(ours(x.double()).float(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(64, 64), (299, 299), (350, 401)])
def test_resizing_agrees_to_the_bit(shape: tuple[int, int]) -> None:
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    x = torch.randint(0, 256, (1, 3, *shape)).float()
    expected = interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False)
    torch.testing.assert_close(resize_as_tensorflow_1(x, 299), expected, rtol=1e-6, atol=1e-4)


def random_vgg() -> nn.Module:
    from torchvision.models import vgg16

    torch.manual_seed(1)
    with torch.device("meta"):
        vgg = vgg16(weights=None)
    vgg.features.to_empty(device="cpu")
    for tensor in vgg.features.state_dict().values():
        if tensor.ndim > 1:
            nn.init.kaiming_normal_(tensor)
        else:
            tensor.normal_(std=0.05)
    return vgg


def test_lpips_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vgg = random_vgg()
    channels = (64, 128, 256, 512, 512)
    heads = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(channels)}
    torch.save(heads, tmp_path / LPIPS_FILE)
    torch.save({f"features.{name}": tensor for name, tensor in vgg.features.state_dict().items()}, tmp_path / VGG_FILE)
    monkeypatch.setattr(sample_similarity_lpips, "load_state_dict_from_url", lambda *_, **__: heads)
    monkeypatch.setattr(sample_similarity_lpips, "torchvision_load_pretrained_vgg16", lambda: vgg)
    theirs = sample_similarity_lpips.SampleSimilarityLPIPS("lpips")
    ours = Lpips.open(tmp_path)
    a, b = torch.rand(2, 3, 3, 32, 32) * 2 - 1
    expected = theirs((a + 1) * 127.5, (b + 1) * 127.5).flatten()
    torch.testing.assert_close(ours(a, b), expected, rtol=1e-5, atol=1e-6)
    assert expected.min() > 0.01


class SquaredDifference(SampleSimilarityBase):
    def __init__(self, name: str, **_: object) -> None:
        super().__init__(name)

    def forward(self, in0: Tensor, in1: Tensor) -> Tensor:
        return (in0 - in1).square().mean(dim=(1, 2, 3))


def test_path_length_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch-fidelity steps in z; where the mapping is the identity that is a step in w."""
    torch.manual_seed(0)
    count, z_dim, epsilon = 40, 6, 1e-3
    weight = torch.randn(z_dim, 3 * 4 * 4, dtype=torch.float64)

    class Synthesis(nn.Module):
        def forward(self, z_NZ: Tensor) -> Tensor:
            return torch.sin(z_NZ.double() @ weight).view(-1, 3, 4, 4)

    class Plain:
        conditioning, c_dim, num_ws = "none", 0, 1
        output_size = (4, 4)

        def map(self, z_NZ: Tensor, c_NC: Tensor | None = None, /, psi: float = 1.0) -> Tensor:
            return z_NZ[:, None]

        def synthesis(self, ws: Tensor, *_: object, **__: object) -> Tensor:
            return Synthesis()(ws[:, 0])

    Plain.z_dim = z_dim
    monkeypatch.setitem(registry.SAMPLE_SIMILARITY_REGISTRY, "squares", SquaredDifference)
    theirs = calculate_ppl(
        1,
        input1=GenerativeModelModuleWrapper(Synthesis(), z_dim, "normal", 0),
        input1_model_num_samples=count,
        input1_model_z_size=z_dim,
        input1_model_z_type="normal",
        input1_model_num_classes=0,
        ppl_sample_similarity="squares",
        ppl_sample_similarity_resize=None,
        ppl_sample_similarity_dtype=None,
        ppl_epsilon=epsilon,
        ppl_discard_percentile_lower=None,
        ppl_discard_percentile_higher=None,
        batch_size=16,
        rng_seed=9,
        cuda=False,
        verbose=False,
    )["perceptual_path_length_mean"]

    rng = np.random.RandomState(9)
    starts, ends = (torch.from_numpy(rng.randn(count, z_dim)).float() for _ in range(2))
    sampler = Sampler(generator=Plain(), encoder=None, device=torch.device("cpu"))  # type: ignore[arg-type]
    monkeypatch.setattr(
        "training.metrics.sampler.latents", lambda seed, z_dim, numbers, stream=0: (starts, ends)[stream][numbers]
    )
    lengths = path_lengths(sampler, SquaredDifference("squares"), range(count), epsilon=epsilon)
    assert lengths.mean() == pytest.approx(theirs, rel=1e-6)
    assert len(lengths) == count


def test_the_outermost_hundredths_are_left_out() -> None:
    values = np.r_[np.full(198, 2.0), -1e6, 1e6]
    assert trimmed_mean(values) == 2.0
