"""Files that look like published ones, written from stubs of our own under the published names. Nothing here is
published code; what stands for a class's source only raises.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

SOURCE = "raise RuntimeError('ran')"


def _never(*_args: Any, **_kwargs: Any) -> Any:
    raise RuntimeError("ran")


def _stub(module: str, name: str) -> Any:
    """A function that pickle refers to as "MODULE.NAME"."""
    function = types.FunctionType(_never.__code__, globals(), name)
    function.__module__, function.__qualname__ = module, name
    return function


reconstruct = _stub("torch_utils.persistence", "_reconstruct_persistent_obj")
load_type = _stub("dill._dill", "_load_type")
create_array = _stub("dill._dill", "_create_array")
augment_pipe = _stub("published.augment", "AugmentPipe")


class EasyDict(dict[str, Any]):
    __module__ = "dnnlib.util"


class Network:
    """A TensorFlow network's shell: its state is given, not made."""

    __module__ = "dnnlib.tflib.network"

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return self.state


class Sneaky:
    """Pickles as a call of whatever it is given."""

    def __init__(self, function: Any, *args: Any, state: Any = None) -> None:
        self.call = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


class Persistent(nn.Module):
    """What the persistent class decorator makes of a module: its `__dict__` beside its class's source."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self._init_args = args
        self._init_kwargs = EasyDict(kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {
            "type": "class",
            "version": 6,
            "module_src": SOURCE,
            "class_name": type(self).__name__,
            "state": self.__dict__,
        }
        return reconstruct, (meta,)


class Layer(Persistent):
    def __init__(self, features: int, *, use_noise: bool = True) -> None:
        super().__init__(features, use_noise=use_noise)
        self.features = features
        self.shape = (features, None)
        self.gain = np.float64(1.5)
        self.taps = np.arange(6, dtype=np.float32).reshape(2, 3).T
        self.seen = {1, 2}
        self.clamp = float("inf")
        self.weight = nn.Parameter(torch.randn(features, 3))
        self.register_parameter("bias", None)
        self.register_buffer("noise_const", torch.randn(2, 2).half())
        self.register_buffer("steps", torch.tensor(7))


class Plain(nn.Module):
    """A module that is pickled by its class's name."""

    __module__ = "published.networks"

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(3).bfloat16())
        self.stack = nn.Sequential(nn.Linear(2, 1), nn.ReLU())


class Generator(Persistent):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.z_dim = 4
        self.mapping = Layer(2)
        self.synthesis = Layer(4, use_noise=False)
        self.plain = Plain()


NEW_KWARGS = {"z_dim": 4, "mapping_kwargs": {"num_layers": 2}, "channel_base": 64, "num_fp16_res": 0}
OLD_KWARGS = {
    "z_dim": 4,
    "mapping_kwargs": EasyDict(num_layers=2),
    "synthesis_kwargs": EasyDict(channel_base=64, num_fp16_res=0),
}


def generator(seed: int = 0, **kwargs: Any) -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(**(kwargs or NEW_KWARGS))


def snapshot(model: nn.Module) -> dict[str, Any]:
    """The dictionary that a training run leaves."""
    return {
        "G": None,
        "D": None,
        "G_ema": model,
        "augment_pipe": Sneaky(augment_pipe),
        "training_set_kwargs": EasyDict(path="data.zip"),
    }


def network(name: str, seed: int) -> Network:
    """A TensorFlow network with one component."""
    values = np.random.RandomState(seed)
    part = {
        "version": 4,
        "name": "synthesis",
        "static_kwargs": EasyDict(fused_modconv=True),
        "components": EasyDict(),
        "build_module_src": SOURCE,
        "build_func_name": "G_synthesis",
        "variables": [("4x4/Const/const", values.randn(1, 2, 4, 4).astype(np.float32)), ("lod", np.float32(0.5))],
    }
    whole = part | {
        "name": name,
        "components": EasyDict(synthesis=Network(part)),
        "build_func_name": "G_main",
        "variables": [("dlatent_avg", values.randn(3).astype(np.float32))],
    }
    return Network(whole)


@contextmanager
def published_names(*more: Any) -> Iterator[None]:
    """Puts the stubs, and `more` of them, where pickle looks for them while it writes."""
    stubs = [reconstruct, load_type, create_array, augment_pipe, EasyDict, Network, Plain, *more]
    added = []
    for stub in stubs:
        parts = stub.__module__.split(".")
        for name in (".".join(parts[: i + 1]) for i in range(len(parts))):
            if name not in sys.modules:
                sys.modules[name] = types.ModuleType(name)
                added.append(name)
        setattr(sys.modules[stub.__module__], stub.__qualname__, stub)
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]


class _DillPickler(pickle.Pickler):
    """What dill does otherwise: arrays through a function of its own, and some types by a word."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            function, args, state = value.__reduce__()
            return create_array, (function, args, state, None)
        if value is set:
            return load_type, ("set",)
        return NotImplemented


def dumps(value: Any, protocol: int = 4, *, dill: bool = False, stubs: Iterable[Any] = ()) -> bytes:
    """A pickle with the published names; `stubs` are classes that it refers to besides."""
    stream = io.BytesIO()
    with published_names(*stubs):
        (_DillPickler if dill else pickle.Pickler)(stream, protocol).dump(value)
    return stream.getvalue()
