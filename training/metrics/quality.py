"""`glissando evaluate quality`: how near a generator's pictures are to real ones, and to their captions.

Generated pictures have captions (or classes) as the real ones do, seeds drawn from one seed, psi 1 unless it is said
otherwise, and are rounded to bytes before they are measured. Real pictures are cropped and resized to the generator's
size as for training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.checkpoints import Checkpoint
from core.checkpoints.importing import load_any
from core.engine import DTYPES, choose_device, choose_precision
from core.perception.lpips import Lpips
from core.request import NOISE_MODES, PSI_LIMIT, NoiseMode
from training.datasets.config import DataConfig
from training.datasets.decoded import FolderDataset
from training.datasets.opening import open_data
from training.datasets.shards import is_shards
from training.metrics.clip_score import PAPER_CLIP, ClipJudge, open_judge
from training.metrics.equivariance import EQUIVARIANCES, equivariance
from training.metrics.frechet import frechet_distance, frechet_warnings, gaussian, kid_over_subsets
from training.metrics.inception_score import inception_score
from training.metrics.neighbours import NEIGHBOURS, precision_recall
from training.metrics.networks import FeatureExtractor, open_extractor, open_inception_output
from training.metrics.path_length import Distance, feature_distance, path_lengths, trimmed_mean
from training.metrics.reals import (
    ArrayPictures,
    FilePictures,
    RealFeatures,
    RealPictures,
    picture_files,
    real_features,
)
from training.metrics.sampler import Sampler, draw_captions
from training.metrics.settings import METRICS, check_metrics
from training.metrics.shards import Draw, Measure, Progress, Shard, evaluate_shard
from training.metrics.streamed import StreamedPictures

BY_FEATURES = ("fid", "kid", "precision", "recall")
DEFAULT_METRICS = BY_FEATURES
DEFAULT_PICTURES = 10_000
DEFAULT_REALS = 50_000
SEED_BOUND = 2**31
INCEPTION_OUTPUTS = {"is": "logits", "sfid": "spatial", "rfid": "random"}
"""Metric -> the output of Inception that it measures, see `open_inception_output`."""


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """What is measured, and on how many pictures. Raises `ValueError` with what was expected and what came."""

    metrics: tuple[str, ...] = DEFAULT_METRICS
    features: str = "inception"
    """See `training.metrics.networks`."""
    clip: str = PAPER_CLIP
    """The judge of the CLIP score, see `training.metrics.clip_score`."""
    ppl_distance: str = "lpips"
    """"lpips", "lpips=DIR" with the folder of its two files, or "features" for the distance in those."""
    pictures: int = DEFAULT_PICTURES
    """How many are generated."""
    reals: int = DEFAULT_REALS
    """At most so many real pictures, drawn at random when there are more."""
    seed: int = 0
    psi: float = 1.0
    noise: NoiseMode = "const"
    device: str = "auto"
    precision: str = "float32"
    """Of the generator's convolutions."""

    def __post_init__(self) -> None:
        check_metrics(self.metrics)
        for name in ("pictures", "reals"):
            if type(getattr(self, name)) is not int or getattr(self, name) <= NEIGHBOURS:
                raise ValueError(f"{name}: expected a whole number above {NEIGHBOURS}, got {getattr(self, name)!r}")
        if type(self.seed) is not int or not 0 <= self.seed < SEED_BOUND:
            raise ValueError(f"seed: expected a whole number from 0 to {SEED_BOUND - 1}, got {self.seed!r}")
        if not (math.isfinite(self.psi) and abs(self.psi) <= PSI_LIMIT):
            raise ValueError(f"psi: expected a number from {-PSI_LIMIT:g} to {PSI_LIMIT:g}, got {self.psi!r}")
        if self.noise not in NOISE_MODES:
            raise ValueError(f"noise: expected one of {', '.join(NOISE_MODES)}, got {self.noise!r}")
        if self.ppl_distance.partition("=")[0] not in ("lpips", "features"):
            raise ValueError(f"ppl-distance: expected lpips, lpips=DIR or features, got {self.ppl_distance!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class MetricSuite:
    """The networks that some metrics need, opened."""

    metrics: tuple[str, ...]
    extractor: FeatureExtractor | None
    judge: ClipJudge | None
    others: Mapping[str, FeatureExtractor] = field(default_factory=dict)
    """Metric -> the output of Inception that it alone compares."""

    @classmethod
    def open(cls, metrics: Sequence[str], *, features: str, clip: str, device: torch.device) -> MetricSuite:
        """Raises a `ValueError` that names the missing file when a network cannot be had."""
        by_features = any(name in BY_FEATURES for name in metrics)
        return cls(
            metrics=tuple(metrics),
            extractor=open_extractor(features, device) if by_features else None,
            judge=open_judge(clip, device) if "clip" in metrics else None,
            others={
                name: open_inception_output(output, _inception_file(features), device)
                for name, output in INCEPTION_OUTPUTS.items()
                if name in metrics
            },
        )

    def measures(self, prompts: Sequence[str] | None) -> dict[str, Measure]:
        """What `evaluate_shard` is to measure of pictures with these prompts, one for each number."""
        measures: dict[str, Measure] = {}
        extractor, judge = self.extractor, self.judge
        if extractor is not None:
            measures["features"] = lambda pictures, _: extractor.features(pictures)
        if judge is not None:
            assert prompts is not None
            measures["clip"] = lambda pictures, numbers: judge.cosines(pictures, [prompts[n] for n in numbers])
        for name, other in self.others.items():
            measures[name] = partial(_features, other)
        return measures

    def figures(
        self, shard: Shard, real: RealFeatures | None, other_reals: Mapping[str, RealFeatures] | None = None
    ) -> dict[str, Any]:
        """The metrics by name, and `warnings`, a list of what makes them doubtful."""
        figures: dict[str, Any] = {}
        warnings: list[str] = []
        if shard.broken:
            warnings.append(
                f"{shard.broken} generated pictures have values that are not finite; they were measured as black there"
            )
        if self.extractor is not None:
            assert real is not None
            features_ND = shard.rows("features")
            if real.broken:
                warnings.append(f"{real.broken} real pictures could not be read and were left out")
            if "fid" in self.metrics:
                figures["fid"] = frechet_distance(gaussian(features_ND), real.gaussian)
                warnings += frechet_warnings(features_ND.shape[1], len(features_ND), len(real.features))
            if "kid" in self.metrics:
                figures["kid"], figures["kid_std"] = kid_over_subsets(features_ND, real.features)
            if "precision" in self.metrics or "recall" in self.metrics:
                generated, wanted = balanced(features_ND, real.features)
                precision, recall = precision_recall(generated, wanted)
                both = {"precision": precision, "recall": recall}
                figures |= {name: both[name] for name in both if name in self.metrics}
        for name in self.others:
            features_ND = shard.rows(name)
            if name == "is":
                figures["is"], figures["is_std"] = inception_score(features_ND)
                continue
            reals = (other_reals or {})[name]
            figures[name] = frechet_distance(gaussian(features_ND), reals.gaussian)
            dim = features_ND.shape[1]
            warnings += [f"{name}: {w}" for w in frechet_warnings(dim, len(features_ND), len(reals.features))]
        if self.judge is not None:
            figures["clip"] = float(shard.rows("clip").mean(dtype=np.float64))
        return figures | {"warnings": warnings}


def _features(extractor: FeatureExtractor, pictures: NDArray[np.uint8], numbers: range) -> NDArray[np.float32]:
    return extractor.features(pictures)


def _inception_file(features: str) -> Path | None:
    """The file of Inception's weights where the features name one."""
    name, _, place = features.partition("=")
    return Path(place).expanduser() if name == "inception" and place else None


def balanced(
    generated_ND: NDArray[np.float32], real_MD: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As many of one as of the other, the larger set thinned evenly: more pictures have smaller balls, so precision and
    recall of sets of different sizes are lopsided."""
    n = min(len(generated_ND), len(real_MD))

    def thinned(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return x[np.arange(n) * len(x) // n]

    return thinned(generated_ND), thinned(real_MD)


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A checkpoint and what it is compared with, opened."""

    checkpoint: Checkpoint
    sampler: Sampler
    reals: RealPictures
    prompts: list[str] | None
    """A caption for each generated picture, for a generator that takes text."""
    size: int | None = None
    """Generated pictures are resized to this, when given."""

    @classmethod
    def open(cls, checkpoint: Path, data: Path | DataConfig, config: QualityConfig) -> Subject:
        """`data` is whatever can be trained on; for a generator that takes no text also a folder of pictures without
        captions."""
        file, sampler = open_sampler(checkpoint, config)
        reals, prompts = open_reals(data, sampler, config)
        return cls(checkpoint=file, sampler=sampler, reals=reals, prompts=prompts)

    def draw(self, psi: float | None = None) -> Draw:
        """The generated pictures by number; at another psi than the configuration's when given."""
        sampler = self.sampler if psi is None else replace(self.sampler, psi=psi)
        return lambda numbers: sampler.draw(numbers, self.prompts, size=self.size)


def open_reals(
    data: Path | DataConfig, sampler: Sampler, config: QualityConfig
) -> tuple[RealPictures, list[str] | None]:
    """The real pictures, and captions of theirs for a generator that takes text. Raises `DataError`."""
    sources = DataConfig.of(data) if isinstance(data, Path) else data
    place = sources.sources[0].place
    takes_text = sampler.conditioning == "text"
    if not takes_text and len(sources.sources) == 1 and Path(place).is_dir() and not is_shards(place):
        return FilePictures(picture_files(Path(place)), sampler.resolution), None
    dataset = open_data(sources, sampler.resolution, condition="captions" if takes_text else "none")
    if isinstance(dataset, FolderDataset):
        prompts = draw_captions(dataset.captions, config.pictures, config.seed) if takes_text else None
        return ArrayPictures(dataset.images, dataset.fingerprint), prompts
    reals = StreamedPictures(dataset, most=config.reals, seed=config.seed)
    return reals, reals.prompts(config.pictures) if takes_text else None


def open_sampler(checkpoint: Path, config: QualityConfig) -> tuple[Checkpoint, Sampler]:
    """The checkpoint, and its generator as the configuration wants it."""
    device = choose_device(config.device)
    dtype = DTYPES[choose_precision(config.precision, device)]
    file = load_any(checkpoint)
    sampler = Sampler.open(file, seed=config.seed, psi=config.psi, noise=config.noise, device=device, dtype=dtype)
    if "clip" in config.metrics and sampler.conditioning != "text":
        raise ValueError(f"{checkpoint}: the CLIP score needs a generator that takes text, got {file.header.family}")
    turned = [name for name in EQUIVARIANCES if name in config.metrics]
    if turned and not sampler.generator.has_transform:
        raise ValueError(
            f"{checkpoint}: {', '.join(turned)}: needs a generator whose input can be moved and turned, such as "
            f"StyleGAN3's, got {file.header.family}"
        )
    return file, sampler


def evaluate_quality(
    checkpoint: Path,
    data: Path | DataConfig,
    config: QualityConfig | None = None,
    *,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The figures that `--json` writes. Raises `ValueError` subclasses for what cannot be used."""
    config = config or QualityConfig()
    return evaluate_subject(Subject.open(checkpoint, data, config), config, progress=progress)


def evaluate_subject(subject: Subject, config: QualityConfig, *, progress: Progress | None = None) -> dict[str, Any]:
    """The figures of an opened checkpoint."""
    device = subject.sampler.device
    suite = MetricSuite.open(config.metrics, features=config.features, clip=config.clip, device=device)
    distance = open_distance(config, suite, device) if "ppl" in config.metrics else None
    real = measure_reals(subject.reals, suite, config, progress)
    other_reals = measure_other_reals(subject.reals, suite, config, progress)
    figures: dict[str, Any] = {"warnings": []}
    if suite.extractor is not None or suite.judge is not None or suite.others:
        shard = measure_generated(subject, suite, config, progress=progress)
        figures = suite.figures(shard, real, other_reals)
    for kind in EQUIVARIANCES:
        if kind in config.metrics:
            report = _staged(progress, kind)
            figures[kind] = equivariance(subject.sampler, kind, config.pictures, subject.prompts, progress=report)
    if distance is not None:
        figures["ppl"] = path_length(subject, distance, config, progress)
    return figures | provenance(subject, suite, config, real)


def measure_reals(
    reals: RealPictures, suite: MetricSuite, config: QualityConfig, progress: Progress | None = None
) -> RealFeatures | None:
    """The real pictures' features, if a metric needs them."""
    if suite.extractor is None:
        return None
    return real_features(reals, suite.extractor, most=config.reals, seed=config.seed, progress=progress)


def measure_other_reals(
    reals: RealPictures, suite: MetricSuite, config: QualityConfig, progress: Progress | None = None
) -> dict[str, RealFeatures]:
    """The real pictures in those outputs of Inception that metrics compare with them."""
    found = {}
    for name, extractor in suite.others.items():
        if name == "is":
            continue
        features = real_features(reals, extractor, most=config.reals, seed=config.seed, progress=progress)
        assert features is not None  # nobody asked to stop
        found[name] = features
    return found


def measure_generated(
    subject: Subject,
    suite: MetricSuite,
    config: QualityConfig,
    *,
    psi: float | None = None,
    progress: Progress | None = None,
    stage: str = "pictures",
) -> Shard:
    """All generated pictures, drawn and measured by this process."""
    return evaluate_shard(
        0,
        1,
        draw=subject.draw(psi),
        measures=suite.measures(subject.prompts),
        count=config.pictures,
        progress=_staged(progress, stage),
    )


def open_distance(config: QualityConfig, suite: MetricSuite, device: torch.device) -> Distance:
    """The distance that path lengths are measured with."""
    name, _, place = config.ppl_distance.partition("=")
    if name == "lpips":
        return Lpips.open(Path(place).expanduser() if place else None).to(device)
    return feature_distance(suite.extractor or open_extractor(config.features, device))


def path_length(subject: Subject, distance: Distance, config: QualityConfig, progress: Progress | None = None) -> float:
    """The perceptual path length over the pictures of the evaluation."""
    lengths: list[NDArray[np.float64]] = []
    block = 16
    report = _staged(progress, "path length")
    for start in range(0, config.pictures, block):
        numbers = range(start, min(config.pictures, start + block))
        lengths.append(path_lengths(subject.sampler, distance, numbers, subject.prompts))
        if report:
            report(numbers.stop, config.pictures)
    return trimmed_mean(np.concatenate(lengths))


def provenance(
    subject: Subject, suite: MetricSuite, config: QualityConfig, real: RealFeatures | None
) -> dict[str, Any]:
    """What the figures hang on."""
    result: dict[str, Any] = {
        "checkpoint": str(subject.checkpoint.path),
        "sha256": subject.checkpoint.sha256,
        "pictures": config.pictures,
        "psi": config.psi,
        "noise": config.noise,
        "seed": config.seed,
        "size": subject.size or subject.sampler.resolution,
    }
    if suite.extractor is not None and real is not None:
        result |= {
            "reals": len(real.features),
            "data": subject.reals.fingerprint,
            "features": {
                "name": suite.extractor.name,
                "digest": suite.extractor.digest,
                "dimensions": int(real.features.shape[1]),
            },
        }
    if suite.others:
        result["data"] = subject.reals.fingerprint
        result["outputs"] = {name: {"name": one.name, "digest": one.digest} for name, one in suite.others.items()}
    if suite.judge is not None:
        result["clip_judge"] = suite.judge.name
    if "ppl" in config.metrics:
        result["ppl_distance"] = config.ppl_distance.partition("=")[0]
        if result["ppl_distance"] == "features":
            result["ppl_distance"] = config.features.partition("=")[0]
    return result


def _staged(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(stage, done, total)


_LABELS: Mapping[str, tuple[str, str]] = {
    "fid": ("FID", "lower is better"),
    "kid": ("KID x 1000", "lower is better"),
    "precision": ("precision", "share of pictures that could be real"),
    "recall": ("recall", "share of real pictures that could be drawn"),
    "clip": ("CLIP score", "cosine with the caption"),
    "ppl": ("path length", "lower is smoother"),
    "is": ("Inception Score", "higher is better"),
    "sfid": ("sFID", "lower is better"),
    "rfid": ("rFID", "lower is better; compares with this program's alone"),
    "eqt": ("EQ-T", "dB, higher: moves with its input"),
    "eqt_frac": ("EQ-T_frac", "dB, by parts of a pixel"),
    "eqr": ("EQ-R", "dB, higher: turns with its input"),
}


def format_table(result: Mapping[str, Any]) -> str:
    """The result of `evaluate_quality` for a terminal."""
    rows = []
    for name in METRICS:
        if name not in result:
            continue
        label, meaning = _LABELS[name]
        value = f"{1000 * result[name]:.4f}" if name == "kid" else f"{result[name]:.4f}"
        spread = f" +- {1000 * result['kid_std']:.4f}" if name == "kid" else ""
        rows.append(f"{label:12}{value + spread:>22}   {meaning}")
    what = [f"{result['pictures']} pictures at {result['size']} px, psi {result['psi']:g}"]
    if "features" in result:
        features = result["features"]
        what.append(f"{result['reals']} real ones, features {features['name']} ({features['dimensions']})")
    if "clip_judge" in result:
        what.append(f"CLIP {result['clip_judge']}")
    if "ppl_distance" in result:
        what.append(f"path length by {result['ppl_distance']}")
    rows += ["", "; ".join(what) + "."]
    rows += [f"Warning: {warning}." for warning in result["warnings"]]
    return "\n".join(rows)
