"""The header of a database file: read before SQLite is let near it, to tell ours from others and from damaged ones."""

import zlib
from dataclasses import dataclass
from pathlib import Path

from bus.core.errors import StoreNotReadable

_MAGIC = b"SQLite format 3\0"
_PAGE_BYTES_AT = 16
_VERSIONS_AT = 18
_PAGES_AT = 28
_ROOT_AT = 52
_MARK_AT = 60
_APPLICATION_ID_AT = 68
_SIZE = 100


@dataclass(frozen=True)
class Layout:
    """What makes a file one of ours, and the SQL that makes its tables."""

    noun: str
    application_id: int
    """In the header of the file, where `file` and others look for it too."""
    migrations: tuple[str, ...]
    """Numbered from 1; the schema version of a file is how many it has been through. None is ever changed."""
    is_original: bool
    """Whether what the file holds is nowhere else, so that nothing is begun anew while a part of it is still there."""


@dataclass(frozen=True)
class Header:
    """What the file itself says, whatever its log says."""

    application_id: int
    mark: int
    """See `mark_of`; 0 where it is only in the log, or was never made."""


def mark_of(identity: str) -> int:
    """What SQLite keeps as the user version of a file: it tells the pages of this store from those of others.

    It is in the first page, which is in the log as soon as the file has grown; a log of another file gives itself
    away by that.
    """
    return zlib.crc32(identity.encode()) & 0x7FFF_FFFF or 1


def recognise(path: Path, layout: Layout, url: str) -> Header | None:
    """The header of a file of ours, None where there is nothing yet; a foreign file is not even opened as a database.

    Raises `StoreNotReadable`.
    """
    is_logged = False
    try:
        # Looked for first: a writer that is closing copies its log into the file, and then removes it.
        is_logged = any(Path(f"{path}-{log}").exists() for log in ("wal", "journal"))
        if path.exists() and not path.is_file() and not path.is_dir():
            # To open a pipe would wait for whoever writes into it.
            raise StoreNotReadable(f"{url} is no file, but a device or a pipe: name another one", store=url)
        with path.open("rb") as file:
            header = file.read(_SIZE)
    except FileNotFoundError as error:
        if not path.parent.is_dir():
            raise StoreNotReadable(f"{url}: there is no directory {path.parent}; create it first", store=url) from error
        header = b""
    except IsADirectoryError as error:
        raise StoreNotReadable(f"{url} is a directory: name a file in it", store=url) from error
    except OSError as error:
        raise StoreNotReadable(f"{url} cannot be read: {error.strerror}", store=url) from error
    if not header:
        _refuse_orphaned_log(path, layout, url)
        return None
    if not header.startswith(_MAGIC):
        raise StoreNotReadable(f"{url} is not a database: name another file", store=url)
    found = _number(header, _APPLICATION_ID_AT, 4)
    if found != layout.application_id:
        raise foreign(layout, url)
    versions = header[_VERSIONS_AT : _VERSIONS_AT + 3]
    if versions not in (b"\1\1\0", b"\2\2\0") or _number(header, _ROOT_AT, 4) > _number(header, _PAGES_AT, 4):
        # SQLite believes what it finds here: that it may not write, that bytes are reserved in each page, or that some
        # pages hold no rows but pointers. And then it writes over what is there.
        raise StoreNotReadable(f"{url} is damaged: its header is not as it was made. {RESTORE}", store=url)
    if not is_logged:
        # Else the rest of the file may still be in the log.
        _refuse_cut_off(path, header, url)
    return Header(found, _number(header, _MARK_AT, 4))


RESTORE = (
    "Stop, and restore it from a backup; SQLite's shell saves what can be read (`.recover`). Views need neither: "
    "remove their files, and they are made again"
)


def foreign(layout: Layout, url: str) -> StoreNotReadable:
    return StoreNotReadable(f"{url} is a database, but no {layout.noun} of Doubledecker: name another file", store=url)


def mixed(path: Path, url: str) -> StoreNotReadable:
    return StoreNotReadable(
        f"{url} and the log beside it, {path.name}-wal, belong to different databases. Nothing was changed: put the "
        "log away, and the store's own in its place if there is one; a backup restored needs none",
        store=url,
    )


def _refuse_cut_off(path: Path, header: bytes, url: str) -> None:
    """SQLite would take what is missing of the last page for zeros."""
    expected = _number(header, _PAGES_AT, 4) * _number(header, _PAGE_BYTES_AT, 2)
    size = path.stat().st_size
    if size < expected:
        raise StoreNotReadable(
            f"{url} is damaged: it has {size} bytes, and {expected} according to its header. {RESTORE}", store=url
        )


def _number(header: bytes, at: int, size: int) -> int:
    return int.from_bytes(header[at : at + size], "big")


def _refuse_orphaned_log(path: Path, layout: Layout, url: str) -> None:
    """SQLite would remove a log without a database."""
    log = Path(f"{path}-wal")
    if layout.is_original and log.exists() and log.stat().st_size:
        raise StoreNotReadable(
            f"{url} is gone or empty, but its log {log.name} is there: restore the file from a backup, or, to begin "
            "anew, put the log away",
            store=url,
        )
