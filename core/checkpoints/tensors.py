"""Numbers in a file: torch's tensors, numpy's arrays, scalars and types, from the calls that were recorded for them."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from core.checkpoints.calls import (
    DILL_MODULES,
    Budget,
    arguments,
    function,
    raw_bytes,
    shape,
    what,
    whole_numbers,
    wrong,
)
from core.checkpoints.opcodes import DAMAGED, Call, Name, PersistentId, PublishedError
from core.checkpoints.storages import ITEM_BYTES, Archive, Storage, is_legacy, read_legacy

Array = np.ndarray[Any, np.dtype[Any]]

_REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2"
_REBUILD_PARAMETER = "torch._utils._rebuild_parameter"
_LOAD_STORAGE = "torch.storage._load_from_bytes"
# numpy 1 and 2 write different names; protocol 5 uses the last two.
_NUMPY_RECONSTRUCT = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_NUMPY_FROMBUFFER = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
_NUMPY_SCALAR = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_DILL_ARRAY = tuple(f"{module}._create_array" for module in DILL_MODULES)

TENSORS = frozenset((_REBUILD_TENSOR, _REBUILD_PARAMETER, *_NUMPY_RECONSTRUCT, *_NUMPY_FROMBUFFER, *_DILL_ARRAY))
"""Names of the calls that `read_tensor` reads."""
SCALARS = frozenset(_NUMPY_SCALAR)

_NUMPY_DTYPES = {
    "f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8",
    "u8": "U64", "u4": "U32", "u2": "U16", "u1": "U8", "b1": "BOOL",
}  # fmt: skip
# The element type in memory. A bfloat16, which numpy lacks, travels as its bits.
_ARRAY_DTYPES = {code: "<" + name for name, code in _NUMPY_DTYPES.items()} | {"BF16": "<u2"}


def without_parameter(node: Any, where: str) -> Any:
    """The tensor inside a torch Parameter; anything else as it is."""
    while isinstance(node, Call) and function(node.target) == _REBUILD_PARAMETER:
        node = arguments(node, where, 1, 3)[0]
    return node


def read_tensor(node: Any, archive: Archive, budget: Budget, where: str) -> tuple[str, Array]:
    """A torch tensor or a numpy array: its element type by safetensors' name, and its numbers, contiguous and
    little-endian. They may still lie in the file's bytes.
    """
    name = function(node.target) if isinstance(node, Call) else ""
    if name == _REBUILD_TENSOR:
        return _torch_tensor(node, archive, budget, where)
    if name in SCALARS:  # what TensorFlow gave for a variable without dimensions
        return _numpy_scalar(node, where)
    if name in _NUMPY_RECONSTRUCT:
        return _numpy_array(node.args, node.state, budget, where)
    if name in _DILL_ARRAY:
        reconstruct, args, state = arguments(node, where, 3, 4)[:3]
        if function(reconstruct) in _NUMPY_RECONSTRUCT:
            return _numpy_array(args, state, budget, where)
    if name in _NUMPY_FROMBUFFER:
        raw, dtype, sizes, order = arguments(node, where, 4, 5)[:4]
        return _array(raw, dtype, sizes, order, budget, where)
    raise wrong("a tensor", node, where)


def read_scalar(node: Call, where: str) -> bool | int | float:
    """A numpy scalar as Python's own number."""
    _, array = _numpy_scalar(node, where)
    number: bool | int | float = array.item()
    return number


def read_dtype(node: Any, where: str) -> np.dtype[Any]:
    """A numpy type: numbers and bools only, never objects, records or text."""
    if isinstance(node, Call) and function(node.target) == "numpy.dtype" and node.args:
        name, order = node.args[0], "<"
        if isinstance(node.state, tuple) and len(node.state) > 1:
            order = node.state[1]
        if isinstance(name, str) and name in _NUMPY_DTYPES and isinstance(order, str) and order in set("<>|="):
            return np.dtype(name).newbyteorder(">" if order == ">" else "<")
    raise wrong("a numpy type for numbers", node, where)


