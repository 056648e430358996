"""The formats a video can be exported in: one entry each. Imports what a format needs only when one is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from app.errors import UserError

CodecName = Literal["h264", "ffv1", "prores", "webm", "gif", "apng", "png"]
CODEC_NAMES: tuple[CodecName, ...] = get_args(CodecName)

MOST_FPS = 240

# Nearly lossless: flat colours and hard pixel edges show compression sooner than film does.
H264_CRF = "16"
VP9_CRF = "20"


class Sink(Protocol):
    """A file that takes frames. `write` and `close` raise `OSError`; after that, `give_up` ends the file."""

    @property
    def error(self) -> OSError | None:
        """The system's own error, where the one that was raised says less."""

    def write(self, pixels: NDArray[np.uint8], index: int) -> None:
        """Append frame number `index`, [H, W, 3]."""

    def close(self) -> None:
        """End the file."""

    def give_up(self) -> bool:
        """Cut the file to what plays; whether anything does. Leaves no file otherwise."""


OpenSink = Callable[[Path, int, int, Fraction, str], Sink]
"""(path, width, height, frames a second, comment) -> Sink. Raises `OSError`."""


@dataclass(frozen=True, kw_only=True)
class Codec:
    """One format."""

    title: str
    suffixes: tuple[str, ...]
    """How a file's name ends, the usual one first; none for a folder of pictures."""
    open: OpenSink | None
    """None for a folder of pictures, which `app.rendering` fills."""
    even: bool = False
    """Whether width and height must be even."""
    lossless: bool = False
    most_fps: int = MOST_FPS
    interrupted: str
    """What an interrupted export leaves."""

    @property
    def suffix(self) -> str:
        return self.suffixes[0] if self.suffixes else ""


def _h264(path: Path, width: int, height: int, fps: Fraction, comment: str) -> Sink:
    from app.muxing import Encoding, MuxedFile, whole_fragments

    encoding = Encoding(
        container="mp4",
        encoder="libx264",
        pixels="yuv420p",
        # A short look-ahead and a key frame every half second bound what a killed export can lose.
        options={"preset": "veryfast", "crf": H264_CRF, "rc-lookahead": "10", "bf": "0", "sc_threshold": "0"},
        container_options={"movflags": "frag_keyframe+empty_moov+default_base_moof"},
        key_seconds=0.5,
        pieces=whole_fragments,
    )
    return MuxedFile(path, encoding, width, height, fps, comment)


def _ffv1(path: Path, width: int, height: int, fps: Fraction, comment: str) -> Sink:
    from app.muxing import Encoding, MuxedFile, whole_clusters

    encoding = Encoding(
        container="matroska",
        encoder="ffv1",
        pixels="bgr0",
        options={"level": "3", "g": "1", "slicecrc": "1"},
        container_options={"cluster_time_limit": "500"},
        seeks=True,
        pieces=whole_clusters,
    )
    return MuxedFile(path, encoding, width, height, fps, comment)


def _prores(path: Path, width: int, height: int, fps: Fraction, comment: str) -> Sink:
    from app.muxing import Encoding, MuxedFile, whole_fragments

    encoding = Encoding(
        container="mov",
        encoder="prores_ks",
        pixels="yuv422p10le",
        options={"profile": "3", "vendor": "apl0"},
        # In fragments while it grows, an ordinary file when it is whole: editors want that.
        container_options={"movflags": "hybrid_fragmented+use_metadata_tags", "frag_duration": "500000"},
        seeks=True,
        pieces=whole_fragments,
    )
    return MuxedFile(path, encoding, width, height, fps, comment)


def _webm(path: Path, width: int, height: int, fps: Fraction, comment: str) -> Sink:
    from app.muxing import Encoding, MuxedFile, whole_clusters

    encoding = Encoding(
        container="webm",
        encoder="libvpx-vp9",
        pixels="yuv420p",
        options={"crf": VP9_CRF, "b": "0", "cpu-used": "4", "row-mt": "1", "lag-in-frames": "12"},
        container_options={"cluster_time_limit": "500"},
        key_seconds=1.0,
        seeks=True,
        pieces=whole_clusters,
    )
    return MuxedFile(path, encoding, width, height, fps, comment)


def _gif(path: Path, width: int, height: int, fps: Fraction, comment: str) -> Sink:
    from app.animations import GifFile

    return GifFile(path, width, height, fps, comment)


def _apng(path: Path, width: int, height: int, fps: Fraction, comment: str) -> Sink:
    from app.animations import ApngFile

    return ApngFile(path, width, height, fps, {"glissando": comment} if comment else {})


PLAYS = "what was written plays; it starts again"

CODECS: Mapping[CodecName, Codec] = {
    "h264": Codec(title="H.264 (MP4)", suffixes=(".mp4",), open=_h264, even=True, interrupted=PLAYS),
    "ffv1": Codec(title="FFV1, lossless (MKV)", suffixes=(".mkv",), open=_ffv1, lossless=True, interrupted=PLAYS),
    "prores": Codec(title="ProRes 422 HQ (MOV)", suffixes=(".mov",), open=_prores, even=True, interrupted=PLAYS),
    "webm": Codec(title="VP9 (WebM)", suffixes=(".webm",), open=_webm, even=True, interrupted=PLAYS),
    "gif": Codec(title="GIF, 256 colours", suffixes=(".gif",), open=_gif, most_fps=50, interrupted=PLAYS),
    "apng": Codec(
        title="Animated PNG, lossless", suffixes=(".png", ".apng"), open=_apng, lossless=True, interrupted=PLAYS
    ),
    "png": Codec(
        title="PNG pictures in a folder, lossless",
        suffixes=(),
        open=None,
        lossless=True,
        interrupted="the pictures stay; --resume goes on behind them",
    ),
}


def codec_for(path: Path) -> CodecName:
    """The format that a file's name asks for. Raises `UserError` for a name that asks for none."""
    for name, codec in CODECS.items():
        if path.suffix.lower() in codec.suffixes:
            return name
    if not path.suffix:
        return "png"
    known = ", ".join(suffix for codec in CODECS.values() for suffix in codec.suffixes)
    raise UserError(f"{path}: expected a name that ends in {known}, or a folder without a dot for PNG pictures")


def check_name(path: Path, name: CodecName) -> None:
    """Raises `UserError` when a file of this name would be taken for another format."""
    suffixes = CODECS[name].suffixes
    if suffixes and path.suffix.lower() not in suffixes:
        raise UserError(f"{path}: expected a name that ends in {' or '.join(suffixes)}")
