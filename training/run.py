"""A GAN run: a folder that is started, resumed and stopped.

It holds config.toml, environment.json, log.jsonl, state.pt (to resume exactly), samples/, and latest.safetensors, which
the explorer opens; and control.jsonl, where the monitor leaves commands.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from core.checkpoints import native
from core.checkpoints.native import Checkpoint
from core.latents import seed_to_z
from core.run_control import ControlError
from core.runlog import RunLog
from training.clip.text_tower import TextTower, load_tower, save_tower
from training.config import START, GanConfig
from training.control import Control, obey
from training.datasets.config import DataConfig
from training.datasets.decoded import FolderDataset
from training.datasets.errors import DataError
from training.datasets.opening import open_data, vocabulary
from training.environment import describe_data, environment, write_environment
from training.features import FEATURE_PREFIXES, OPEN_CLIP_PREFIX, RUN_PREFIX
from training.growing import TUNED, resolved
from training.interrupt import Interrupt
from training.metrics.classifier import LoadedClassifier
from training.metrics.during import Candidate, Finished, RunMetrics
from training.metrics.postcards_eval import quick_eval
from training.run_file import RunFile, read_run, write_run
from training.snapshots import compose_snapshot, save_sample_grid
from training.tensorboard import TensorBoard, require_tensorboard
from training.text_phase import open_judge, tower_of
from training.trainer import STATE_VERSION, GanTrainer, RunError

LATEST = "latest.safetensors"
TOWER = "text.safetensors"
"""The text tower of the checkpoint that the run began with, where it conditions the generator or stands for a CLIP."""
FIXED = (
    *("preset", "resolution", "growth", "base_channels", "max_channels", "convs_per_block", "z_dim", "norm_groups"),
    *("frozen_to", "clip", "encoder", "phase", "batch", "seed", "features", "taps", "pixel_channels", "logits"),
)
"""Settings that a run keeps from its first step to its last."""


def train(
    config: GanConfig,
    data: Path | DataConfig,
    clip: Path | str,
    out: Path,
    *,
    start: Path | None = None,
    tensorboard: bool = False,
) -> Path:
    """Start a run in the new folder `out`; returns the path of its last snapshot.

    `clip` is as the setting of that name. `start` is a checkpoint whose generator the run goes on with, at the same
    resolution or grown to a higher one; or a run's folder, whose discriminator and encoder come along.
    With `tensorboard` the log is also written for that.

    Raises `RunError` when `out` holds a run already or `start` does not fit, and what loading the data, the CLIP and
    the checkpoint raise.
    """
    if tensorboard:
        require_tensorboard()
    if (out / "state.pt").exists():
        raise RunError(
            f"{out} holds a run already: go on with `glissando train gan --resume {out}`, or name another folder"
        )
    config, origin, tower = arranged(config, str(clip), start)
    sources = (DataConfig.of(data) if isinstance(data, Path) else data).resolved()
    out.mkdir(parents=True, exist_ok=True)
    if tower is not None:
        save_tower(out / TOWER, tower)
    write_run(out, RunFile(config=config, data=sources, start=_origin(origin[0]) if origin is not None else None))
    return _run(out, start=origin, tensorboard=tensorboard)


def resume(out: Path, *, settings: Sequence[str] = (), tensorboard: bool = False) -> Path:
    """Go on with the run in `out` exactly where its last saved state was taken.

    `settings` ("kimg=400", see `GanConfig.changed`) change its configuration from here on; what the weights' shapes or
    the order of the data hang on cannot change.
    """
    if tensorboard:
        require_tensorboard()
    saved = read_run(out)
    if settings:
        config = saved.config.changed(settings)
        fixed = [name for name in FIXED if getattr(saved.config, name) != getattr(config, name)]
        if fixed:
            raise RunError(f"{', '.join(fixed)}: cannot change while a run goes on; start a new one")
        write_run(out, replace(saved, config=config))
    state = None
    if saved.start and not (out / "state.pt").exists():
        raise RunError(f"{out}: stopped before it saved its first state; remove the folder and start the run again")
    if (out / "state.pt").exists():
        state = _load_state(out)
    return _run(out, state=state, tensorboard=tensorboard)


Start = tuple[Checkpoint, Mapping[str, Any] | None]
"""The checkpoint that a run begins with, and the state of the run it comes from where that is known."""


def arranged(config: GanConfig, clip: str, start: Path | None) -> tuple[GanConfig, Start | None, TextTower | None]:
    """A new run's configuration with nothing left open, what it starts from, and the text tower it takes from there.

    Raises `RunError` where they do not fit, and what opening the checkpoint raises.
    """
    if clip != START and not clip.startswith(OPEN_CLIP_PREFIX):
        clip = str(Path(clip).resolve())
    config = replace(config, clip=clip)
    origin = _open_start(config, start) if start is not None else None
    config = resolved(config, origin[0].header if origin else None)
    tower = tower_of(origin[0]) if origin and START in (config.encoder, config.clip) else None
    return config, origin, tower


def _load_state(out: Path) -> dict[str, Any]:
    """What `GanTrainer.state_dict` gave when the run was last saved. Raises `RunError`."""
    try:
        state: dict[str, Any] = torch.load(out / "state.pt", map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 (torch raises any kind for a damaged file, even IndexError)
        raise RunError(
            f"{out / 'state.pt'}: could not be read ({type(error).__name__}); the run cannot go on from it"
        ) from None
    if state.get("version") != STATE_VERSION:
        raise RunError(f"{out / 'state.pt'}: expected state version {STATE_VERSION}, got {state.get('version')!r}")
    return state


def _open_start(config: GanConfig, start: Path) -> Start:
    """The checkpoint to start from and, when `start` is a run's folder, the run's state."""
    if not start.is_dir():
        return native.load(start), None
    before = read_run(start).config
    other = [
        name
        for name in ("taps", "pixel_channels", "features", "logits")
        if getattr(before, name) != getattr(config, name)
    ]
    if other:
        raise RunError(
            f"{start}: its discriminator has another {', '.join(other)}; "
            f"start from {start / LATEST} alone, or set the same"
        )
    return native.load(start / LATEST), _load_state(start)


def _run(
    out: Path,
    *,
    state: Mapping[str, Any] | None = None,
    start: Start | None = None,
    tensorboard: bool = False,
) -> Path:
    """The loop, on what config.toml says: from a saved state, from what another run has learnt, or from nothing."""
    control = Control(out)  # what is asked for while the data load holds; what was asked for before has had its turn
    saved = read_run(out)
    config, data, origin = saved.config, saved.data, saved.start
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dataset = open_data(data, config.resolution)
    if dataset.skipped():
        print(dataset.skipped())
    tower = load_tower(out / TOWER) if START in (config.encoder, config.clip) else None
    model = open_judge(config.clip, device, tower if config.clip == START else None)
    trainer = GanTrainer(config, dataset, model, device, tower if config.encoder == START else None)
    if start is not None:
        trainer.start_from(*start)
    if state is not None:
        trainer.load_state_dict(state)
    if data.text_cache:
        trainer.know_texts()
    judge = LoadedClassifier.open().model if config.evaluate_kimg else None
    known_words = vocabulary(dataset)
    measured: RunMetrics | None = None
    if config.metrics_kimg:
        if not isinstance(dataset, FolderDataset):
            raise RunError(
                "metrics_kimg: expected 0 for data that are read from shards, which cannot be drawn from by row; "
                "measure its checkpoints with `glissando evaluate quality`, or train on a folder or a zip"
            )
        measured = RunMetrics.of_arrays(
            config,
            dataset.images,
            dataset.fingerprint,
            folder=out,
            captions=dataset.captions,
            own_clip=model,
            z_dim=trainer.generator.z_dim,
            device=device,
        )
    latest = out / LATEST
    total = round(config.kimg * 1000)

    board = TensorBoard(out, images=trainer.images_seen) if tensorboard else None
    made_with = environment(device, data=describe_data(data, dataset))
    write_environment(out, made_with)

    def snapshot() -> None:
        grid = out / "samples" / f"{trainer.images_seen // 1000:06d}.png"
        save_sample_grid(grid, trainer.render, config.prompts, grid_z(config, trainer.generator.z_dim))
        if board is not None:
            board.picture(grid, trainer.images_seen)
        native.save(latest, *checkpoint())

    def checkpoint() -> tuple[native.Header, dict[str, Tensor]]:
        return compose_snapshot(
            trainer.ema.module,
            trainer.text_source,
            name=out.resolve().name,
            images_seen=trainer.images_seen + (origin["images_seen"] if origin else 0),
            vocabulary=known_words,
            notes=_notes(config, data, origin),
        )

    def candidate() -> Candidate:
        header, tensors = checkpoint()
        return Candidate(header=header, tensors=tensors)

    def evaluate() -> None:
        if judge is not None:
            figures = quick_eval(trainer.render, judge, z_dim=trainer.generator.z_dim, resolution=config.resolution)
            log.write("evaluate", images=trainer.images_seen, **figures)

    def measure() -> None:
        if measured is not None:
            measured.measure(trainer.render, candidate, images=trainer.images_seen, stopped=lambda: stop.requested)

    def evaluate_now() -> None:
        if judge is None and measured is None:
            raise ControlError("this run is not evaluated: both evaluate_kimg and metrics_kimg are 0")
        evaluate()
        measure()

    def finish() -> None:
        stop.requested = True

    def changed() -> None:
        write_run(out, replace(saved, config=trainer.config))  # resumed, it goes on with what was in force

    actions = {"snapshot": snapshot, "evaluate": evaluate_now, "stop": finish}
    with (
        contextlib.closing(trainer.stream),
        contextlib.closing(board) if board is not None else contextlib.nullcontext(),
        RunLog(out / "log.jsonl", also=board) as log,
        Interrupt() as stop,
        tqdm(total=total, initial=trainer.images_seen, unit="img") as bar,
    ):
        trainer.stream.ready(1)  # refuse data of which nothing can be used
        log.write(
            "start",
            images=trainer.images_seen,
            config=config.to_json(),
            pictures=len(dataset),
            threads=torch.get_num_threads(),
            environment=made_with,
        )
        steps, clock, counted = 0, time.perf_counter(), trainer.images_seen
        if start is not None:
            _save_state(out, trainer)  # the checkpoint may be gone when the run is resumed
        if trainer.images_seen == 0:
            snapshot()
        while trainer.images_seen < total and not stop.requested:
            if control.waiting():
                obey(control.take(), trainer, log.write, actions=actions, changed=changed)
                continue  # it may have been to stop
            before = trainer.images_seen
            try:
                metrics = trainer.step()
            except DataError as error:
                _save_state(out, trainer)
                log.write("stop", images=trainer.images_seen, finished=False, problem=str(error))
                raise DataError(f"{error}. Saved; go on with: glissando train gan --resume {out}") from None
            bar.update(trainer.images_seen - before)
            steps += 1
            if steps % config.log_steps == 0:
                values = {name: round(value.item(), 5) for name, value in metrics.items()}
                speed = (trainer.images_seen - counted) / (time.perf_counter() - clock)
                log.write("train", images=trainer.images_seen, images_per_s=round(speed, 2), **values)
                bar.set_postfix({name: f"{value:.2f}" for name, value in values.items()})
                clock, counted = time.perf_counter(), trainer.images_seen
            if _passed(config.evaluate_kimg, before, trainer.images_seen):
                evaluate()
            if measured is not None:
                if _passed(config.metrics_kimg, before, trainer.images_seen):
                    measure()
                _log_metrics(log, measured.finished())
            if _passed(config.sample_kimg, before, trainer.images_seen):
                snapshot()
            if _passed(config.save_kimg, before, trainer.images_seen):
                _save_state(out, trainer)
        _save_state(out, trainer)
        snapshot()
        if measured is not None:
            # Who asked the run to stop does not wait for figures; a run that is over does.
            _log_metrics(log, measured.close(patience=5.0 if stop.requested else None))
        log.write("stop", images=trainer.images_seen, finished=trainer.images_seen >= total)
    if trainer.stream.skipped():
        print(trainer.stream.skipped())
    if trainer.images_seen < total:
        done = f"{trainer.images_seen / 1000:.1f} of {config.kimg:g} kimg"
        print(f"Stopped at {done}; go on with: glissando train gan --resume {out}")
    return latest


def _log_metrics(log: RunLog, finished: Sequence[Finished]) -> None:
    for evaluation in finished:
        log.write("evaluate", images=evaluation.images, **evaluation.figures)


def _passed(every_kimg: float, before: int, now: int) -> bool:
    every = every_kimg * 1000
    return every > 0 and int(now // every) > int(before // every)


def grid_z(config: GanConfig, z_dim: int) -> Tensor:
    """The latents of the sample grid's columns, [seeds, Z]."""
    return torch.stack([seed_to_z(seed, z_dim) for seed in range(config.grid_seeds)])


