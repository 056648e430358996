"""Real pictures by row out of data that are read while they are trained on: shards, long lists, several sources mixed.

`training.metrics.rows` says which pictures the rows are, from sizes and a seed alone; what is measured is drawn from
these as from the rows of a folder, so that shards give the figures that the same pictures in a folder do. Pictures are
cut as for training, but every pixel counts, also of a large JPEG, and nothing is mirrored; a crop at random is the same
each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.datasets.config import Condition, is_url, place_shown
from training.datasets.decoded import FolderDataset
from training.datasets.decoding import spool_folder
from training.datasets.errors import DataError
from training.datasets.labels import UNLABELLED
from training.datasets.mixing import look_rng
from training.datasets.opening import StreamedData
from training.datasets.pictures import open_rgb, square
from training.datasets.remote import MissingError, RemoteError, fetch
from training.datasets.shards import ShardSource
from training.datasets.tar import FileReader, Sample, TarError, captions_of, class_of, index_tar, picture_of
from training.metrics.rows import choose_ranges
from training.metrics.sampler import caption_rows
from training.metrics.shards import Drawn

_VERSION = 1

Pixels = bytes | NDArray[np.uint8]
"""A picture's file, or [3, R, R] where it is decoded already."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shard:
    """The shard that is being read."""

    place: str
    reader: FileReader | None = None
    """None when there is no such shard, or it is none."""
    samples: Sequence[Sample] = ()


