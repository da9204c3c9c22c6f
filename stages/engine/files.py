"""Every path may be local or remote: the few file operations the stages need, over fsspec.

Local paths may be given bare or as `file://`. Writes are atomic where the file system can rename:
a file appears under its final name whole or not at all.
"""

from __future__ import annotations

import collections
import hashlib
import io
import itertools
import os
import posixpath
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from typing import IO, Any, TypeVar

import fsspec
import orjson
import xxhash

from stages.engine import copies
from stages.engine.digests import BLOCK, Digest, HashingWriter, PlainWriter
from tokenizer.files import TEMPORARY, AtomicFile

T = TypeVar("T")

# Requests at a time to a remote file system, which answers each in tens of milliseconds.
_SIDE_BY_SIDE = 64
# Of ranges that are read in order, which may be of some megabytes.
_AHEAD = 16
_LOCAL = re.compile(r"^(file|local)://", re.IGNORECASE)
_REMOTE = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_remote(path: str) -> bool:
    """True for `gs://...`, `s3://...`, `memory://...`; False for local paths and `file://`."""
    return bool(_REMOTE.match(path)) and not _LOCAL.match(path)


def bare(path: str) -> str:
    """A local path without its protocol; a remote one as it is."""
    return path if is_remote(path) else _LOCAL.sub("", path)


def filesystem(path: str) -> tuple[Any, str]:
    """The fsspec file system of `path`, and the path inside it."""
    fs, inner = fsspec.core.url_to_fs(path)
    return fs, inner


def full_path(fs: Any, inner: str, like: str) -> str:
    """`inner` written the way `like` is: with its protocol if remote, bare if local."""
    return str(fs.unstrip_protocol(inner)) if is_remote(like) else inner


def canonical(path: str) -> str:
    """The one name of a place, whichever way it is written; for comparing, not for opening."""
    fs, inner = filesystem(path)
    if not is_remote(path):
        return os.path.realpath(inner)
    return str(fs.unstrip_protocol(inner)).rstrip("/")


def join(folder: str, *names: str) -> str:
    return posixpath.join(folder, *names)


def basename(path: str) -> str:
    return posixpath.basename(path.rstrip("/"))


def exists(path: str) -> bool:
    fs, inner = filesystem(path)
    return bool(fs.exists(inner))


def is_dir(path: str) -> bool:
    fs, inner = filesystem(path)
    return bool(fs.isdir(inner))


def names(folder: str) -> list[str]:
    """What a folder holds now, whoever wrote it (file systems may remember older listings)."""
    fs, inner = filesystem(folder)
    fs.invalidate_cache(inner)
    return sorted(basename(p) for p in fs.ls(inner, detail=False))


def each(function: Callable[[str], T], paths: Sequence[str]) -> list[T]:
    """`function(path)` of all paths, in order; of remote ones side by side, as each waits."""
    if not any(is_remote(path) for path in paths):
        return [function(path) for path in paths]
    with futures.ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return list(pool.map(function, paths))


def sizes(paths: Sequence[str]) -> list[int | None]:
    """Bytes of each file now; None for one that there is not."""

    def size_of(path: str) -> int | None:
        fs, inner = filesystem(path)
        try:
            return int(fs.size(inner))
        except FileNotFoundError:
            return None

    for fs, folder in {(fs, inner.rpartition("/")[0]) for fs, inner in map(filesystem, paths)}:
        fs.invalidate_cache(folder)
    return each(size_of, paths)


def make_dirs(path: str) -> None:
    fs, inner = filesystem(path)
    fs.makedirs(inner, exist_ok=True)


def size(path: str) -> int:
    fs, inner = filesystem(path)
    return int(fs.size(inner))


def stamp(path: str) -> tuple[int, str]:
    """Size in bytes and a cheap change mark of a file (time, ETag or checksum as it has them)."""
    fs, inner = filesystem(path)
    info = fs.info(inner)
    for key in ("ETag", "etag", "md5Hash", "crc32c", "mtime", "LastModified", "created"):
        if info.get(key) is not None:
            return int(info["size"]), f"{key}={info[key]}"
    return int(info["size"]), ""


