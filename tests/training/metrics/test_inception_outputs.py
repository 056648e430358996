"""Inception Score, sFID and rFID: against plain sums, torch-fidelity's score, and networks made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.perception.inception import Inception2015
from training.metrics.inception_score import inception_score
from training.metrics.networks import open_inception_output


def test_the_score_is_the_plain_sum() -> None:
    logits = np.random.default_rng(0).normal(size=(40, 7)) * 3
    scores = []
    for part in np.split(logits, 10):
        p = np.exp(part) / np.exp(part).sum(axis=1, keepdims=True)
        mean = p.mean(axis=0)
        divergences = [sum(p_k * np.log(p_k / m_k) for p_k, m_k in zip(row, mean, strict=True)) for row in p]
        scores.append(np.exp(np.mean(divergences)))
    assert inception_score(logits) == pytest.approx((np.mean(scores), np.std(scores)))


def test_the_score_is_one_for_equal_pictures_and_the_classes_for_sure_ones() -> None:
    assert inception_score(np.zeros((30, 5)))[0] == pytest.approx(1.0)
    sure = np.tile(np.eye(5) * 1000, (20, 1))
    assert inception_score(sure)[0] == pytest.approx(5.0)
    assert inception_score(sure[:3], splits=10) == pytest.approx((1.0, 0.0))
    assert inception_score(sure + 1e6) == pytest.approx(inception_score(sure))


def test_the_score_equals_that_of_torch_fidelity() -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = torch.from_numpy(np.random.default_rng(1).normal(size=(500, 1008)).astype(np.float32))
    other = isc_features_to_metric(logits, splits=10, shuffle=False)
    mean, deviation = inception_score(logits.numpy())
    assert mean == pytest.approx(other["inception_score_mean"], rel=1e-6)
    assert deviation == pytest.approx(other["inception_score_std"], rel=1e-4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(Inception2015.random(7).net.state_dict(), path)
    return path


def test_the_outputs_are_those_of_the_layers_that_the_papers_name(weights: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    net = Inception2015.open(weights)
    caught: dict[str, torch.Tensor] = {}
    net.net.Mixed_6d.branch1x1.register_forward_hook(lambda _, __, out: caught.update(spatial=out))
    with torch.no_grad():
        pooled = net(torch.from_numpy(pictures).permute(0, 3, 1, 2).float())
    spatial = open_inception_output("spatial", weights).features(pictures)
    assert spatial.shape == (2, 7 * 17 * 17)
    np.testing.assert_allclose(spatial, caught["spatial"][:, :7].flatten(1), rtol=1e-5, atol=1e-6)
    logits = open_inception_output("logits", weights).features(pictures)
    assert logits.shape == (2, 1008)
    np.testing.assert_allclose(logits, pooled @ net.net.fc.weight.T, rtol=1e-4, atol=1e-5)


def test_the_random_network_is_the_same_each_time_and_leaves_the_generator_of_numbers_alone() -> None:
    torch.manual_seed(3)
    before = torch.rand(2)
    torch.manual_seed(3)
    one = open_inception_output("random", None)
    assert torch.equal(torch.rand(2), before)
    assert one.digest == open_inception_output("random", None).digest
    assert one.name == "inception:random"
