"""What every saved picture and video says about itself: JSON with the whole request, the scene, and the checkpoint.

A PNG holds it as a text entry, a GIF as its comment, a video as its container's comment; see `app.media` for reading
all of them. Version 2 added the scene and what a video was made from; version 1 is read as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from app.errors import UserError
from core import values
from core.model_info import ModelInfo
from core.request import RenderRequest

DOCUMENT_KEY = "glissando"
DOCUMENT_VERSION = 2
LONGEST_S = 1e9
CHECKPOINT_KEYS = ("name", "family", "sha256")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a picture or a video says about itself."""

    width: int
    height: int
    parameters: str = ""
    """The form of AUTOMATIC1111's web UI; empty when there is none."""
    request: RenderRequest | None = None
    """What to render for the same picture, or a video's first; None when Glissando did not write the file."""
    checkpoint: dict[str, str] | None = None
    """The model's name, family and sha256."""
    scene: dict[str, Any] | None = None
    """The explorer's whole document, as JSON, where the file came from its window."""
    time: float | None = None
    """Where the scene's play stood, in seconds; None where it showed its controls."""
    video: dict[str, Any] | None = None
    """Of what a video was made, and how."""


def document(
    request: RenderRequest,
    info: ModelInfo,
    *,
    scene: Mapping[str, Any] | None = None,
    time: float | None = None,
    video: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole request and what rendered it, as JSON values; `scene` is what `Scene.to_json` gave, at `time`."""
    values_of: dict[str, Any] = {
        "version": DOCUMENT_VERSION,
        "software": f"Glissando {version()}",
        "request": values.to_json(request),
        "checkpoint": {"name": info.name, "family": info.family, "sha256": info.sha256},
        **values.to_json(info.arithmetic),
    }
    if scene is not None:
        # Pictures are shared: where the checkpoint lies on this machine is nobody's business, its hash finds it.
        values_of |= {"scene": {**scene, "checkpoint": ""}, "time": time}
    if video is not None:
        values_of["video"] = dict(video)
    return values_of


def document_text(values_of: Mapping[str, Any]) -> str:
    """A document as a comment: one line of ASCII, which every container holds."""
    return json.dumps(values_of, ensure_ascii=True)


def read_document(path: Path, text: str, *, width: int, height: int, parameters: str = "") -> Picture:
    """The `Picture` with what `document` wrote into `path`. Raises `UserError` for what is damaged or too new."""
    try:
        data = json.loads(text)
        found = data["version"]
        if type(found) is not int or not 1 <= found <= DOCUMENT_VERSION:
            raise UserError(
                f"{path}: metadata version {found}; this Glissando reads up to {DOCUMENT_VERSION}: update it"
            )
        request = values.from_json(RenderRequest, data["request"], "request")
        checkpoint = {key: str(data["checkpoint"][key]) for key in CHECKPOINT_KEYS}
        scene, video = data.get("scene"), data.get("video")
        time = data.get("time")
        if time is not None and (type(time) not in (int, float) or not 0.0 <= time <= LONGEST_S):
            raise ValueError(f"time: expected seconds from 0 to {LONGEST_S:g}, got {time!r:.40}")
        for name, part in (("scene", scene), ("video", video)):
            if part is not None and not isinstance(part, dict):
                raise ValueError(f"{name}: expected a JSON object, got {type(part).__name__}")
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{path}: its {DOCUMENT_KEY} metadata is damaged: {error}") from error
    return Picture(
        width=width,
        height=height,
        parameters=parameters,
        request=request,
        checkpoint=checkpoint,
        scene=scene,
        time=None if time is None else float(time),
        video=video,
    )


def version() -> str:
    """This program's."""
    return metadata.version("glissando")
