"""A Jaeger server for tests: found on this machine, started on free ports with its traces in memory, and ended.

`python -m tests.support.jaeger` builds one where there is none, which takes Go and some minutes.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final, Self

GIVEN: Final = "DOUBLEDECKER_TEST_JAEGER"
"""Environment variable: the program of a Jaeger 2."""

MODULE: Final = "github.com/jaegertracing/jaeger"
VERSION: Final = "v1.76.0"
"""The module's; the program in cmd/jaeger calls itself 2.x. It is built inside its own module, whose go.sum then says
what its hundreds of dependencies must be."""

_CONFIGURATION: Final = """
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {receivers: [otlp], exporters: [jaeger_storage_exporter]}
  telemetry:
    metrics: {level: none}
extensions:
  jaeger_query:
    storage: {traces: memory}
    http: {endpoint: "127.0.0.1:%(query)d"}
    grpc: {endpoint: "127.0.0.1:%(grpc)d"}
  jaeger_storage:
    backends:
      memory: {memory: {max_traces: 100000}}
receivers:
  otlp:
    protocols:
      http: {endpoint: "127.0.0.1:%(otlp)d"}
exporters:
  jaeger_storage_exporter: {trace_storage: memory}
"""

_UP_S: Final = 60.0


def cache() -> Path:
    """Where a program that was built is kept, outside of the tree."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "doubledecker"


def program() -> Path | None:
    """The program on this machine."""
    given = os.environ.get(GIVEN)
    if given is not None:
        if not os.access(given, os.X_OK):
            raise RuntimeError(f"{GIVEN} names {given!r}, which is no program")
        return Path(given)
    built = cache() / "bin" / "jaeger"
    found = str(built) if os.access(built, os.X_OK) else shutil.which("jaeger")
    return None if found is None else Path(found)


def build() -> Path:
    """Fetches the module and builds the program; raises `CalledProcessError` where that cannot be done."""
    built, source = cache() / "bin" / "jaeger", cache() / "jaeger-source"
    built.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"GOFLAGS": "-modcacherw"}
    with tempfile.TemporaryDirectory() as folder:
        command = ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"]
        said = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE).stdout
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(json.loads(said)["Dir"], source)
    command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(built), "./cmd/jaeger"]
    subprocess.run(command, cwd=source, env=environment, check=True)
    shutil.rmtree(source)
    return built


class JaegerServer:
    """One server, for as long as the context lasts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ports = {name: _free_port() for name in ("query", "grpc", "otlp")}

    @property
    def otlp(self) -> str:
        """Where it takes spans."""
        return f"http://127.0.0.1:{self._ports['otlp']}"

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self._ports['query']}"

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="doubledecker-jaeger-"))
        (self._folder / "jaeger.yaml").write_text(_CONFIGURATION % self._ports, encoding="utf-8")
        self._log = (self._folder / "log").open("wb")
        command = [str(self._path), "--config", str(self._folder / "jaeger.yaml")]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + _UP_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.ask("/api/services")
                # Spans go to another port, which may open later.
                socket.create_connection(("127.0.0.1", self._ports["otlp"])).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"jaeger did not start: {(self._folder / 'log').read_text()[-2_000:]}")

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its query API."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with urllib.request.urlopen(f"{self.url}{path}{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def traces(self, service: str, operation: str, *, at_least: int = 1) -> list[Any]:
        """Those traces of a service that have such a span; waits until there are enough of them."""
        deadline = time.monotonic() + 20.0
        while True:
            found: list[Any] = self.ask("/api/traces", service=service, operation=operation, limit="1000") or []
            if len(found) >= at_least or time.monotonic() > deadline:
                return found
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    there = program()
    print(there or build(), file=sys.stdout)