def glob(patterns: str | Iterable[str]) -> list[str]:
    """Files that match any pattern, sorted and distinct; a folder stands for all files below it.

    Hidden names below a folder (beginning with `.`, and the marks that programs like this one
    leave) are left out; links to folders are followed. Raises FileNotFoundError naming the first
    pattern that matches nothing, or a file whose name is not UTF-8, and OSError for a folder that
    cannot be read.
    """
    found: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        fs, inner = filesystem(pattern)
        if any(c in inner for c in "*?[") and not fs.exists(inner):
            matches = [p for p in fs.glob(inner) if not fs.isdir(p)]
        elif fs.isdir(inner):
            base = inner.rstrip("/") or "/"
            below = _walk(base) if not is_remote(pattern) else fs.find(base)
            matches = [
                p
                for p in below
                if not any(_hidden(part) for part in p[len(base) :].strip("/").split("/"))
            ]
        else:
            matches = [inner] if fs.exists(inner) else []
        if not matches:
            raise FileNotFoundError(f"no file matches {pattern}")
        for path in matches:
            writable_name(path)
        found.update(full_path(fs, p, pattern) for p in matches)
    return sorted(found)


def _hidden(name: str) -> bool:
    return name[:1] == "." or name in ("_MANIFEST.json", "_SUCCESS", "_temporary")


def writable_name(path: str) -> str:
    """`path` if manifests can name it. Raises FileNotFoundError where it is not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise FileNotFoundError(f"{path!r}: the name is not UTF-8; rename it") from error
    return path


def _walk(folder: str) -> list[str]:
    """All files below a local folder, once each, also behind links to folders."""
    found: list[str] = []
    seen: set[tuple[int, int]] = set()

    def fail(error: OSError) -> None:
        raise error

    for root, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        info = os.stat(root)
        if (info.st_dev, info.st_ino) in seen:
            folders.clear()
            continue
        seen.add((info.st_dev, info.st_ino))
        folders.sort()
        found += [f"{root.rstrip('/')}/{name}" for name in names]
    return found


def open_read(path: str) -> IO[bytes]:
    """Opens for reading; local files as plain buffered files (mmap-able, with `fileno`)."""
    fs, inner = filesystem(path)
    if not is_remote(path):
        return open(inner, "rb")
    # fsspec's own files read lines in Python, and of any length.
    return io.BufferedReader(fs.open(inner, "rb"), BLOCK)


def read_range(path: str, start: int, count: int) -> bytes:
    """Bytes `start` to `start + count` of a file, in one request; fewer where it ends before."""
    fs, inner = filesystem(path)
    if is_remote(path):
        return bytes(fs.cat_file(inner, start, start + count))
    with open(inner, "rb", buffering=0) as f:
        f.seek(start)
        # The system gives 2 GiB at most at a time.
        data = f.read(count)
        while data and len(data) < count and (more := f.read(count - len(data))):
            data += more
        return data


def read_ranges(ranges: Iterable[tuple[str, int, int]]) -> Iterator[bytes]:
    """The bytes of each (path, first, number), in order; of remote files some ahead, as each
    request waits. Raises OSError for a file that ends before."""

    def whole(where: tuple[str, int, int]) -> bytes:
        path, start, count = where
        data = read_range(path, start, count)
        if len(data) != count:
            raise OSError(f"{path}: {len(data)} bytes where {count} were expected")
        return data

    rest = iter(ranges)
    first = next(rest, None)
    if first is None:
        return
    if not is_remote(first[0]):
        yield from map(whole, itertools.chain([first], rest))
        return
    with futures.ThreadPoolExecutor(_AHEAD) as pool:
        coming = collections.deque([pool.submit(whole, first)])
        try:
            while coming:
                for where in itertools.islice(rest, _AHEAD - len(coming)):
                    coming.append(pool.submit(whole, where))
                yield coming.popleft().result()
        finally:
            for future in coming:
                future.cancel()


@contextmanager
def atomic_writer(path: str) -> Iterator[HashingWriter]:
    """Opens `path` for writing; it appears only when the block ends without an exception.

    Not flushed to the disk: after a crash of the machine the records of a step are not trusted.
    """
    with AtomicFile(path, durable=False) as handle:
        writer = HashingWriter(handle)
        yield writer
    _note({"path": path, "bytes": writer.digest.count, "sha256": writer.hexdigest()})


@contextmanager
def plain_writer(path: str) -> Iterator[PlainWriter]:
    """As `atomic_writer`, with a cheaper hash: for what a step leaves for itself."""
    with AtomicFile(path, durable=False) as handle:
        writer = PlainWriter(handle)
        yield writer
    _note({"path": path, "bytes": writer.count, "xxh3": writer.hash.hexdigest()})


_noting = threading.local()


@contextmanager
def noted() -> Iterator[list[dict[str, Any]]]:
    """A list of the files that this thread's writers complete in the block: path, bytes, hash."""
    rows: list[dict[str, Any]] = []
    _noting.rows = rows
    try:
        yield rows
    finally:
        _noting.rows = None