def _torch_tensor(node: Call, archive: Archive, budget: Budget, where: str) -> tuple[str, Array]:
    """`_rebuild_tensor_v2(storage, offset, shape, stride, requires_grad, hooks[, metadata])`."""
    source, offset, sizes, strides = arguments(node, where, 6, 7)[:4]
    storage = _storage(source, archive, where)
    sizes, strides, (offset,) = shape(sizes, where), whole_numbers(strides, where), whole_numbers((offset,), where)
    if len(sizes) != len(strides):
        raise PublishedError(f"{where}: expected one stride for each of {len(sizes)} sizes. {DAMAGED}")
    count = math.prod(sizes)
    # The last element a view reaches. With no negative number and no zero step (which would repeat an element for
    # ever) this and the number of elements bound what a view can ask for.
    last = offset + sum((size - 1) * step for size, step in zip(sizes, strides, strict=True))
    repeats = any(step == 0 and size > 1 for size, step in zip(sizes, strides, strict=True))
    if count and (repeats or last >= storage.count or count > storage.count):
        raise PublishedError(
            f"{where}: expected a view of a storage with {storage.count} numbers, got shape {list(sizes)}, "
            f"stride {list(strides)}, offset {offset}. {DAMAGED}"
        )
    width = ITEM_BYTES[storage.dtype]
    budget.spend(count * width, where)
    dtype = np.dtype(_ARRAY_DTYPES[storage.dtype])
    if not count:
        return storage.dtype, np.empty(sizes, dtype)
    array: Array = np.ndarray(sizes, dtype, storage.data, offset * width, [step * width for step in strides])
    return storage.dtype, _plain(array)


def _storage(source: Any, archive: Archive, where: str) -> Storage:
    """A tensor's storage: in the torch file around it, or a torch file of its own as bytes."""
    if isinstance(source, PersistentId):
        return archive.storage(source)
    if not isinstance(source, Call) or function(source.target) != _LOAD_STORAGE:
        raise wrong("a tensor's storage", source, where)
    data = raw_bytes(arguments(source, where, 1)[0], where)
    stream = io.BytesIO(data)  # shares the bytes, without a copy
    if not is_legacy(stream):
        raise PublishedError(f"{where}: expected a storage in torch's old layout, got another. {DAMAGED}")
    inner = read_legacy(stream, memoryview(data))
    if not isinstance(inner.root, PersistentId):
        raise wrong("a single storage", inner.root, where)
    return inner.storage(inner.root)


def _numpy_array(args: Any, state: Any, budget: Budget, where: str) -> tuple[str, Array]:
    """`_reconstruct(numpy.ndarray, (0,), b"b")` with the state (version, shape, dtype, is Fortran, bytes)."""
    if not isinstance(args, tuple) or not args or not isinstance(args[0], Name) or str(args[0]) != "numpy.ndarray":
        raise PublishedError(f"{where}: expected a plain numpy array, got another kind. {DAMAGED}")
    if not isinstance(state, tuple) or len(state) != 5:
        raise PublishedError(f"{where}: expected a numpy array with its contents, got {what(state)}. {DAMAGED}")
    _, sizes, dtype, fortran, raw = state
    return _array(raw, dtype, sizes, "F" if fortran is True else "C", budget, where)


def _numpy_scalar(node: Call, where: str) -> tuple[str, Array]:
    """`scalar(dtype, bytes)` as an array without dimensions."""
    dtype, raw = arguments(node, where, 2)
    return _array(raw, dtype, (), "C", Budget(8), where)


def _array(raw: Any, dtype: Any, sizes: Any, order: Any, budget: Budget, where: str) -> tuple[str, Array]:
    kind, sizes, data = read_dtype(dtype, where), shape(sizes, where), raw_bytes(raw, where)
    if math.prod(sizes) * kind.itemsize != len(data) or order not in ("C", "F"):
        raise PublishedError(
            f"{where}: expected an array of shape {list(sizes)} and type {kind.str}, got {len(data)} bytes. {DAMAGED}"
        )
    budget.spend(len(data), where)
    flat: Array = np.frombuffer(data, kind)
    return _NUMPY_DTYPES[kind.str[1:]], _plain(flat.reshape(sizes, order="F" if order == "F" else "C"))


def _plain(array: Array) -> Array:
    """Contiguous and little-endian; bools are 0 or 1 whatever their bytes were."""
    if array.dtype.kind == "b":
        array = array.view(np.uint8) != 0
    # reshape, because ascontiguousarray makes a vector of a scalar
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
