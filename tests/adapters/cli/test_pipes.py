"""Pipes and files are read and written whole, blocking or not."""

import os
import threading
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest

from adapters.cli.pipes import CHUNK_BYTES, Input, Output, read_some, write_all

MUCH = bytes(range(256)) * 8_192
"""More than a pipe holds."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def pipe() -> Iterator[tuple[FileIO, FileIO]]:
    source, sink = os.pipe()
    with FileIO(source, "r") as reading, FileIO(sink, "w") as writing:
        yield reading, writing


async def everything(source: Input) -> bytes:
    chunks = []
    while chunk := await source.read():
        chunks.append(chunk)
    return b"".join(chunks)


@pytest.mark.parametrize("blocking", [True, False])
async def test_what_goes_into_a_pipe_comes_out(pipe: tuple[FileIO, FileIO], blocking: bool) -> None:
    source, sink = pipe
    os.set_blocking(source.fileno(), blocking)
    os.set_blocking(sink.fileno(), blocking)

    def write() -> None:
        write_all(sink.fileno(), MUCH)
        sink.close()

    writer = threading.Thread(target=write)
    writer.start()
    assert await everything(Input(source.fileno())) == MUCH
    writer.join()


async def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(MUCH)
    with path.open("rb") as file:
        assert await everything(Input(file.fileno())) == MUCH


async def test_what_cannot_be_read_raises(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError):
            await Input(directory).read()
    finally:
        os.close(directory)


async def test_output_waits_for_a_slow_reader_without_blocking_the_loop(pipe: tuple[FileIO, FileIO]) -> None:
    source, sink = pipe
    output = Output(sink.fileno())
    received = bytearray()

    def read() -> None:
        while len(received) < len(MUCH):
            received.extend(read_some(source.fileno()))

    reader = threading.Thread(target=read)
    reader.start()
    await output.write(MUCH)
    reader.join()
    assert received == MUCH


async def test_output_that_nobody_reads_raises(pipe: tuple[FileIO, FileIO]) -> None:
    source, sink = pipe
    source.close()
    with pytest.raises(BrokenPipeError):
        await Output(sink.fileno()).write(b"x")


async def test_input_is_read_ahead_by_a_bounded_number_of_chunks(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(MUCH)
    with path.open("rb") as file:
        source = Input(file.fileno())
        assert len(await source.read()) == CHUNK_BYTES
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) <= 4 * CHUNK_BYTES
        # To the end, since before that the thread that reads has no reason to end.
        assert await everything(source) == MUCH[CHUNK_BYTES:]
