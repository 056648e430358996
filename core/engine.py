"""From a request to a frame: an `Engine` is one checkpoint on one device in one precision, ready to draw.

It knows generators by `core.models.family.Generator` alone. It recomputes only what changed: `core.styles` keeps the
embedding of each prompt and the mapped latent of each seed, and the synthesis keeps what depends on the prompt alone
and on w alone. Equal requests give bit-equal frames, whatever was rendered in between.
"""

from __future__ import annotations

import math
import os
import runpy
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.arithmetic import Arithmetic
from core.checkpoints import Checkpoint, CheckpointError, native
from core.checkpoints.importing import Progress, load_any
from core.layer_view import LayerView
from core.model_info import EngineError, LayerInfo, ModelInfo
from core.models import registry
from core.models.family import Generator
from core.package_files import package_file
from core.request import Frame, RenderRequest
from core.styles import Styles
from core.text import EncoderFileError, TextEncoder, TextEncoderError, load_text_encoder

__all__ = [
    "DTYPES",
    "PRECISIONS",
    "Engine",
    "EngineError",
    "choose_device",
    "choose_precision",
    "class_names",
    "good_threads",
    "load_centroids",
    "load_generator",
    "text_encoder",
]

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

IMAGENET_CLASSES = 1000
# One picture at a time does not feed more cores than this; the synchronisation costs more than they give.
MAX_THREADS = 16
# What a thread should have to do, in floating point operations, some ten milliseconds' worth: threads that wait for
# each other all the time gain little alone and lose far more where something else wants the cores.
WORK_OF_A_THREAD = 1e9


