"""Frozen dataclasses to plain JSON values and back, strictly: nothing is guessed, and an error names the place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import cattrs
from cattrs.gen import make_dict_structure_fn

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

_SETTING = "setting"

_converter = cattrs.Converter(forbid_extra_keys=True, unstruct_collection_overrides={tuple: list})


_REFUSALS = (cattrs.BaseValidationError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


class _WrongKindError(ValueError):
    """A value of another kind than the field's."""


def _float(value: object, _: object) -> float:
    # JSON's integers are welcome where a float is meant; booleans are never numbers.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _WrongKindError(f"expected float (a finite number), got {value!r:.80}")
    return float(value)


def _exactly(kind: type) -> Any:
    def check(value: object, _: object) -> object:
        if type(value) is not kind:
            raise _WrongKindError(f"expected {kind.__name__}, got {value!r:.80}")
        return value

    return check


_converter.register_structure_hook(float, _float)


def _literal(kind: Any) -> Any:
    choices = get_args(kind)

    def check(value: object, _: object) -> object:
        if value not in choices or isinstance(value, bool):
            raise _WrongKindError(f"expected one of {', '.join(map(str, choices))}, got {value!r:.80}")
        return value

    return check


def _tuple(kind: Any) -> Any:
    item, _ = get_args(kind)  # tuple[item, ...]

    def check(value: object, _: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _WrongKindError(f"expected a list, got {type(value).__name__}")
        items = []
        for index, element in enumerate(value):
            try:
                items.append(_converter.structure(element, item))
            except _REFUSALS as error:
                raise _WrongKindError(f"{index}: {_reason(error)}") from error
        return tuple(items)

    return check


def _mapping(kind: Any) -> Any:
    item = get_args(kind)[1]  # Mapping[str, item]

    def check(value: object, _: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _WrongKindError(f"expected a JSON object, got {type(value).__name__}")
        items = {}
        for name, element in value.items():
            try:
                items[name] = _converter.structure(element, item)
            except _REFUSALS as error:
                raise _WrongKindError(f"{name}: {_reason(error)}") from error
        return items

    return check


def _dataclass(kind: Any) -> Any:
    structure = make_dict_structure_fn(kind, _converter)

    def check(value: object, _: object) -> object:
        if not isinstance(value, dict):
            raise _WrongKindError(f"expected a JSON object, got {type(value).__name__}")
        return structure(value, kind)

    return check


def _is(origin: Any) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) is origin


for _kind in (int, str, bool):
    _converter.register_structure_hook(_kind, _exactly(_kind))
_converter.register_structure_hook_factory(_is(Literal), _literal)
_converter.register_structure_hook_factory(_is(tuple), _tuple)
_converter.register_structure_hook_factory(_is(Mapping), _mapping)
_converter.register_structure_hook_factory(is_dataclass, _dataclass)


def to_json(value: object) -> Any:
    """A dataclass, or a collection of them, as JSON values: every field, tuples as lists."""
    return _converter.unstructure(value)


def from_json(kind: type[T], data: object, name: str) -> T:
    """The `kind` that `to_json` wrote; missing fields take their defaults.

    Raises `ValueError`, one line that begins with `name` and names the field, for unknown fields, values of a wrong
    kind, and whatever the dataclass itself refuses.
    """
    try:
        return _converter.structure(data, kind)
    except _REFUSALS as error:
        raise ValueError(f"{name}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """The first cause of an error that cattrs collected, with the fields that lead to it."""
    path = ""
    while isinstance(error, BaseExceptionGroup):
        first = error.exceptions[0]
        for note in getattr(first, "__notes__", ()):
            if (place := getattr(note, "name", None)) is not None:
                path += f"{place}: "
        error = first
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return f"{path}unknown field {', '.join(sorted(repr(field) for field in error.extra_fields))}"
    if isinstance(error, RecursionError):
        return f"{path}nested too deeply"
    if isinstance(error, _WrongKindError):
        return f"{path}{error}"
    if isinstance(error, KeyError):
        return f"{path}missing"
    if isinstance(error, ValueError) and str(error):
        return f"{path}{error}"
    return f"{path}expected something else ({type(error).__name__}: {error})"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is known of a field of a configuration beside its type and default."""

    section: str
    """The table of a TOML file it stands in, and the first half of its dotted name."""
    help: str
    low: float | None = None
    """The least value ..."""
    above: float | None = None
    """... or what it must be above ..."""
    high: float | None = None
    """... and the greatest."""
    fixed: bool = False
    """Whether it stays as it is once a run has begun."""
    place: bool = False
    """Whether it may hold a path on this machine."""


def setting(
    default: Any,
    section: str,
    help: str,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    fixed: bool = False,
    place: bool = False,
) -> Any:
    """A field of a configuration, to be checked by `check_settings`."""
    about = Setting(section=section, help=help, low=low, above=above, high=high, fixed=fixed, place=place)
    return field(default=default, metadata={_SETTING: about})


def setting_of(declared: Field[Any]) -> Setting | None:
    """What `setting` declared of a field; None for another field."""
    found = declared.metadata.get(_SETTING)
    return found if isinstance(found, Setting) else None


def check_settings(config: DataclassInstance) -> None:
    """Raises `ValueError` for the first field out of its bounds or not among its choices."""
    hints = get_type_hints(type(config))
    for declared in fields(config):
        about, name, value = setting_of(declared), declared.name, getattr(config, declared.name)
        if about is None:
            continue
        if get_origin(hints[name]) is Literal and value not in get_args(hints[name]):
            raise ValueError(f"{name}: expected one of {', '.join(get_args(hints[name]))}, got {value!r}")
        if hints[name] is int and about.low is not None and (type(value) is not int or value < about.low):
            raise ValueError(f"{name}: expected a whole number from {about.low:g}, got {value!r}")
        if hints[name] is float:
            if about.above is not None and not (math.isfinite(value) and value > about.above):
                raise ValueError(f"{name}: expected a number above {about.above:g}, got {value!r}")
            if about.low is not None and not (math.isfinite(value) and value >= about.low):
                raise ValueError(f"{name}: expected a number from {about.low:g}, got {value!r}")
        if about.high is not None and value > about.high:
            raise ValueError(f"{name}: expected a number from {about.low or 0:g} to {about.high:g}, got {value!r}")


def setting_from_value(kind: type[DataclassInstance], name: str, value: object) -> Any:
    """A field's value from JSON or TOML. Raises `ValueError` for one of another kind, and for no finite number."""
    hint, default = get_type_hints(kind)[name], next(one.default for one in fields(kind) if one.name == name)
    try:
        whole = list(value) if isinstance(value, tuple) else value
        return _converter.structure(whole, str if get_origin(hint) is Literal else hint)
    except _REFUSALS:
        raise ValueError(f"{name}: expected a value like {_as_text(default)}, got {value!r}") from None


def setting_from_text(config: DataclassInstance, name: str, text: str) -> Any:
    """A field's value as typed: true or false, a number, text, or several between commas. Raises `ValueError`."""
    hint, now = get_type_hints(type(config))[name], getattr(config, name)
    try:
        if get_origin(hint) is tuple:
            item = get_args(hint)[0]
            return tuple(item(part) for part in text.split(",") if part)
        return {"true": True, "false": False}[text.lower()] if hint is bool else type(now)(text)
    except (ValueError, KeyError):
        raise ValueError(f"{name}: expected a value like {_as_text(now)}, got {text!r}") from None


def _as_text(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
