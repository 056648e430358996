"""A GAN run: a folder that is started, resumed and stopped.

It holds config.toml, environment.json, log.jsonl, state-NNNNNN/ (to resume exactly), samples/, and latest.safetensors,
which the explorer opens; and control.jsonl, where the monitor leaves commands. Several processes that torchrun has
started train one run together; the first of them writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from core.checkpoints import native
from core.checkpoints.native import Checkpoint
from core.runlog import RunLog
from training.config import GanConfig
from training.datasets.config import DataConfig
from training.datasets.decoded import FolderDataset
from training.datasets.opening import Data, vocabulary
from training.engine.distributed import Ranks, open_ranks
from training.engine.interrupt import Interrupt
from training.engine.micro_batches import plan_micro_batches
from training.errors import RunError
from training.methods.protocol import Arrangement, Start
from training.methods.registry import method_spec
from training.metrics.classifier import LoadedClassifier
from training.metrics.during import RunMetrics
from training.metrics.reals import ArrayPictures, RealPictures
from training.metrics.streamed import StreamedPictures
from training.runs.config_file import RunFile, read_run, write_run
from training.runs.control import Control
from training.runs.environment import describe_data, environment, write_environment
from training.runs.loading import OpenRun, open_data_of, open_run
from training.runs.lock import RunLock
from training.runs.loop import Journal, Loop, describe
from training.runs.snapshots import LATEST, Snapshots
from training.runs.states import load_state, saved_state, tidy
from training.runs.tensorboard import TensorBoard, require_tensorboard


def train(
    config: GanConfig,
    data: Path | DataConfig,
    out: Path,
    *,
    start: Path | None = None,
    tensorboard: bool = False,
) -> Path:
    """Start a run in the new folder `out`; returns the path of its last snapshot.

    `start` is a checkpoint whose generator the run goes on with, at the same resolution or grown to a higher one; or a
    run's folder, whose discriminator and the like come along. With `tensorboard` the log is also written for that.

    Raises `RunError` when `out` holds a run already or `start` does not fit, and what loading the data, the networks
    and the checkpoint raise.
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
        arrangement, origin = arrange(config, start)
        config = arrangement.config
        # From the first step to the last the run is that of this micro-batch, whatever the number of ranks.
        if ranks.world > 1:
            config = replace(config, micro_batch=plan_micro_batches(config.batch, config.micro_batch, ranks).micro)
        sources = (DataConfig.of(data) if isinstance(data, Path) else data).resolved()
        file = RunFile(config=config, data=sources, start=_origin(origin.checkpoint) if origin is not None else None)
        return _run(out, ranks, file=file, kept=arrangement.files, start=origin, tensorboard=tensorboard)


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
        fixed = [name for name in config.fixed() if getattr(saved.config, name) != getattr(config, name)]
        if fixed:
            raise RunError(f"{', '.join(fixed)}: cannot change while a run goes on; start a new one")
        changed = replace(saved, config=config)
    with open_ranks() as ranks:
        path = ranks.broadcast(str(saved_state(out) or ""))
        if saved.start and not path:
            raise RunError(f"{out}: stopped before it saved its first state; remove the folder and start the run again")
        state = load_state(Path(path)) if path else None
        return _run(out, ranks, file=changed, state=state, tensorboard=tensorboard)


def arrange(config: GanConfig, start: Path | None) -> tuple[Arrangement[Any], Start | None]:
    """A new run's configuration with nothing left open, and what it starts from.

    Raises `RunError` where they do not fit, and what opening the checkpoint raises.
    """
    spec = method_spec(config.method)
    if spec.condition != "captions" and config.evaluate_kimg:
        raise RunError(f"evaluate_kimg: judges pictures of captions, which {spec.name} has none of; set it to 0")
    if spec.condition != "captions" and config.metrics_kimg and "clip" in config.metrics:
        raise RunError(f"metrics: clip judges pictures of captions, which {spec.name} has none of; leave it out")
    origin = _open_start(config, start, spec.same_discriminator) if start is not None else None
    return spec.arrange(config, origin), origin


def _open_start(config: GanConfig, start: Path, same: Sequence[str]) -> Start:
    """The checkpoint to start from and, when `start` is a run's folder, the run's state."""
    if not start.is_dir():
        return Start(checkpoint=native.load(start))
    before = read_run(start).config
    if before.method != config.method:
        raise RunError(
            f"{start}: a run of {before.method}, whose discriminator is none of {config.method}; "
            f"start from {start / LATEST} alone"
        )
    other = [name for name in same if getattr(before, name) != getattr(config, name)]
    if other:
        raise RunError(
            f"{start}: its discriminator has another {', '.join(other)}; "
            f"start from {start / LATEST} alone, or set the same"
        )
    path = saved_state(start)
    if path is None:
        raise RunError(f"{start}: the run has saved no state yet; start from {start / LATEST} alone")
    return Start(checkpoint=native.load(start / LATEST), state=load_state(path))