class Engine:
    """A checkpoint that answers requests. One thread at a time; make one with `Engine.open`."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = "auto",
        precision: str = "auto",
        plain: bool | None = None,
        threads: int = 0,
        centroids: Tensor | None = None,
    ) -> None:
        """`centroids` [K, W]: truncation moves towards the nearest of them (StyleGAN-XL, multimodal truncation)."""
        self.device = choose_device(device)
        if plain is None:
            plain = precision == "float32"
        precision = choose_precision(precision, self.device)
        header = checkpoint.header
        generator = load_generator(checkpoint)
        parameters = sum(p.numel() for p in generator.parameters())
        layers = generator.layers
        if centroids is not None:
            if not hasattr(generator, "centroids"):
                raise EngineError(f"centroids: only StyleGAN-XL truncates towards centroids, this is a {header.family}")
            if centroids.shape[1] != generator.w_dim:
                raise EngineError(f"centroids: expected [K, {generator.w_dim}], got {list(centroids.shape)}")
            generator.centroids = centroids
        generator = generator.to(self.device)
        text = text_encoder(checkpoint, generator, self.device)
        with torch.inference_mode():
            self._synthesis = registry.synthesis(
                header.family, generator, DTYPES[precision], plain=plain, consume=not plain
            )
        # Where the plain synthesis is in use, it can be looked into as it is.
        plain = plain or registry.FAMILIES[header.family].fast is None
        self._layer_view = LayerView(generator, DTYPES[precision]) if plain else None
        classes = generator.c_dim if generator.conditioning == "class" else 0
        self.info = ModelInfo(
            name=header.name,
            family=header.family,
            size=generator.output_size,
            conditioning=generator.conditioning,
            classes=classes,
            class_names=class_names(header.class_names, classes),
            z_dim=generator.z_dim,
            w_dim=generator.w_dim,
            num_ws=generator.num_ws,
            layers=layers,
            has_noise=generator.has_noise,
            has_transform=generator.has_transform,
            path=checkpoint.path,
            sha256=checkpoint.sha256,
            parameters=parameters,
            images_seen=header.images_seen,
            vocabulary=frozenset(header.vocabulary),
            knows_english=text is not None and text.knows_english,
            arithmetic=Arithmetic(
                device=str(self.device),
                precision=precision,
                plain=plain,
                threads=(threads or good_threads(layers)) if self.device.type == "cpu" else 0,
            ),
        )
        self._styles = Styles(generator, text, self.info, self.device)

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        device: str = "auto",
        precision: str = "auto",
        plain: bool | None = None,
        threads: int = 0,
        centroids: Path | None = None,
        progress: Progress | None = None,
    ) -> Engine:
        """Loads a checkpoint of ours, or a published file by way of an import.

        `centroids` is a .npy file [K, W] for multimodal truncation; without one, NAME.centroids.npy beside the file is
        taken if it is there.
        `device`, `precision`, `plain` and `threads` are those of an `Arithmetic`: by themselves the fastest that is
        safe here; float32 by name is the plain model to the bit. Raises `CheckpointError`,
        `core.checkpoints.opcodes.PublishedError`, `core.text.TextEncoderError` or `EngineError`.
        """
        if centroids is None and (beside := Path(path).with_suffix(".centroids.npy")).is_file():
            centroids = beside
        table = None if centroids is None else load_centroids(centroids)
        checkpoint = load_any(path, progress)
        return cls(checkpoint, device=device, precision=precision, plain=plain, threads=threads, centroids=table)

    def render(self, request: RenderRequest) -> Frame:
        """The picture of a request. Raises `EngineError` when the numbers overflow, which only half precision can bring
        about.
        """
        start = time.perf_counter()
        with torch.inference_mode(), self._reproducible():
            rgb_3HW = self._synthesise(request)[0]
            if len(rgb_3HW) != 3:
                rgb_3HW = rgb_3HW[:1].expand(3, -1, -1) if len(rgb_3HW) < 3 else rgb_3HW[:3]
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

    def register(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Directions and latents that requests may name from now on: [w_dim] or one row a style, [num_ws, w_dim].

        Raises `EngineError` for a shape that is another model's.
        """
        self._styles.register(vectors)

    def unregister(self, names: Iterable[str]) -> None:
        """The reverse of `register`, for what no request will name again; unknown ones do not matter."""
        self._styles.unregister(names)

    def embeddings(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """[N, C], rows of length one: what the text encoder makes of each prompt.

        Raises `EngineError` for a model that takes no text.
        """
        with self._reproducible():
            return self._styles.embeddings(prompts)

    def features(self, request: RenderRequest, layer: str) -> NDArray[np.float32]:
        """[C, H, W]: what a layer, by its `LayerInfo.name`, puts out on the way to the picture of a request.

        The first call reads the weights again where a fast synthesis has used them up. Raises `CheckpointError` when
        the file has gone or is another by now, `EngineError` for a layer that is not there.
        """
        if layer not in [info.name for info in self.info.layers]:
            raise EngineError(f"layer: {self.info.name} has none of the name {layer!r}")
        with torch.inference_mode(), self._reproducible():
            return self._looking_in().maps(layer, self.ws(request), request.options)

    def layer_types(self) -> dict[str, str]:
        """By layer, the number type of what it puts out: "float32", "bfloat16" or "float16". Raises as `features`."""
        with torch.inference_mode(), self._reproducible():
            return self._looking_in().types(self.ws(RenderRequest()))

    def _looking_in(self) -> LayerView:
        if self._layer_view is None:
            checkpoint = native.load(self.info.path)
            if checkpoint.sha256 != self.info.sha256:
                raise CheckpointError(f"{self.info.path}: the file has changed since it was opened; open it again")
            generator = load_generator(checkpoint).to(self.device)
            self._layer_view = LayerView(generator, DTYPES[self.info.precision])
        return self._layer_view

    def ws(self, request: RenderRequest) -> Tensor:
        """The styles of a request, one for each layer: [1, num_ws, w_dim] float32 on the engine's device.

        Raises `EngineError` for a class that the model does not have, and a direction or latent that it does not know.
        """
        with self._reproducible():
            return self._styles.ws(request)

    def latent(self, request: RenderRequest) -> NDArray[np.float32]:
        """The styles of a request as plain numbers, [num_ws, w_dim], to be kept as a latent."""
        latent: NDArray[np.float32] = self.ws(request)[0].float().cpu().numpy()
        return latent.copy()

    def _synthesise(self, request: RenderRequest) -> Tensor:
        return self._synthesis(self.ws(request), request.options)

    def _reproducible(self) -> AbstractContextManager[None]:
        """Only what gives the same bits each time: sums shared by as many threads as ever, on CUDA those algorithms
        alone and float32 that is float32.
        """
        if self.device.type != "cuda":
            # A property of the calling thread, and the whole process's: another engine may have changed it.
            if torch.get_num_threads() != self.info.arithmetic.threads:
                torch.set_num_threads(self.info.arithmetic.threads)
            return nullcontext()
        flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        return flags


def load_centroids(path: Path) -> Tensor:
    """The table [K, W], float32, of a .npy file. Raises `EngineError` for anything else; no pickle in it is read."""
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise EngineError(f"{path}: expected a .npy file of numbers, cannot read it: {why}") from error
    if not isinstance(table, np.ndarray) or table.ndim != 2 or not table.size or table.dtype.kind != "f":
        raise EngineError(f"{path}: expected a .npy table [K, W] of floating point numbers, got something else")
    if not np.isfinite(table).all():
        raise EngineError(f"{path}: holds values that are not finite")
    return torch.from_numpy(table.astype(np.float32))


def class_names(names: Sequence[str], classes: int) -> tuple[str, ...]:
    """The names of `classes` classes: a checkpoint's own, or ImageNet's where there are a thousand; else none."""
    if len(names) == classes and classes:
        return tuple(names)
    if classes == IMAGENET_CLASSES:
        # A list in a file that imports nothing; open_clip itself would bring timm and torchvision.
        path = package_file("open_clip", "zero_shot_metadata.py")
        if path is not None:
            return tuple(runpy.run_path(str(path))["IMAGENET_CLASSNAMES"])
    return ()


def text_encoder(checkpoint: Checkpoint, generator: Generator, device: torch.device) -> TextEncoder | None:
    """The text encoder of a checkpoint whose generator takes text, checked against it."""
    if generator.conditioning != "text":
        return None
    spec = checkpoint.header.text
    assert spec is not None  # `native.load` sees to it
    try:
        encoder = load_text_encoder(spec, checkpoint.part("text"), device)
    except TextEncoderError as error:
        # Weights that lie elsewhere and are not here are no fault of the file; a tower that does not fit is.
        if isinstance(error, EncoderFileError) or spec.get("kind") == "open_clip":
            raise
        raise CheckpointError(f"{checkpoint.path}: {error}. Save the checkpoint again.") from error
    if encoder.dim != generator.c_dim:
        raise CheckpointError(
            f"{checkpoint.path}: the generator expects text embeddings of {generator.c_dim} numbers, "
            f"its text encoder gives {encoder.dim}. The header and the tensors come from different models."
        )
    return encoder


def load_generator(checkpoint: Checkpoint) -> registry.Generator:
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


def good_threads(layers: Sequence[LayerInfo]) -> int:
    """On how many threads of the CPU a picture is calculated best; OMP_NUM_THREADS has the last word."""
    threads = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ:
        return threads
    # As if every layer were a 3x3 convolution between equal widths: near enough.
    work = sum(18 * layer.channels**2 * math.prod(layer.size) for layer in layers)
    return max(1, min(threads, MAX_THREADS, math.ceil(work / WORK_OF_A_THREAD)))


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
