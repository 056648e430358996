"""A GAN run: a folder that is started, resumed and stopped.

It holds config.toml, environment.json, log.jsonl, state-NNNNNN/ (to resume exactly), samples/, and latest.safetensors,
which the explorer opens; and control.jsonl, where the monitor leaves commands. Several processes that torchrun has
started train one run together; the first of them writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.checkpoints import native
from core.checkpoints.native import Checkpoint
from core.latents import seed_to_z
from core.perception.features import FEATURE_PREFIXES, OPEN_CLIP_PREFIX, RUN_PREFIX
from core.perception.text_tower import TextTower, load_tower, save_tower
from core.runlog import RunLog
from training.config import START, GanConfig
from training.datasets.config import DataConfig
from training.datasets.decoded import FolderDataset
from training.datasets.opening import open_data, vocabulary
from training.engine.distributed import Ranks, open_ranks
from training.engine.micro_batches import plan_micro_batches
from training.engine.trainer import GanTrainer
from training.errors import RunError
from training.methods.stylegan_t.growth import TUNED, resolve
from training.methods.stylegan_t.text_phase import open_conditioning_model, tower_of
from training.metrics.classifier import LoadedClassifier
from training.metrics.during import Candidate, RunMetrics
from training.runs.config_file import RunFile, read_run, write_run
from training.runs.control import Control
from training.runs.environment import describe_data, environment, write_environment
from training.runs.interrupt import Interrupt
from training.runs.lock import RunLock
from training.runs.loop import Journal, Loop, describe
from training.runs.snapshots import compose_snapshot, save_sample_grid
from training.runs.states import load_state, saved_state, tidy
from training.runs.tensorboard import TensorBoard, require_tensorboard

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
    with open_ranks() as ranks:
        saved = ranks.broadcast(str(saved_state(out) or ""))
        if saved and ranks.restarts:  # the same command once more, after a process of the run has died
            return _run(out, ranks, state=load_state(Path(saved)), tensorboard=tensorboard)
        if saved:
            raise RunError(
                f"{out} holds a run already: go on with `glissando train gan --resume {out}`, or name another folder"
            )
        config, origin, tower = arranged(config, str(clip), start)
        # From the first step to the last the run is that of this micro-batch, whatever the number of ranks.
        if ranks.world > 1:
            config = replace(config, micro_batch=plan_micro_batches(config.batch, config.micro_batch, ranks).micro)
        sources = (DataConfig.of(data) if isinstance(data, Path) else data).resolved()
        file = RunFile(config=config, data=sources, start=_origin(origin[0]) if origin is not None else None)
        return _run(out, ranks, file=file, tower=tower, start=origin, tensorboard=tensorboard)


def resume(out: Path, *, settings: Sequence[str] = (), tensorboard: bool = False) -> Path:
    """Go on with the run in `out` exactly where its last saved state was taken.

    `settings` ("kimg=400", see `GanConfig.changed`) change its configuration from here on; what the weights' shapes or
    the order of the data hang on cannot change.
    """
    if tensorboard:
        require_tensorboard()
    saved, changed = read_run(out), None
    if settings:
        config = saved.config.changed(settings)
        fixed = [name for name in FIXED if getattr(saved.config, name) != getattr(config, name)]
        if fixed:
            raise RunError(f"{', '.join(fixed)}: cannot change while a run goes on; start a new one")
        changed = replace(saved, config=config)
    with open_ranks() as ranks:
        path = ranks.broadcast(str(saved_state(out) or ""))
        if saved.start and not path:
            raise RunError(f"{out}: stopped before it saved its first state; remove the folder and start the run again")
        state = load_state(Path(path)) if path else None
        return _run(out, ranks, file=changed, state=state, tensorboard=tensorboard)


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
    config = resolve(config, origin[0].header if origin else None)
    tower = tower_of(origin[0]) if origin and START in (config.encoder, config.clip) else None
    return config, origin, tower


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
    path = saved_state(start)
    if path is None:
        raise RunError(f"{start}: the run has saved no state yet; start from {start / LATEST} alone")
    return native.load(start / LATEST), load_state(path)


def _run(
    out: Path,
    ranks: Ranks,
    *,
    file: RunFile | None = None,
    tower: TextTower | None = None,
    state: Mapping[str, Any] | None = None,
    start: Start | None = None,
    tensorboard: bool = False,
) -> Path:
    """Train in a folder: from a saved state, from what another run has learnt, or from nothing.

    `file` is what config.toml shall say from now on, None what it says; `tower` is kept beside it.
    """
    with ExitStack() as held:
        stop = held.enter_context(Interrupt(loading=True))
        if ranks.first:
            held.enter_context(RunLock(out))
            tidy(out)
            if tower is not None:
                save_tower(out / TOWER, tower)
            if file is not None:
                write_run(out, file)
        # What is asked for while the data load holds; what was asked for before has had its turn.
        control = Control(out, reads=ranks.first)
        ranks.barrier()
        saved = read_run(out)
        config, data, origin = saved.config, saved.data, saved.start
        with ranks.one_at_a_time():
            dataset = open_data(data, config.resolution, progress=ranks.first)
        if dataset.skipped() and ranks.first:
            print(dataset.skipped())
        tower = load_tower(out / TOWER) if START in (config.encoder, config.clip) else None
        model = open_conditioning_model(config.clip, ranks.device, tower if config.clip == START else None)
        trainer = GanTrainer(
            config, dataset, model, ranks.device, tower if config.encoder == START else None, ranks=ranks
        )
        held.enter_context(closing(trainer.prefetcher))
        if start is not None:
            trainer.start_from(*start)
        if state is not None:
            trainer.load_state_dict(state)
        if data.text_cache:
            with ranks.one_at_a_time():
                trainer.precompute_texts()
        known_words = vocabulary(dataset) if ranks.first else ()
        z_dim = trainer.generator.z_dim

        made_with = environment(ranks.device, data=describe_data(data, dataset), processes=ranks.world)
        board: TensorBoard | None = None
        if ranks.first:
            write_environment(out, made_with)
            if tensorboard:
                board = held.enter_context(closing(TensorBoard(out, images=trainer.images_seen)))

        def snapshot() -> None:
            grid = out / "samples" / f"{trainer.images_seen // 1000:06d}.png"
            save_sample_grid(grid, trainer.render, config.prompts, grid_z(config, z_dim))
            if board is not None:
                board.picture(grid, trainer.images_seen)
            native.save(out / LATEST, *checkpoint())

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

        def changed() -> None:
            if ranks.first:
                write_run(out, replace(saved, config=trainer.config))  # resumed, it goes on with what was in force

        trainer.prefetcher.ready(1)  # refuse data of which nothing can be used
        journal = Journal(held.enter_context(RunLog(out / "log.jsonl", also=board)) if ranks.first else None)
        journal.write("start", **describe(trainer, len(dataset)), environment=made_with)
        loop = Loop(
            trainer,
            out,
            journal,
            snapshot=snapshot,
            candidate=candidate,
            judge=LoadedClassifier.open().model if config.evaluate_kimg and ranks.first else None,
            measured=_metrics(trainer, out) if config.metrics_kimg else None,
            control=control,
            changed=changed,
        )
        finished = loop.run(stop, save_first=start is not None)
        if trainer.prefetcher.skipped():
            print(trainer.prefetcher.skipped())
    if not finished and ranks.first:
        done = f"{trainer.images_seen / 1000:.1f} of {config.kimg:g} kimg"
        print(f"Stopped at {done}; go on with: glissando train gan --resume {out}")
    return out / LATEST


def _metrics(trainer: GanTrainer, out: Path) -> RunMetrics:
    """The metrics of a run as it goes on. Raises `DataError` for data of which nothing can be measured."""
    dataset, config = trainer.data, trainer.config
    if isinstance(dataset, FolderDataset):
        of_data = partial(RunMetrics.of_arrays, config, dataset.images, dataset.fingerprint, captions=dataset.captions)
    else:
        of_data = partial(RunMetrics.of_streamed, config, dataset, from_first=trainer.ranks.broadcast)
    return of_data(folder=out, own_clip=trainer.clip, z_dim=trainer.generator.z_dim, device=trainer.device)


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
