"""PgBouncer for tests: a pooler in front of a server, which gives each transaction of a client another session."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

SESSIONS = 3
"""With the server, fewer than its clients are."""

_CONFIGURATION = """
[databases]
* = host={host} port={server_port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 200
# Else who comes again soon finds the session that it had.
server_round_robin = 1
ignore_startup_parameters = extra_float_digits
"""


def installed() -> str | None:
    """The program, None where it is not on this machine."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin")


class PgBouncer:
    """One pooler, in transaction mode, for as long as the context lasts."""

    def __init__(self, program: str, server_url: str) -> None:
        self._program = program
        self._parts = urlsplit(server_url)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="doubledecker-pgbouncer-"))
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            # It has nothing to lose, and no other signal ends every release of it at once.
            self._process.kill()
            self._process.wait(timeout=30)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return urlunsplit(self._parts._replace(netloc=f"{self._parts.username}@127.0.0.1:{self._port}"))

    def _start(self) -> None:
        """Returns once it takes connections."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        configuration = self._folder / "pgbouncer.ini"
        configuration.write_text(
            _CONFIGURATION.format(
                host=self._parts.hostname,
                server_port=self._parts.port,
                user=self._parts.username,
                port=self._port,
                sessions=SESSIONS,
            )
        )
        # It refuses to run as root, as the server does.
        user = "nobody" if os.geteuid() == 0 else None
        if user is not None:
            for path in (self._folder, configuration):
                os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._program, configuration], stdout=log, stderr=log, cwd=self._folder, user=user
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PgBouncer did not start: {(self._folder / 'log').read_text()[-2_000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False
