"""When memory runs out: which micro-batch would fit, found by trying."""

from __future__ import annotations

import gc

import torch

from training.errors import RunError
from training.runs.loading import OpenRun

# What the allocators say, beside torch.OutOfMemoryError on a GPU.
_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is an allocator giving up."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)
    )


def explain(run: OpenRun, folder: str) -> RunError:
    """What to tell whoever started a run that ran out of memory. The run must not go on after this."""
    trainer = run.trainer
    batch, micro = trainer.plan.batch, trainer.plan.micro
    fits = fitting(run)
    tried = f"out of memory with {micro} pictures at once ({run.config.resolution} px, {trainer.device})"
    if not fits:
        return RunError(f"{tried}, and one alone does not fit either: take a smaller preset or resolution")
    return RunError(
        f"{tried}; {fits} would fit: go on with `glissando train gan --resume {folder} --set micro_batch={fits}`, "
        f"which adds the gradients of a batch of {batch} up from {batch // fits} parts"
    )


def fitting(run: OpenRun) -> int:
    """The largest smaller micro-batch whose passes and optimiser state fit, or 0. It tries them on the device."""
    trainer = run.trainer
    batch, micro = trainer.plan.batch, trainer.plan.micro
    for size in sorted((size for size in range(1, micro) if batch % size == 0), reverse=True):
        gc.collect()
        if trainer.device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            trainer.rehearse(size, run.config.resolution)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return size
    return 0