def _run(
    out: Path,
    ranks: Ranks,
    *,
    file: RunFile | None = None,
    kept: Mapping[str, Callable[[Path], None]] | None = None,
    state: Mapping[str, Any] | None = None,
    start: Start | None = None,
    tensorboard: bool = False,
) -> Path:
    """Train in a folder: from a saved state, from what another run has learnt, or from nothing.

    `file` is what config.toml shall say from now on, None what it says; `kept` writes what the method keeps beside it.
    """
    with ExitStack() as held:
        stop = held.enter_context(Interrupt(loading=True))
        if ranks.first:
            held.enter_context(RunLock(out))
            tidy(out)
            for name, write in (kept or {}).items():
                write(out / name)
            if file is not None:
                write_run(out, file)
        # What is asked for while the data load holds; what was asked for before has had its turn.
        control = Control(out, reads=ranks.first)
        ranks.barrier()
        saved = read_run(out)
        run = _open(saved, out, ranks, state=state, start=start)
        trainer = run.trainer
        held.enter_context(closing(trainer.prefetcher))
        made_with = environment(ranks.device, data=describe_data(saved.data, run.data), processes=ranks.world)
        board: TensorBoard | None = None
        if ranks.first:
            write_environment(out, made_with)
            if tensorboard:
                board = held.enter_context(closing(TensorBoard(out, images=trainer.images_seen)))
        snapshots = Snapshots(run, out, saved, vocabulary=vocabulary(run.data) if ranks.first else (), board=board)

        def changed() -> None:
            if ranks.first:
                write_run(out, replace(saved, config=run.config))  # resumed, it goes on with what was in force

        trainer.prefetcher.ready(1)  # refuse data of which nothing can be used
        journal = Journal(held.enter_context(RunLog(out / "log.jsonl", also=board)) if ranks.first else None)
        journal.write("start", **describe(run), environment=made_with)
        loop = Loop(
            run,
            out,
            journal,
            snapshots=snapshots,
            judge=LoadedClassifier.open().model if run.config.evaluate_kimg and ranks.first else None,
            measured=_metrics(run, out) if run.config.metrics_kimg else None,
            control=control,
            changed=changed,
        )
        finished = loop.run(stop, save_first=start is not None)
        if trainer.prefetcher.skipped():
            print(trainer.prefetcher.skipped())
    if not finished and ranks.first:
        done = f"{trainer.images_seen / 1000:.1f} of {saved.config.kimg:g} kimg"
        print(f"Stopped at {done}; go on with: glissando train gan --resume {out}")
    return out / LATEST


def _open(saved: RunFile, out: Path, ranks: Ranks, *, state: Mapping[str, Any] | None, start: Start | None) -> OpenRun:
    """The run's data and networks, where it goes on."""
    data = open_data_of(saved.config, saved.data, ranks)
    if data.skipped() and ranks.first:
        print(data.skipped())
    run = open_run(saved.config, lambda name: out / name, data, ranks)
    run.method.prepare(data)
    if start is not None:
        run.method.start_from(start)
    if state is not None:
        run.trainer.load_state_dict(state)
    if saved.data.text_cache:
        with ranks.one_at_a_time():
            run.method.precompute_conditions(data, progress=ranks.first)
    return run


def _metrics(run: OpenRun, out: Path) -> RunMetrics:
    """The metrics of a run as it goes on. Raises `DataError` for data of which nothing can be measured."""
    data, config, trainer = run.data, run.config, run.trainer
    if data.condition != "captions":
        conditions = _conditions(data, config.metrics_pictures)
        if isinstance(data, FolderDataset):
            reals: RealPictures = ArrayPictures(data.images, data.fingerprint)
        else:
            reals = StreamedPictures(data, most=config.metrics_reals, seed=0)
        of_data = partial(RunMetrics, config, reals=reals, prompts=conditions)
    elif isinstance(data, FolderDataset):
        of_data = partial(RunMetrics.of_arrays, config, data.images, data.fingerprint, captions=data.captions)
    else:
        of_data = partial(RunMetrics.of_streamed, config, data, from_first=trainer.ranks.broadcast)
    return of_data(folder=out, own_clip=run.method.own_clip, z_dim=run.method.z_dim, device=trainer.device)


def _conditions(data: Data, count: int) -> list[Any]:
    """What pictures are generated for where there are no captions: each class as often as another, or nothing."""
    classes = len(data.class_names)
    return [number % classes for number in range(count)] if data.condition == "classes" else [None] * count


def _origin(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a run's checkpoints say about the one it started from."""
    header = checkpoint.header
    return {
        "name": header.name,
        "sha256": checkpoint.sha256,
        "images_seen": header.images_seen,
        "notes": header.notes,
    }
