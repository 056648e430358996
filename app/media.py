"""What a saved picture or video says about itself, whatever its format. Files are untrusted."""

from __future__ import annotations

from pathlib import Path

from app.errors import UserError, reason
from app.images import read_png
from app.provenance import Picture, read_document

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# One demuxer is named for each, so that no file can pass for a playlist, whose entries FFmpeg would open.
_DEMUXERS = {"mp4": "mov", "matroska": "matroska"}


def kind_of(start: bytes) -> str | None:
    """png, gif, mp4 (MOV as well) or matroska (WebM as well) by a file's first 16 bytes; None for anything else."""
    if start.startswith(PNG_SIGNATURE):
        return "png"
    if start[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if start[4:8] == b"ftyp":
        return "mp4"
    if start.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    return None


def first_bytes(path: Path) -> bytes:
    """A file's first 16 bytes. Raises `UserError`."""
    try:
        with path.open("rb") as file:
            return file.read(16)
    except IsADirectoryError:
        raise UserError(f"{path}: expected a file, got a folder") from None
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"{path}: cannot read it: {why}") from error


def read_media(path: Path) -> Picture:
    """Raises `UserError` for what is neither picture nor video, and for damaged metadata of ours."""
    kind = kind_of(first_bytes(path))
    if kind is None:
        raise UserError(f"{path}: expected a PNG, GIF, MP4, MOV, MKV or WebM, got something else")
    if kind == "png":
        return read_png(path)
    return _read_gif(path) if kind == "gif" else _read_video(path, _DEMUXERS[kind])


def _read_gif(path: Path) -> Picture:
    from PIL import Image

    try:
        with Image.open(path, formats=("GIF",)) as image:
            width, height = image.size
            comment = image.info.get("comment", b"")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot read the picture: {error}") from error
    return _with_comment(path, comment.decode("utf-8", errors="replace"), width, height)


def _read_video(path: Path, demuxer: str) -> Picture:
    import av

    try:
        with av.open(str(path), format=demuxer) as container:
            if not container.streams.video:
                raise UserError(f"{path}: expected a video, got a file without pictures")
            context = container.streams.video[0].codec_context
            if context is None:
                raise UserError(f"{path}: cannot read the video: its format is not known")
            width, height = context.width, context.height
            comment = next((text for key, text in container.metadata.items() if key.lower() == "comment"), "")
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: cannot read the video: {error}") from error
    return _with_comment(path, comment, width, height)


def _with_comment(path: Path, comment: str, width: int, height: int) -> Picture:
    # Other programs comment as well: ours is JSON that names us.
    if not comment.startswith('{"version": ') or '"software": "Glissando' not in comment[:200]:
        return Picture(width=width, height=height)
    return read_document(path, comment, width=width, height=height)