def _note(row: dict[str, Any]) -> None:
    if (rows := getattr(_noting, "rows", None)) is not None:
        rows.append(row)


def as_written(row: dict[str, Any], folder: str) -> bool:
    """Whether a file has the content that its row (of `noted`, or a manifest's entry) tells."""
    path = join(folder, row["path"])
    if "sha256" in row:
        return exists(path) and sha256_of(path) == row["sha256"]
    if not exists(path):
        return False
    found = xxhash.xxh3_64()
    with open_read(path) as f:
        while block := f.read(BLOCK):
            found.update(block)
    return bool(found.hexdigest() == row["xxh3"])


def write_bytes(path: str, data: bytes) -> str:
    """Writes a small file atomically; returns its sha256."""
    with atomic_writer(path) as out:
        out.write(data)
    return out.hexdigest()


def write_json(path: str, value: Any) -> None:
    data = orjson.dumps(
        value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    )
    write_bytes(path, data + b"\n")


def read_bytes(path: str) -> bytes:
    with open_read(path) as f:
        return f.read()


def read_json(path: str) -> Any:
    return orjson.loads(read_bytes(path))


def json_or_none(path: str) -> Any:
    """None for a file that is no JSON: torn, or zeroed by a crash of the machine."""
    try:
        return read_json(path)
    except ValueError:
        return None


def remove(path: str, missing_ok: bool = True) -> None:
    """Removes a file or a whole folder."""
    fs, inner = filesystem(path)
    if not fs.exists(inner):
        if missing_ok:
            return
        raise FileNotFoundError(path)
    fs.rm(inner, recursive=bool(fs.isdir(inner)))


def local_folder(path: str) -> str:
    """`path` itself if it is local, else a copy of the folder's files on this machine.

    All processes of a machine (of a container) share the copy of one content, told by the listing
    (names, sizes, change marks); it is removed when the last of them ends (`stages.engine.copies`).
    """
    if not is_remote(path):
        return bare(path)
    fs, inner = filesystem(path)
    names = [p for p in fs.ls(inner, detail=False) if not fs.isdir(p)]
    listing = sorted((basename(p), *stamp(full_path(fs, p, path))) for p in names)

    def fetch(folder: str) -> None:
        for name in names:
            fs.get_file(name, os.path.join(folder, basename(name)))

    return copies.shared(digest_of([path, listing])[:24], fetch)


def remove_temporaries(folder: str) -> None:
    """Removes what writers that were killed left below a local folder."""
    if is_remote(folder):
        return
    for root, _, found in os.walk(filesystem(folder)[1]):
        for name in found:
            if name.startswith(TEMPORARY):
                os.unlink(os.path.join(root, name))


def digest_file(path: str) -> Digest:
    """Reads a file through."""
    digest = Digest()
    with open_read(path) as f:
        while block := f.read(BLOCK):
            digest.update(memoryview(block))
    return digest


def entry(folder: str, path: str, rows: int = 0) -> dict[str, Any]:
    """A manifest's entry of the file at `path` in a step's folder."""
    return digest_file(join(folder, path)).entry(path, rows)


def sha256_of(path: str) -> str:
    return digest_file(path).hexdigest()


def digest_of(value: Any) -> str:
    """sha256 of a JSON value, independent of the order of keys."""
    return hashlib.sha256(
        orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    ).hexdigest()
