"""Example plates that others have published. Knows: where they are, their checksums, how to fetch and unpack them safely. Does not know:
OME-Zarr.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import stat
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omexp.errors import ArgumentError, NameNotFoundError, RemoteAccessError, RemoteError, StorageFullError, StoredDataError
from omexp.storage.disks import permitted
from omexp.storage.journal import Journal

__all__ = ["DATASETS", "Dataset", "download_ome_zarr_dataset", "list_ome_zarr_datasets", "print_datasets_infos"]

_PART = 1 << 20
_PAUSES_S = (1.0, 2.0, 4.0, 8.0)  # between attempts; each goes on where the one before broke off
_SILENT_S = 60.0  # without a byte
_MOST_TIMES = 200  # as many bytes as its archive has: chunks are compressed already, a zip bomb has 1000 times as many
_PASSES = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A zip file that holds one .zarr folder.

    Parameters
    ----------
    url, md5
        Where it is, and its checksum.
    folder
        The name of the unpacked folder.
    about
        What it shows.
    megabytes
        Of the zip file, roughly.
    """

    url: str
    md5: str
    folder: str
    about: str
    megabytes: float


def _cardiomyocytes(record: int, md5: str, folder: str, about: str, megabytes: float, *, mip: bool = True) -> Dataset:
    file = f"20200812-CardiomyocyteDifferentiation14-Cycle1{'_mip' if mip else ''}.zarr.zip"
    return Dataset(f"https://zenodo.org/records/{record}/files/{file}", md5, f"{folder}.zarr", about, megabytes)


_CYCLE = "20200812-CardiomyocyteDifferentiation14-Cycle1"
DATASETS = {
    "CardiomyocyteTiny": _cardiomyocytes(
        13305156, "efc21fe8d4ea3abab76226d8c166452c", f"{_CYCLE}-tiny", "cardiomyocytes, a tiny plate in 3-D", 32, mip=False
    ),
    "CardiomyocyteTinyMip": _cardiomyocytes(
        13305156, "51809479777cafbe9ac0f9fa5636aa95", f"{_CYCLE}-tiny-mip", "the same, its maximum projection", 16.4
    ),
    "CardiomyocyteSmall": _cardiomyocytes(
        13305316, "d5752ed4b72a9092a0290b3c04c0b9c2", f"{_CYCLE}-small", "cardiomyocytes, a small plate in 3-D", 750, mip=False
    ),
    "CardiomyocyteSmallMip": _cardiomyocytes(
        13305316, "3ed3ea898e0ed42d397da2e1dbe40750", f"{_CYCLE}-small-mip", "the same, its maximum projection", 106
    ),
    "CardiomyocyteMediumMip": _cardiomyocytes(
        14826000, "3f932bbf7fc0577f58b97471707816a1", f"{_CYCLE}_mip", "cardiomyocytes, 2304 fields, maximum projection", 30_000
    ),
}


def list_ome_zarr_datasets() -> list[str]:
    """Names that `download_ome_zarr_dataset` takes.

    Examples
    --------
    >>> list_ome_zarr_datasets()[0]
    'CardiomyocyteTiny'
    """
    return list(DATASETS)


def print_datasets_infos() -> None:
    """Print a line on each dataset."""
    for name, dataset in DATASETS.items():
        print(f"{name}: {dataset.about} ({dataset.megabytes:g} MB)")


