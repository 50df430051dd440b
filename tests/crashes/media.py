"""Media: a program that keeps stores on a file system of its own, which becomes read-only and writable again.

As whoever runs it, in namespaces of its own where the system allows that; where it does not, and when asked to, the
permissions of files and folders take the place of the mount, and a superuser becomes somebody without rights.
"""

import asyncio
import ctypes
import json
import os
import shutil
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from adapters.sqlite import SqliteEventStore
from bus import BusError
from tests.adapters.sqlite.files import crashed
from tests.adapters.sqlite.programs import NOBODY
from tests.crashes.sqlite_files import EVENTS, Sent, bus_on, check_all_there, fill

_NEW_NAMESPACES = 0x10000000 | 0x00020000
"""CLONE_NEWUSER and CLONE_NEWNS."""
_READ_ONLY, _REMOUNT, _RECURSIVE, _PRIVATE = 1, 32, 16384, 1 << 18
COMMANDS = 50
FOLDERS = (".", "crashed", "crashed-alone")


class Mount:
    """A file system in memory, seen by this process alone. Raises `OSError` where that is not allowed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        user, group = os.getuid(), os.getgid()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._check(self._libc.unshare(_NEW_NAMESPACES))
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path(f"/proc/self/{name}").write_text(text)
        self._mount(Path("/"), None, _RECURSIVE | _PRIVATE)
        self._mount(folder, b"tmpfs", 0)

    def close(self) -> None:
        """No more writing."""
        self._mount(self._folder, None, _REMOUNT | _READ_ONLY)

    def open(self) -> None:
        self._mount(self._folder, None, _REMOUNT)

    def _mount(self, target: Path, kind: bytes | None, flags: int) -> None:
        self._check(self._libc.mount(b"none", os.fsencode(target), kind, ctypes.c_ulong(flags), None))

    def _check(self, result: int) -> None:
        if result:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def may_mount(folder: Path) -> bool:
    """Tried by a process that ends, since half of what it takes may be allowed, and changes who we are."""
    if (child := os.fork()) == 0:
        try:
            Mount(folder)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


class Permissions:
    """A folder that may not be written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def close(self) -> None:
        self._set(0o444, 0o555)
        if os.geteuid() == 0:
            os.setresuid(NOBODY, NOBODY, 0)

    def open(self) -> None:
        if os.getresuid()[2] == 0:
            os.setresuid(0, 0, 0)
        self._set(0o644, 0o755)

    def _set(self, file: int, folder: int) -> None:
        for path in [self._folder, *self._folder.rglob("*")]:
            path.chmod(folder if path.is_dir() else file)


async def attempt(user: AbstractAsyncContextManager[Any]) -> dict[str, Any]:
    """What becomes of opening a store or a bus; of a store, how many events are read."""
    try:
        async with user as opened:
            return {"events": len(await opened.page(0, 9_999))} if isinstance(opened, SqliteEventStore) else {}
    except BusError as error:
        return {"error": type(error).__name__, "message": str(error)}


async def make(folder: Path) -> list[Sent]:
    """A store closed in order, one that a crash left, and one that lacks what its processes shared besides."""
    async with bus_on(folder) as bus:
        sent = await fill(bus, 0, COMMANDS)
        await bus.wait_settled()
        left = crashed(folder)
        for name in FOLDERS[1:]:
            shutil.copytree(left, folder / name)
    shutil.rmtree(left)
    (folder / FOLDERS[2] / f"{EVENTS}-shm").unlink()
    return sent


async def look(folder: Path) -> dict[str, Any]:
    """What a reader, a writer and a bus make of both, while nothing may be written."""
    found: dict[str, Any] = {}
    for name in FOLDERS:
        path = folder / name
        found[name] = {
            "read": await attempt(SqliteEventStore(path / EVENTS, read_only=True)),
            "write": await attempt(SqliteEventStore(path / EVENTS)),
            "bus": await attempt(bus_on(path)),
        }
    return found


async def go_on(folder: Path, sent: list[Sent]) -> None:
    """Everything is there, and more can be recorded."""
    for name in FOLDERS:
        async with bus_on(folder / name) as bus:
            await check_all_there(bus, sent)
            await fill(bus, COMMANDS, 10)
            await bus.wait_settled()


def main(folder: Path, way: str) -> None:
    is_mounted = way == "mount" and may_mount(folder)
    medium = Mount(folder) if is_mounted else Permissions(folder)
    sent = asyncio.run(make(folder))
    medium.close()
    found = asyncio.run(look(folder))
    medium.open()
    asyncio.run(go_on(folder, sent))
    events = sum(len(one.receipt.events) for one in sent)
    print(json.dumps({"is_mounted": is_mounted, "events": events, "found": found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
