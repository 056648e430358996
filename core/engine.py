"""From a request to a frame: an `Engine` is one checkpoint on one device in one precision, ready to draw.

It recomputes only what changed: the embedding of each prompt and the mapped latent of each seed are kept, and the
synthesis keeps what depends on the prompt alone and on w alone. Equal requests give bit-equal frames, whatever was
rendered in between: every cached value is computed from its own inputs only, always at batch 1.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.checkpoints import Checkpoint, CheckpointError, load
from core.latents import blend_embeddings, seed_corners, seed_to_z, truncate
from core.models import registry
from core.models.stylegan_t import Generator
from core.models.stylegan_t_fast import FastSynthesis
from core.request import IDENTITY_TRANSFORM, Frame, RenderRequest
from core.text import TextEncoderError, load_text_encoder

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

CACHED_SEEDS = 4096
# One picture at a time does not feed more cores than this; the synchronisation costs more than they give.
MAX_THREADS = 16


class EngineError(ValueError):
    """The engine cannot do what was asked on this machine; the message says what it can do."""


@dataclass(frozen=True)
class ModelInfo:
    """What an engine is running."""

    name: str
    family: str
    resolution: int
    """Side of the picture in pixels."""
    path: Path
    sha256: str
    """Of the checkpoint file."""
    parameters: int
    """Of the generator."""
    images_seen: int
    vocabulary: frozenset[str]
    """Lower-case words of the training captions; empty when they are not known."""
    precision: str
    """float32, bfloat16 or float16."""
    device: str


class Engine:
    """A checkpoint that answers requests. One thread at a time; make one with `Engine.open`."""

    def __init__(self, checkpoint: Checkpoint, *, device: str = "auto", precision: str = "auto") -> None:
        self.device = choose_device(device)
        precision = choose_precision(precision, self.device)
        header = checkpoint.header
        generator = load_generator(checkpoint).to(self.device)
        try:
            self._text = load_text_encoder(header.text, checkpoint.part("text"), self.device)
        except TextEncoderError as error:
            # Weights of a published encoder that are not here are no fault of the file; a tower that does not fit is.
            if header.text.get("kind") == "open_clip":
                raise
            raise CheckpointError(f"{checkpoint.path}: {error}. Save the checkpoint again.") from error
        if self._text.dim != generator.text_dim:
            raise CheckpointError(
                f"{checkpoint.path}: the generator expects text embeddings of {generator.text_dim} numbers, "
                f"its text encoder gives {self._text.dim}. The header and the tensors come from different models."
            )
        if self.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > MAX_THREADS:
            torch.set_num_threads(MAX_THREADS)
        # The plain layers' weights are not kept: the fast synthesis has its own copies of them.
        with torch.inference_mode():
            self._synthesis = FastSynthesis(generator, DTYPES[precision])
        self._mapping = generator.mapping
        self._latents: OrderedDict[int, Tensor] = OrderedDict()
        self.info = ModelInfo(
            name=header.name,
            family=header.family,
            resolution=generator.resolution,
            path=checkpoint.path,
            sha256=checkpoint.sha256,
            parameters=sum(p.numel() for p in generator.parameters()),
            images_seen=header.images_seen,
            vocabulary=frozenset(header.vocabulary),
            precision=precision,
            device=str(self.device),
        )

    @classmethod
    def open(cls, path: Path | str, *, device: str = "auto", precision: str = "auto") -> Engine:
        """Loads a checkpoint.

        `device` is auto (a CUDA device if there is one), cpu, cuda or cuda:N; `precision` is auto, float32, bfloat16 or
        float16. Raises `CheckpointError`, `core.text.TextEncoderError` or `EngineError`.
        """
        return cls(load(path), device=device, precision=precision)

    def render(self, request: RenderRequest) -> Frame:
        """The picture of a request. Raises `EngineError` when the numbers overflow, which only half precision can bring
        about.
        """
        start = time.perf_counter()
        with torch.inference_mode(), self._reproducible():
            rgb_3HW = self._synthesise(request)[0]
            # [-1, 1] -> 0..255; a picture may go beyond, and is then cut off as a film would.
            scaled = rgb_3HW.mul(127.5).add(127.5)
            if not bool(torch.isfinite(scaled.sum())):
                raise EngineError(
                    f"the picture is not finite in {self.info.precision} at psi {request.psi:g}; "
                    "use precision float32, or a psi nearer 0"
                )
            pixels_HW3 = scaled.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().cpu()
        pixels: NDArray[np.uint8] = pixels_HW3.numpy()
        return Frame(request=request, pixels=pixels, render_ms=(time.perf_counter() - start) * 1e3)

    def render_batch(self, requests: Sequence[RenderRequest]) -> list[Frame]:
        """The pictures of several requests, each bit-equal to `render(request)`; so they are drawn one by one."""
        return [self.render(request) for request in requests]

    def w(self, request: RenderRequest) -> Tensor:
        """The style vector of a request: [1, w_dim] float32 on the engine's device."""
        with torch.inference_mode():
            f_F = truncate(self._latent(request), self._mapping.f_avg, request.psi)
            return torch.cat([f_F, self._embedding(request)])[None]

    def _synthesise(self, request: RenderRequest) -> Tensor:
        generator: torch.Generator | None = None
        if request.noise == "random":
            generator = torch.Generator("cpu").manual_seed(request.noise_seed)
        transform: Tensor | None = None
        if request.transform != IDENTITY_TRANSFORM:
            transform = torch.tensor(request.transform, dtype=torch.float32, device=self.device).view(3, 3)
        return self._synthesis(self.w(request), noise=request.noise, transform=transform, generator=generator)

    def _reproducible(self) -> AbstractContextManager[None]:
        """On CUDA: only algorithms that give the same bits each time, and float32 that is float32."""
        if self.device.type != "cuda":
            return nullcontext()
        flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        return flags

    def _embedding(self, request: RenderRequest) -> Tensor:
        """[T]: the prompt, or the point between the two prompts."""
        if request.blend == 0.0:
            return self._text.encode([request.prompt])[0]
        if request.blend == 1.0:
            return self._text.encode([request.prompt_b])[0]
        a, b = self._text.encode([request.prompt, request.prompt_b])
        return blend_embeddings(a, b, request.blend)

    def _latent(self, request: RenderRequest) -> Tensor:
        """[F]: the mapped latent at the request's place on the seed plane, blended after mapping."""
        corners = seed_corners(request.seed_x, request.seed_y)
        f_F = self._mapped(corners[0][0])
        if len(corners) == 1:
            return f_F
        f_F = f_F * corners[0][1]
        for seed, weight in corners[1:]:
            f_F = f_F + self._mapped(seed) * weight
        return f_F

    def _mapped(self, seed: int) -> Tensor:
        f_F = self._latents.get(seed)
        if f_F is None:
            z_1Z = seed_to_z(seed, len(self._mapping.f_avg))[None].to(self.device)
            f_F = self._latents[seed] = self._mapping(z_1Z)[0]
            if len(self._latents) > CACHED_SEEDS:
                self._latents.popitem(last=False)
        else:
            self._latents.move_to_end(seed)
        return f_F


