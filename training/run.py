"""A GAN run: a folder that is started, resumed and stopped.

It holds config.json, log.jsonl, state.pt (to resume exactly), samples/, and latest.safetensors, which the explorer
opens.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from core.checkpoints import native
from core.checkpoints.native import Checkpoint
from core.latents import seed_to_z
from core.runlog import RunLog
from core.words import words
from training.clip.model import load_clip
from training.config import GanConfig
from training.datasets.folder import load_folder
from training.interrupt import Interrupt
from training.metrics.classifier import LoadedClassifier
from training.metrics.during import Candidate, Finished, RunMetrics
from training.metrics.postcards_eval import quick_eval
from training.snapshots import compose_snapshot, save_sample_grid
from training.trainer import STATE_VERSION, GanTrainer, RunError

LATEST = "latest.safetensors"
FIXED = ("preset", "resolution", "batch", "seed", "taps", "pixel_channels", "features")
"""Settings that a run keeps from its first step to its last."""


def train(config: GanConfig, data: Path, clip: Path, out: Path, *, start: Path | None = None) -> Path:
    """Start a run in the new folder `out`; returns the path of its last snapshot.

    `start` is a checkpoint whose generator the run goes on with, at the same resolution or grown to a higher one; or a
    run's folder, whose discriminator and encoder come along.

    Raises `RunError` when `out` holds a run already or `start` does not fit, and what loading the data, the CLIP and
    the checkpoint raise.
    """
    if (out / "state.pt").exists():
        raise RunError(
            f"{out} holds a run already: go on with `glissando train gan --resume {out}`, or name another folder"
        )
    origin = _open_start(config, start) if start is not None else None
    out.mkdir(parents=True, exist_ok=True)
    _write_json(
        out / "config.json",
        {
            "config": config.to_json(),
            "data": str(data.resolve()),
            "clip": str(clip.resolve()),
            "start": origin and _origin(origin[0]),
        },
    )
    return _run(out, start=origin)


def resume(out: Path, *, settings: Sequence[str] = ()) -> Path:
    """Go on with the run in `out` exactly where its last saved state was taken.

    `settings` ("kimg=400", see `GanConfig.changed`) change its configuration from here on; what the weights' shapes or
    the order of the data hang on cannot change.
    """
    saved, config = _settings(out)
    if settings:
        before, config = config, config.changed(settings)
        fixed = [name for name in FIXED if getattr(before, name) != getattr(config, name)]
        if fixed:
            raise RunError(f"{', '.join(fixed)}: cannot change while a run goes on; start a new one")
        _write_json(out / "config.json", {**saved, "config": config.to_json()})
    state = None
    if saved.get("start") and not (out / "state.pt").exists():
        raise RunError(f"{out}: stopped before it saved its first state; remove the folder and start the run again")
    if (out / "state.pt").exists():
        state = _load_state(out)
    return _run(out, state=state)


def _settings(out: Path) -> tuple[dict[str, Any], GanConfig]:
    """What config.json holds, and the configuration in it. Raises `RunError` when it cannot be read."""
    try:
        saved = json.loads((out / "config.json").read_text(encoding="utf-8"))
        Path(saved["data"]), Path(saved["clip"])
        return saved, GanConfig.from_json(saved["config"])
    except FileNotFoundError:
        raise RunError(f"{out}: expected the folder of a GAN run (with a config.json), found none") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise RunError(
            f"{out / 'config.json'}: expected what `glissando train gan` wrote there, could not read it: {error}"
        ) from None


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


def _open_start(config: GanConfig, start: Path) -> tuple[Checkpoint, dict[str, Any] | None]:
    """The checkpoint to start from and, when `start` is a run's folder, the run's state."""
    if not start.is_dir():
        return native.load(start), None
    _, before = _settings(start)
    other = [name for name in ("taps", "pixel_channels", "features") if getattr(before, name) != getattr(config, name)]
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
    start: tuple[Checkpoint, Mapping[str, Any] | None] | None = None,
) -> Path:
    """The loop, on what config.json says: from a saved state, from what another run has learnt, or from nothing."""
    saved, config = _settings(out)
    data, origin = Path(saved["data"]), saved.get("start")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dataset = load_folder(data, config.resolution)
    model = load_clip(saved["clip"], device)
    trainer = GanTrainer(config, dataset, model, device)
    if start is not None:
        trainer.start_from(*start)
    if state is not None:
        trainer.load_state_dict(state)
    judge = LoadedClassifier.open().model if config.evaluate_kimg else None
    measured: RunMetrics | None = None
    if config.metrics_kimg:
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
    vocabulary = tuple(
        sorted({word for captions in dataset.captions for caption in captions for word in words(caption)})
    )
    latest = out / LATEST
    total = round(config.kimg * 1000)

    def snapshot() -> None:
        kimg = trainer.images_seen // 1000
        save_sample_grid(
            out / "samples" / f"{kimg:06d}.png", trainer.render, config.prompts, grid_z(config, trainer.generator.z_dim)
        )
        native.save(latest, *checkpoint())

    def checkpoint() -> tuple[native.Header, dict[str, Tensor]]:
        return compose_snapshot(
            trainer.ema.module,
            model,
            name=out.resolve().name,
            images_seen=trainer.images_seen + (origin["images_seen"] if origin else 0),
            vocabulary=vocabulary,
            notes=_notes(config, data, origin),
        )

    def candidate() -> Candidate:
        header, tensors = checkpoint()
        return Candidate(header=header, tensors=tensors)

    with (
        RunLog(out / "log.jsonl") as log,
        Interrupt() as stop,
        tqdm(total=total, initial=trainer.images_seen, unit="img") as bar,
    ):
        log.write(
            "start",
            images=trainer.images_seen,
            config=config.to_json(),
            pictures=len(dataset),
            threads=torch.get_num_threads(),
        )
        steps, clock, counted = 0, time.perf_counter(), trainer.images_seen
        if start is not None:
            _save_state(out, trainer)  # the checkpoint may be gone when the run is resumed
        if trainer.images_seen == 0:
            snapshot()
        while trainer.images_seen < total and not stop.requested:
            before = trainer.images_seen
            metrics = trainer.step()
            bar.update(trainer.images_seen - before)
            steps += 1
            if steps % config.log_steps == 0:
                values = {name: round(value.item(), 5) for name, value in metrics.items()}
                speed = (trainer.images_seen - counted) / (time.perf_counter() - clock)
                log.write("train", images=trainer.images_seen, images_per_s=round(speed, 2), **values)
                bar.set_postfix({name: f"{value:.2f}" for name, value in values.items()})
                clock, counted = time.perf_counter(), trainer.images_seen
            if judge is not None and _passed(config.evaluate_kimg, before, trainer.images_seen):
                figures = quick_eval(trainer.render, judge, z_dim=trainer.generator.z_dim, resolution=config.resolution)
                log.write("evaluate", images=trainer.images_seen, **figures)
            if measured is not None:
                if _passed(config.metrics_kimg, before, trainer.images_seen):
                    measured.measure(
                        trainer.render, candidate, images=trainer.images_seen, stopped=lambda: stop.requested
                    )
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


def _notes(config: GanConfig, data: Path, origin: Mapping[str, Any] | None) -> dict[str, Any]:
    notes = {"data": data.name, "config": config.to_json(), "examples": list(config.prompts)}
    return {**notes, "start": origin} if origin else notes


def _save_state(out: Path, trainer: GanTrainer) -> None:
    unfinished = out / "state.pt.new"
    torch.save(trainer.state_dict(), unfinished)
    os.replace(unfinished, out / "state.pt")


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, path)
