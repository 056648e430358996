"""A second method goes through runs as StyleGAN-T does: no CLIP, no captions, lazy regularisation, micro-batches."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from core.checkpoints import load
from core.checkpoints.native import Header
from core.engine import Engine
from core.models.stylegan2 import Config, Generator
from core.request import RenderRequest
from core.runlog import read_log
from core.values import setting
from tests.training.small import same, state_of
from training.config import GanConfig
from training.datasets.config import DataConfig
from training.datasets.opening import Data, open_data
from training.engine.distributed import Ranks
from training.engine.ema import Ema
from training.engine.phases import Phase, PhaseLoss, PhaseResult
from training.engine.prefetch import Batch
from training.engine.protocol import Compute
from training.errors import RunError
from training.losses import r1_penalty
from training.methods import registry
from training.methods.protocol import Arrangement, Files, MethodSpec, Start
from training.runs.config_file import read_run
from training.runs.loading import make_trainer
from training.runs.run import resume, train

R1_EVERY = 3


@dataclass(frozen=True, kw_only=True)
class PlainConfig(GanConfig):
    method: ClassVar[str] = "plain"
    learning_rate_g: float = setting(2e-3, "trainer", "The generator's.", above=0)
    learning_rate_d: float = setting(2e-3, "trainer", "The discriminator's.", above=0)
    gamma: float = setting(1.0, "loss", "Weight of R1.", low=0)


@dataclass
class Micro:
    rng: torch.Generator
    real: Tensor


class Plain:
    """Logistic losses (Goodfellow et al. 2014), lazy R1, an average of the generator."""

    own_clip = None
    sample_conditions: Sequence[None] = (None,)

    def __init__(self, config: PlainConfig, compute: Compute) -> None:
        self.config, self.compute = config, compute
        shape = Config(size=(4, 4), resolution=config.resolution, base_channels=64, max_channels=8, z_dim=8, w_dim=8)
        self.generator = Generator(shape)
        self.discriminator = nn.Sequential(
            nn.Conv2d(3, 8, 4, 4), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(8 * (config.resolution // 4) ** 2, 1)
        )
        self.ema = Ema(self.generator, half_life=1000.0)
        self.optimisers = {
            name: torch.optim.Adam(module.parameters(), lr=rate, betas=(0.0, 0.99), fused=True)
            for name, module, rate in (
                ("g", self.generator, config.learning_rate_g),
                ("d", self.discriminator, config.learning_rate_d),
            )
        }
        self.signs: list[float] = []

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return {"generator": self.generator, "ema": self.ema.module, "discriminator": self.discriminator}

    @property
    def z_dim(self) -> int:
        return 8

    def batches(self, images: int) -> int:
        return 1

    def schedule(self, images: int, step: int) -> None: ...

    def full_schedule(self) -> None: ...

    def phases(self, schedule: None) -> list[Phase[Micro]]:
        return [
            Phase(name="g", optimisers=("g",), loss=self.loss_g, frozen=("discriminator",)),
            Phase(name="d", optimisers=("d",), loss=self.loss_d, frozen=("generator",), after=self.after_d),
            Phase(name="d_r1", optimisers=("d",), loss=self.loss_r1, every=R1_EVERY),
        ]

    def begin(self, batches: Sequence[Batch], rng: torch.Generator, schedule: None, *, keep: bool) -> Micro:
        return Micro(rng=rng, real=batches[0].images.float() / 127.5 - 1)

    def fakes(self, micro: Micro) -> Tensor:
        z = torch.randn(len(micro.real), 8, generator=micro.rng)
        fakes: Tensor = self.generator.synthesis(self.generator.map(z))
        return fakes

    def loss_g(self, micro: Micro) -> PhaseLoss:
        loss = F.softplus(-self.discriminator(self.fakes(micro))).mean()
        return PhaseLoss(loss=loss, figures={"loss_g": loss.detach()})

    def loss_d(self, micro: Micro) -> PhaseLoss:
        real, fake = self.discriminator(micro.real), self.discriminator(self.fakes(micro).detach())
        loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        return PhaseLoss(loss=loss, figures={"loss_d": loss.detach()}, rows={"logits": real.detach()})

    def after_d(self, result: PhaseResult) -> Mapping[str, Tensor]:
        assert result.rows["logits"].shape == (self.config.batch, 1)
        self.signs.append(result.rows["logits"].sign().mean().item())
        return {"sign_real": torch.tensor(self.signs[-1])}

    def loss_r1(self, micro: Micro) -> PhaseLoss:
        x = micro.real.requires_grad_()
        return PhaseLoss(loss=self.config.gamma * r1_penalty(self.discriminator(x).flatten(), x))

    def after_step(self, schedule: None, images: int) -> Mapping[str, Tensor]:
        self.ema.update(self.generator, batch=self.config.batch, images_seen=images)
        return {}

    @torch.no_grad()
    def render(self, conditions: Sequence[None], z_NZ: Tensor, /, *, psi: float = 1.0) -> Tensor:
        model = self.ema.module
        return model.synthesis(model.map(z_NZ, psi=psi)).clamp(-1, 1)

    def checkpoint(self, start_notes: Mapping[str, Any]) -> tuple[Header, dict[str, Tensor]]:
        header = Header(
            name="",
            family="stylegan2",
            config=asdict(self.generator.config),
            text=None,
            images_seen=0,
            vocabulary=(),
            licence="Apache-2.0",
        )
        return header, {f"generator.{k}": v.detach().clone() for k, v in self.ema.module.state_dict().items()}

    def start_from(self, start: Start) -> None:
        raise NotImplementedError

    def prepare(self, data: Data) -> None: ...

    def precompute_conditions(self, data: Data, *, progress: bool) -> None: ...

    def reconfigure(self, config: PlainConfig) -> None:
        self.config = config

    def state_dict(self) -> dict[str, Any]:
        return {"signs": self.signs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.signs = list(state["signs"])


def build(config: PlainConfig, compute: Compute, files: Files) -> Plain:
    torch.manual_seed(config.seed)
    return Plain(config, compute)


def refuse(*_: object) -> Any:
    raise NotImplementedError


PLAIN = MethodSpec(
    name="plain",
    config=PlainConfig,
    recipes={"tiny": PlainConfig},
    condition="none",
    same_discriminator=(),
    arrange=lambda config, start: Arrangement(config=config),
    build=build,
    estimate=refuse,
    under_way=lambda config: config,
    cycle=lambda config: R1_EVERY,
    bench=refuse,
    bench_settings=(),
)
CONFIG = PlainConfig(
    resolution=16, batch=4, micro_batch=2, kimg=0.04, log_steps=1, sample_kimg=0.02, save_kimg=0.012, grid_seeds=3
)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.METHODS, "plain", PLAIN)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures and not a word."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


def test_it_starts_stops_and_goes_on_to_the_same_bits(pictures: Path, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    latest = train(CONFIG, pictures, whole)
    train(replace(CONFIG, kimg=0.016), pictures, stopped)
    assert read_run(stopped).config == replace(CONFIG, kimg=0.016)
    # As if it had died after its state at 12 images: it takes the fourth step, and a lazy one, once more.
    resume(stopped, settings=["kimg=0.04"])
    assert same(state_of(whole), state_of(stopped))
    assert state_of(whole)["method"] == state_of(stopped)["method"]
    assert len(state_of(whole)["method"]["signs"]) == 10

    rows = read_log(whole / "log.jsonl", "train")
    assert [row["images"] for row in rows] == list(range(4, 44, 4))
    assert all({"loss_g", "loss_d", "sign_real", "gradient_g", "gradient_d", "skipped"} <= set(row) for row in rows)
    assert [number for number, row in enumerate(rows) if "gradient_d_r1" in row] == [0, 3, 6, 9]
    (start,) = read_log(whole / "log.jsonl", "start")
    assert start["method"] == "plain"
    with Image.open(whole / "samples" / "000000.png") as grid:
        assert grid.size == (48, 16)
    header = load(latest).header
    assert (header.family, header.text, header.vocabulary, header.images_seen) == ("stylegan2", None, (), 40)
    assert header.notes["config"]["gamma"] == 1.0
    assert Engine.open(latest).render(RenderRequest(seed_x=1.0)).pixels.shape == (16, 16, 3)


def test_a_killed_run_goes_on_from_its_last_state(pictures: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(CONFIG, pictures, whole)
    train(replace(CONFIG, kimg=0.024), pictures, killed)
    for file in ("latest.safetensors", "log.jsonl"):
        (killed / file).unlink()
    shutil.rmtree(killed / "samples")
    resume(killed, settings=["kimg=0.04"])
    assert same(state_of(whole), state_of(killed))


def test_a_lazy_phase_counts_as_often_as_it_stands_in_for(pictures: Path) -> None:
    """Against gradients written out, without micro-batches, updaters or phases."""
    trainer_config = replace(CONFIG, micro_batch=0, precision="float32")
    method = build(trainer_config, Compute(device=torch.device("cpu"), dtype=torch.float32), Path)
    pool = open_data(DataConfig.of(pictures), 16, condition="none", progress=False)
    trainer = make_trainer(method, pool, Ranks())
    twin = build(trainer_config, Compute(device=torch.device("cpu"), dtype=torch.float32), Path)
    rng = torch.Generator().manual_seed(trainer_config.seed)
    for step in range(R1_EVERY + 1):
        micro = Micro(rng=rng, real=trainer.prefetcher.take(1)[0][0].images.float() / 127.5 - 1)
        for name, loss, times in (("g", twin.loss_g, 1), ("d", twin.loss_d, 1), ("d", twin.loss_r1, R1_EVERY)):
            if times == 1 or step % R1_EVERY == 0:
                twin.optimisers[name].zero_grad()
                (loss(micro).loss * times).backward()
                twin.optimisers[name].step()
        twin.ema.update(twin.generator, batch=4, images_seen=4 * (step + 1))
    trainer.prefetcher.close()
    trainer = make_trainer(method, pool, Ranks())
    for _ in range(R1_EVERY + 1):
        trainer.step()
    trainer.prefetcher.close()
    for module in ("generator", "discriminator", "ema"):
        for a, b in zip(method.modules[module].parameters(), twin.modules[module].parameters(), strict=True):
            assert torch.equal(a, b), module


def test_what_needs_captions_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="evaluate_kimg: judges pictures of captions, which plain has none of"):
        train(replace(CONFIG, evaluate_kimg=1.0), pictures, tmp_path / "run")
    with pytest.raises(RunError, match="metrics: clip judges pictures of captions"):
        train(replace(CONFIG, metrics_kimg=1.0, metrics=("fid", "clip")), pictures, tmp_path / "run")
    with pytest.raises(ValueError, match="method: expected one of stylegan-t, plain, got 'stylegan4'"):
        registry.method_spec("stylegan4")