def download_ome_zarr_dataset(
    dataset_name: str | Dataset,
    download_dir: str | Path = "data",
    re_unzip: bool = True,
    progressbar: bool | Callable[[int, int], None] = False,
) -> Path:
    """Fetch an example plate and unpack it; what is there already, whole and right, is not fetched again.

    A download that breaks off goes on where it stopped, also in a later call. Two processes that want the same dataset do not disturb each
    other: the second one waits.

    Parameters
    ----------
    dataset_name
        One of `list_ome_zarr_datasets`, or a `Dataset` of your own.
    download_dir
        Where the zip file and the unpacked folder go; made if it is not there.
    re_unzip
        Unpack again, in place of a folder that is there: it is as published then. False: a folder that is there stays as it is.
    progressbar
        True: a bar; or a function that is called with (bytes done, bytes in all).

    Returns
    -------
    Path
        The .zarr folder.

    Raises
    ------
    NameNotFoundError
        There is no such dataset.
    RemoteError, RemoteAccessError
        The server cannot be reached, or refuses.
    StoredDataError
        What came is not what was published, or would be unpacked outside of the folder; nothing is unpacked.
    ReadOnlyError, StorageFullError
        The folder cannot be written, or is full.

    Examples
    --------
    >>> path = download_ome_zarr_dataset("CardiomyocyteTinyMip", download_dir="data")  # doctest: +SKIP
    """
    dataset = DATASETS.get(dataset_name) if isinstance(dataset_name, str) else dataset_name
    if not isinstance(dataset, Dataset):
        raise NameNotFoundError("there is no such dataset", where="datasets", got=repr(dataset_name), allowed=", ".join(DATASETS))
    folder = Path(download_dir)
    target, archive = folder / dataset.folder, folder / f"{dataset.folder}.zip"
    with permitted(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    if target.exists() and not re_unzip:
        return target
    from omexp.progress import shown

    with _alone(folder / f".{dataset.folder}.journal", target), shown(progressbar or None, dataset.folder) as progress:
        if target.exists() and not re_unzip:  # another process has made it meanwhile
            return target
        if not archive.exists() or _md5(archive) != dataset.md5:
            _fetch(dataset, archive, progress)
        _unpack(archive, target)
    return target


@contextmanager
def _alone(path: Path, target: Path) -> Iterator[None]:
    """Wait until no other process is at it."""
    from omexp.errors import AlreadyExistsError

    while True:
        try:
            journal = Journal.locked(path, str(target))
            break
        except AlreadyExistsError:
            time.sleep(0.2)
    try:
        yield
    finally:
        journal.close(finished=True)


def _fetch(dataset: Dataset, archive: Path, progress: Callable[[int, int], None] | None) -> None:
    """Fetch the file beside its place, check it, and move it there."""
    part = archive.with_name(f"{archive.name}.part")
    for pause_s in (*_PAUSES_S, None):
        try:
            _go_on(dataset.url, part, progress)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416:  # it is all there, or another file
                break
            if error.code not in _PASSES or pause_s is None:
                hint = "Fetch it with a browser, and put it there."
                raise RemoteAccessError(f"the server says {error.code} {error.reason}", where=dataset.url, hint=hint) from error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            if pause_s is None:
                raise RemoteError(
                    f"the server cannot be reached ({error})", where=dataset.url, hint="Call again: it goes on then."
                ) from error
        time.sleep(pause_s or 0)
    found = _md5(part)
    if found != dataset.md5:
        part.unlink()
        raise StoredDataError(
            "the file is not the one that was published", where=dataset.url, got=f"md5 {found}", allowed=f"md5 {dataset.md5}"
        )
    os.replace(part, archive)


def _go_on(url: str, part: Path, progress: Callable[[int, int], None] | None) -> None:
    """Fetch what is not there yet."""
    if not url.startswith(("https://", "http://")):
        raise ArgumentError("a dataset is behind a web address", where="url", got=url, allowed="https://...")
    with permitted(str(part)), part.open("ab") as file:
        done = file.tell()
        request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
        with urllib.request.urlopen(request, timeout=_SILENT_S) as answer:
            if done and answer.status != 206:  # it sends all of it again
                done = file.truncate(0)
            wanted = int(answer.headers.get("Content-Length") or 0)
            total = done + wanted
            while data := answer.read(_PART):
                file.write(data)
                done += len(data)
                if progress is not None:
                    progress(done, max(total, done))
            if wanted and done < total:
                raise ConnectionError(f"it broke off after {done} of {total} bytes")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _unpack(archive: Path, target: Path) -> None:
    """Unpack the one .zarr folder of an archive beside its place, then let it take the place."""
    beside, old = (target.with_name(f".{target.name}.{state}") for state in ("unpacking", "old"))
    for left in (beside, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        with permitted(str(target)), zipfile.ZipFile(archive) as file:
            top = _checked(file, archive)
            for entry in file.infolist():
                if not entry.is_dir():
                    place = beside / entry.filename.removeprefix(top)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with file.open(entry) as source, place.open("wb") as out:
                        shutil.copyfileobj(source, out, _PART)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise StoredDataError(
            f"the zip file cannot be unpacked ({error})", where=str(archive), hint="Delete it, then call again."
        ) from error
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    with permitted(str(target)):
        if target.exists():
            target.rename(old)
        beside.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _checked(file: zipfile.ZipFile, archive: Path) -> str:
    """The archive's only folder, "NAME.zarr/".

    Raises
    ------
    StoredDataError
        Entries that would lie elsewhere or inside a file, links, encrypted ones; or it is a zip bomb.
    StorageFullError
        There is not as much space.
    """
    names = [entry.filename for entry in file.infolist()]
    bad = [n for n in names if n.startswith("/") or "\\" in n or ":" in n or ".." in n.split("/")]
    bad += [e.filename for e in file.infolist() if stat.S_ISLNK(e.external_attr >> 16) or e.flag_bits & 1]
    plain = {entry.filename for entry in file.infolist() if not entry.is_dir()}
    bad += [name for name in names if any(name[:i] in plain for i, letter in enumerate(name) if letter == "/")]  # inside a file
    tops = {name.partition("/")[0] for name in names}
    if bad or len(tops) != 1 or not next(iter(tops)).endswith(".zarr"):
        shown = ", ".join(map(repr, (bad or sorted(tops))[:3]))
        raise StoredDataError(
            "the zip file does not hold one .zarr folder and nothing else", where=str(archive), got=shown, hint="Nothing was unpacked."
        )
    size, most = sum(entry.file_size for entry in file.infolist()), _MOST_TIMES * archive.stat().st_size
    if size > most:
        raise StoredDataError(
            "the zip file would unpack to far more than it can hold", where=str(archive), got=f"{size} bytes", allowed=f"{most} bytes"
        )
    free = shutil.disk_usage(archive.parent).free
    if size > free:
        raise StorageFullError("there is no space to unpack it", where=str(archive), got=f"{size} bytes", allowed=f"{free} bytes")
    return f"{tops.pop()}/"