def load_generator(checkpoint: Checkpoint) -> Generator:
    """The plain generator of a checkpoint: float32, on the CPU, in evaluation mode, without gradients."""
    # On the meta device first: initial weights would only be thrown away. A copy of each tensor, because those of the
    # checkpoint are views of its file, which somebody may overwrite.
    with torch.device("meta"):
        generator = registry.build(checkpoint.header.family, checkpoint.header.config)
    state = {
        name: tensor.to(torch.float32, copy=True) if tensor.is_floating_point() else tensor.clone()
        for name, tensor in checkpoint.part("generator").items()
    }
    generator.load_state_dict(state, assign=True)
    return generator.eval().requires_grad_(False)


def choose_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:N to a device that is there. Raises `EngineError`."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise EngineError(f"device: expected auto, cpu, cuda or cuda:N, got {name!r}") from None
    if device.type not in ("cpu", "cuda"):
        raise EngineError(f"device: expected auto, cpu, cuda or cuda:N, got {name!r}")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise EngineError(
                f"device {name}: this machine has {count or 'no'} CUDA devices that torch can use; use auto or cpu"
            )
    return device


def choose_precision(name: str, device: torch.device) -> str:
    """auto or a name to the precision to use; auto is the fastest that is safe on the device. Raises `EngineError`."""
    if name not in PRECISIONS:
        raise EngineError(f"precision: expected one of {', '.join(PRECISIONS)}, got {name!r}")
    if name == "auto":
        if device.type == "cuda":
            return "float16"
        # Only the matrix units (AMX) make bfloat16 pay on a CPU; the AVX-512 instructions for it are slower than
        # float32.
        return "bfloat16" if has_amx() and _can_convolve(torch.bfloat16, device) else "float32"
    if name != "float32" and not _can_convolve(DTYPES[name], device):
        raise EngineError(f"precision {name}: {device} cannot do convolutions in it; use auto or float32")
    return name


def has_amx() -> bool:
    """Whether this CPU has matrix units for bfloat16 (Intel AMX)."""
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(probe()) if probe is not None else False


def _can_convolve(dtype: torch.dtype, device: torch.device) -> bool:
    try:
        x = torch.ones(1, 8, 4, 4, dtype=dtype, device=device)
        y = torch.nn.functional.conv2d(x, torch.ones(8, 8, 3, 3, dtype=dtype, device=device), padding=1)
        return float(y[0, 0, 1, 1]) == 72.0
    except RuntimeError:
        return False
