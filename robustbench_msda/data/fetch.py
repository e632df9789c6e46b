"""``data fetch``: official archives fetched, verified, unpacked and put in place; after a kill a new run goes on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from robustbench_msda.data.check_layouts import LAYOUTS, benchmark_name
from robustbench_msda.data.check_survey import Layout, benchmark_folder
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.data.downloads import DOWNLOADS, Archive, Download
from robustbench_msda.data.fetch_http import CHUNK, MEGABYTE, PAUSES, download
from robustbench_msda.data.fetch_unpack import settle, unpack
from robustbench_msda.data.prepare import prepare
from robustbench_msda.errors import DamagedData, MissingData, UserError, pick
from robustbench_msda.files import write_text
from robustbench_msda.progress import Progress, silent

RECORD = "archives.json"


class Entry(BaseModel):
    """What is recorded of an archive: where it came from, its MD5, and the files and folders it brought."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    md5: str
    published: bool
    brought: tuple[str, ...]


RECORDS = TypeAdapter(dict[str, Entry])
Shown = Callable[[str, str], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Arrived:
    """An archive that was fetched: its name, its MD5, and whether that was ``published`` and so could be verified."""

    filename: str
    md5: str
    published: bool


@dataclass(frozen=True)
class Fetched:
    """Where the data are, and the archives that had to be fetched for them: none where all was there."""

    folder: Path
    arrived: tuple[Arrived, ...]


@contextmanager
def unseen(what: str, unit: str) -> Iterator[Progress]:  # noqa: ARG001
    """Show no progress."""
    yield silent


def fetch(
    name: str,
    data_dir: Path,
    shown: Shown = unseen,
    downloads: Mapping[str, Download] = DOWNLOADS,
    pauses: Sequence[float] = PAUSES,
) -> Fetched:
    """Return the data set or benchmark ``name`` in ``data_dir``, after what is not there yet was fetched.

    An archive is fetched to a hidden ``.NAME.ARCHIVE.part``, verified, unpacked beside and moved into place, and only
    then deleted; so a kill costs at most the unpacking of one. Data sets are prepared as ``prepare`` does.

    Args:
        name: a key of ``downloads`` or the authors' name of a benchmark.
        data_dir: the folder that holds a folder for each; made where it is missing.
        shown: opens a progress display for each piece of work, given its name and unit.
        downloads: what to fetch for each name.
        pauses: seconds between tries (see ``download``).

    Raises:
        UserError: it cannot be fetched, and what to do instead; the server or the disk fails; a checksum is wrong.
        DamagedData: an archive is not what it should be, or the data that are there already.
    """
    name = benchmark_name(name)
    wanted = pick(downloads, name, "data to fetch")
    if wanted.instruction:
        raise UserError(f"{name}: {wanted.instruction}")
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if name in LAYOUTS:
            return _benchmark(LAYOUTS[name], wanted.archives, data_dir, shown, pauses)
        return _dataset(name, wanted.archives, data_dir, shown, pauses)
    except OSError as error:
        raise UserError(
            f"cannot fetch {name} into {data_dir}: {error.strerror or error}; free space or choose another --data-dir, "
            "then run the same command again"
        ) from None


def _dataset(name: str, archives: Sequence[Archive], data_dir: Path, shown: Shown, pauses: Sequence[float]) -> Fetched:
    """Fetch an archive, or the files that are a data set together, and prepare the data set from them."""
    folder = data_dir / name
    try:
        open_dataset(name, data_dir)
    except MissingData:
        path, arrived = _gathered(name, archives, data_dir, shown, pauses)
        with shown(f"preparing {name}", "images") as progress, _kept_if_damaged(path):
            prepare(name, path, data_dir, progress)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return Fetched(folder, arrived)
    return Fetched(folder, ())


def _gathered(
    name: str, archives: Sequence[Archive], data_dir: Path, shown: Shown, pauses: Sequence[float]
) -> tuple[Path, tuple[Arrived, ...]]:
    """Return the one archive, or the folder of all of them, and what is known of each."""
    if len(archives) == 1:
        path, news = _verified(archives[0], data_dir / f".{name}.{archives[0].filename}", shown, pauses)
        return path, (news,)
    folder = data_dir / f".{name}.files"
    folder.mkdir(exist_ok=True)
    return folder, tuple(_verified(each, folder / each.filename, shown, pauses)[1] for each in archives)


def _benchmark(
    layout: Layout, archives: Sequence[Archive], data_dir: Path, shown: Shown, pauses: Sequence[float]
) -> Fetched:
    """Fetch and unpack the archives whose content is not there yet."""
    folder, arrived = benchmark_folder(data_dir, layout.name, layout.official), []
    for archive in archives:
        path = data_dir / f".{layout.name}.{archive.filename}"
        entry = _record(folder).get(archive.filename)
        if layout.lacking(folder, entry.brought if entry else archive.holds):
            path, news = _verified(archive, path, shown, pauses)
            brought = _put(path, archive.filename, folder, layout, shown)
            _note(folder, news, archive.url, brought)
            arrived.append(news)
        path.unlink(missing_ok=True)
    return Fetched(folder, tuple(arrived))


def _put(archive: Path, filename: str, folder: Path, layout: Layout, shown: Shown) -> tuple[str, ...]:
    """Return what an archive brought to the benchmark's ``folder``; of a bare file, its own ``filename``."""
    if filename in layout.tops:
        folder.mkdir(parents=True, exist_ok=True)
        settle(archive, folder / filename)
        return (filename,)
    staged = archive.with_name(f"{archive.name}.unpacked")
    shutil.rmtree(staged, ignore_errors=True)
    try:
        with shown(f"unpacking {archive.name}", "MB") as progress, _kept_if_damaged(archive):
            brought = unpack(archive, staged, layout.tops, progress)
        settle(staged, folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return brought


def _verified(archive: Archive, path: Path, shown: Shown, pauses: Sequence[float]) -> tuple[Path, Arrived]:
    """Return the whole archive at ``path``, fetched unless it is there, and what is known of it.

    Raises:
        UserError: its checksum is wrong; it is kept beside under another name.
    """
    if not path.exists():
        part = path.with_name(f"{path.name}.part")
        with shown(f"fetching {archive.filename}", "MB") as progress:
            download(archive.url, part, progress, pauses)
        found = _md5(part, shown)
        if archive.md5 not in (None, found):
            kept = _set_aside(part, path)
            raise DamagedData(
                f"{archive.url}: expected md5 {archive.md5}, found {found}: kept as {kept}; "
                "run the same command again to fetch it anew"
            )
        part.rename(path)
    else:
        found = _md5(path, shown)
    return path, Arrived(archive.filename, found, archive.md5 is not None)


def _md5(path: Path, shown: Shown) -> str:
    md5, whole = hashlib.md5(usedforsecurity=False), path.stat().st_size
    with shown(f"verifying {path.name}", "MB") as progress, path.open("rb") as file:
        while chunk := file.read(CHUNK):
            md5.update(chunk)
            progress(file.tell() // MEGABYTE, whole // MEGABYTE)
    return md5.hexdigest()


@contextmanager
def _kept_if_damaged(archive: Path) -> Iterator[None]:
    """Set an archive that cannot be used aside, so that the next run fetches it anew."""
    try:
        yield
    except DamagedData as error:
        kept = _set_aside(archive, archive)
        raise DamagedData(f"{error}: kept as {kept}; run the same command again to fetch it anew") from None


def _set_aside(path: Path, name: Path) -> Path:
    return path.replace(name.with_name(f"{name.name}.wrong"))


def _note(folder: Path, news: Arrived, url: str, brought: tuple[str, ...]) -> None:
    """Record where an archive came from, its MD5 and what it brought."""
    entry = Entry(url=url, md5=news.md5, published=news.published, brought=brought)
    entries = {**_record(folder), news.filename: entry}
    write_text(folder / RECORD, RECORDS.dump_json(entries, indent=1).decode() + "\n")


def _record(folder: Path) -> dict[str, Entry]:
    """Return what is recorded of each archive that came to a benchmark's folder; nothing where that is damaged."""
    try:
        return RECORDS.validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError):
        return {}