class StreamedPictures:
    """The rows, read as they are asked for: in rising order, one shard after another, one of them open at a time."""

    def __init__(self, data: StreamedData, *, most: int, seed: int = 0) -> None:
        """Rows that `most` pictures can be drawn from, where there are so many. Reads nothing yet."""
        self._data, self._seed = data, seed
        self._look = replace(data.look, mirror=False)
        self._ranges = choose_ranges(data.pools, most, seed)
        self._ends = np.cumsum([len(one.rows) for one in self._ranges])
        digest = hashlib.sha256(f"{_VERSION} {data.fingerprint} {most} {seed}\n".encode())
        for source in (pool.source for pool in data.pools):
            if isinstance(source, ShardSource) and is_url(source.places[0]):
                # The data's own fingerprint has a remote shard's name and count, which other sets may share.
                places = "\n".join(map(place_shown, source.places))
                digest.update(places.encode("utf-8", "surrogateescape"))
        self.fingerprint = digest.hexdigest()
        self._shard: _Shard | None = None
        self._pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="decode")

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, rows: Sequence[int]) -> Drawn:
        """Those rows, without what is broken or has no caption, which is counted, and without what is not there because
        a remote shard has fewer than was thought. Raises `DataError` when a source cannot be reached any more."""
        # Everything of a row at once, because going through the rows again might open the shards again.
        files = {row: self._file(row) if self._is_usable(row) else b"" for row in rows if self._is_there(row)}
        decoded = [pixels for pixels in self._pool.map(self._decode, files, files.values()) if pixels is not None]
        side = self._look.resolution
        pictures = np.stack(decoded) if decoded else np.empty((0, 3, side, side), np.uint8)
        return Drawn(np.ascontiguousarray(pictures.transpose(0, 2, 3, 1)), len(files) - len(decoded))

    def release(self) -> None:
        """Close the shard that was read last, which is opened again when it is asked for."""
        self._shard = None

    def prompts(self, count: int, *, cache: Path | None = None, progress: bool = True) -> list[str]:
        """`count` captions for generated pictures, as `draw_captions` draws them; kept in the folder `cache`.

        Raises `DataError` when no row that was drawn has both a caption and a picture that can be decoded.
        """
        key = f"{self.fingerprint} {count}"
        stored = (cache if cache is not None else self._data.cache / "metrics") / f"prompts-{_digest(key)[:32]}.json"
        known = _read_prompts(stored, key)
        if known is not None:
            return known
        drawn, rng = caption_rows(len(self), count, self._seed)
        every = self._every_caption(drawn, progress)
        self.release()
        # One without captions gives its place to another of those drawn.
        with_any = [row for row in drawn if every[row]]
        rows = [row if every[row] else with_any[place % len(with_any)] for place, row in enumerate(drawn)]
        found = [every[row][int(rng.integers(len(every[row])))] for row in rows]
        _write_prompts(stored, key, found)
        return found

    def _every_caption(self, rows: Sequence[int], progress: bool) -> dict[int, Sequence[str]]:
        """Of each row its captions; none of what is not there."""
        found: dict[int, Sequence[str]] = {}
        usable = False
        quiet = None if progress else True
        for row in tqdm(sorted(set(rows)), desc="captions of real pictures", disable=quiet, leave=False):
            found[row] = self._captions(row) if self._is_there(row) else ()
            # Sooner than after hours of training one wants to know that nothing can be measured.
            usable = usable or bool(found[row] and self._decode(row, self._file(row)) is not None)
        if not usable:
            labels = "; ".join(dict.fromkeys(self._label(one.source) for one in self._ranges))
            raise DataError(
                f"{labels}: none of {len(found)} pictures drawn for the metrics has a caption and can be decoded; "
                "`glissando data check` tells more, metrics_kimg=0 trains without metrics"
            )
        return found

    # --- one row ----------------------------------------------------------------------------------------------------

    def _find(self, row: int) -> tuple[int, int | None, int]:
        """Source, shard, and the row within them."""
        number = int(np.searchsorted(self._ends, row, side="right"))
        one = self._ranges[number]
        inside = row - int(self._ends[number]) + len(one.rows)
        return one.source, one.shard, int(one.rows[inside])

    def _is_there(self, row: int) -> bool:
        """Whether it is; a shard that is missing counts as if it held what it was said to."""
        source, shard, at = self._find(row)
        if shard is None:
            return True
        opened = self._open(source, shard)
        return opened.reader is None or at < len(opened.samples)

    def _is_usable(self, row: int) -> bool:
        """Whether it has what the data were opened for."""
        if self._data.condition == "captions":
            return bool(self._captions(row))
        number, shard, at = self._find(row)
        if self._data.condition == "none" or shard is None:
            return True
        opened = self._open(number, shard)
        try:
            return opened.reader is not None and class_of(opened.reader, opened.samples[at]) != UNLABELLED
        except OSError:
            return False

    def _captions(self, row: int) -> Sequence[str]:
        number, shard, at = self._find(row)
        source = self._data.pools[number].source
        if isinstance(source, FolderDataset):
            return source.captions[at]
        if not isinstance(source, ShardSource):
            return source.captions_of(at)
        assert shard is not None
        opened = self._open(number, shard)
        try:
            return captions_of(opened.reader, opened.samples[at]) if opened.reader is not None else ()
        except OSError:
            return ()

    def _file(self, row: int) -> Pixels:
        """The picture; nothing when it cannot be read. Raises `DataError` when the source cannot."""
        number, shard, at = self._find(row)
        source = self._data.pools[number].source
        if isinstance(source, FolderDataset):
            pixels: NDArray[np.uint8] = source.images[at]
            return pixels
        try:
            if isinstance(source, ShardSource):
                assert shard is not None
                opened = self._open(number, shard)
                return picture_of(opened.reader, opened.samples[at]) if opened.reader is not None else b""
            return source.tree.read(source.rows[at].name)
        except OSError as error:
            if not isinstance(source, ShardSource) and source.tree.gone():
                raise DataError(f"{source.label}: cannot be read any more: {error}") from None
            return b""

    def _decode(self, row: int, pixels: Pixels) -> NDArray[np.uint8] | None:
        """[3, R, R]; None for a broken file."""
        if not isinstance(pixels, bytes):
            return pixels
        try:
            rng = look_rng(self._seed, row) if self._look.crop == "random" else None
            return square(open_rgb(io.BytesIO(pixels)), self._look, rng)
        except Exception:  # noqa: BLE001 - Pillow raises OSError, SyntaxError, struct.error and more for broken files
            return None

    def _open(self, number: int, shard: int) -> _Shard:
        source = self._data.pools[number].source
        assert isinstance(source, ShardSource)
        place = source.places[shard]
        if self._shard is None or self._shard.place != place:
            self.release()
            self._shard = _open_shard(place, spool_folder(self._data.cache), self._data.condition)
        return self._shard

    def _label(self, number: int) -> str:
        source = self._data.pools[number].source
        return "decoded pictures" if isinstance(source, FolderDataset) else source.label


def _open_shard(place: str, spool: Path, condition: Condition) -> _Shard:
    """Raises `DataError` when it cannot be reached or read."""
    try:
        file = fetch(place, spool) if is_url(place) else open(place, "rb")  # noqa: SIM115 - closed with its shard
        try:
            reader = FileReader(cast(BinaryIO, file))
            shard = _Shard(place=place, reader=reader, samples=index_tar(reader, condition).samples)
        except BaseException:
            file.close()
            raise
        weakref.finalize(shard, file.close)
        return shard
    except (MissingError, TarError):
        return _Shard(place=place)
    except (RemoteError, OSError) as error:
        raise DataError(f"the real pictures for the metrics went away: {error}") from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read_prompts(path: Path, key: str) -> list[str] | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["key"] == key and all(isinstance(prompt, str) for prompt in kept["prompts"]):
            return list(kept["prompts"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # missing, cut short or foreign: read the captions again
    return None


def _write_prompts(path: Path, key: str, prompts: Sequence[str]) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps({"key": key, "prompts": prompts}), encoding="utf-8")
        os.replace(unfinished, path)
    except OSError:  # reading them again is all it costs
        with contextlib.suppress(OSError):
            unfinished.unlink()