def _origin(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a run's checkpoints say about the one it started from."""
    header = checkpoint.header
    return {
        "name": header.name,
        "sha256": checkpoint.sha256,
        "images_seen": header.images_seen,
        "notes": header.notes,
    }


def _notes(config: GanConfig, data: DataConfig, origin: Mapping[str, Any] | None) -> dict[str, Any]:
    # Where things lie on this machine is nobody else's business.
    settings = config.to_json() | {name: _without_folder(getattr(config, name)) for name in ("clip", "features")}
    notes: dict[str, Any] = {"data": data.name(), "config": settings, "examples": list(config.prompts)}
    if config.phase == "text" or (origin and origin["notes"].get(TUNED) and config.encoder == START):
        notes[TUNED] = True
    return {**notes, "start": origin} if origin else notes


def _without_folder(name: str) -> str:
    """A setting that may hold a path, with the path's last part alone."""
    before, equals, file = name.partition("=")
    if equals:
        return f"{before}={Path(file).name}"
    prefix, colon, path = name.rpartition(RUN_PREFIX)
    if colon or (name and not name.startswith(FEATURE_PREFIXES)):
        return f"{prefix}{colon}{Path(path).name}"
    return name


def _save_state(out: Path, trainer: GanTrainer) -> None:
    unfinished = out / "state.pt.new"
    torch.save(trainer.state_dict(), unfinished)
    os.replace(unfinished, out / "state.pt")
