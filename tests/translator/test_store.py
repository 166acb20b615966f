"""Files of translations: damaged, foreign, unfinished and too many of them."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from parallel_evm.translator.store import Store

NAME = "0a" * 24
CONTENT = b"something worth keeping"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With one good file in it."""
    folder = tmp_path / "deeper" / "translations"
    assert Store(str(folder)).write(NAME, CONTENT)
    return folder


def store(folder: Path) -> Store:
    return Store(str(folder))


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def read(folder: Path, name: str = NAME) -> bytes | None:
    found = store(folder).read(name)
    return None if found is None else found[0]


def test_what_was_written_is_read(folder: Path) -> None:
    assert read(folder) == CONTENT
    assert read(folder, "0b" * 24) is None
    before = store(folder).stamp(NAME)
    assert store(folder).write(NAME, b"newer") == store(folder).stamp(NAME) != before
    assert read(folder) == b"newer"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert only_file(folder).stat().st_mode & 0o777 == 0o600


def test_a_damaged_byte_anywhere(folder: Path) -> None:
    file = only_file(folder)
    good = file.read_bytes()
    for place in range(len(good)):
        file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        assert read(folder) is None, place
        assert not file.exists()


def test_a_part_or_more_than_all_of_a_file(folder: Path) -> None:
    file = only_file(folder)
    good = file.read_bytes()
    for part in [*(good[:length] for length in range(len(good))), good + b"\0"]:
        file.write_bytes(part)
        assert read(folder) is None, len(part)
        assert not file.exists()


def test_a_good_file_under_another_name(folder: Path) -> None:
    other = "0b" * 24
    file = only_file(folder)
    file.rename(file.with_name(file.name.replace(NAME, other)))
    assert read(folder, other) is None
    assert not list(folder.iterdir())


@pytest.mark.parametrize("mode", (0o770, 0o702, 0o777, 0o1777))
def test_a_folder_that_others_may_write_to(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    assert read(folder) is None
    assert store(folder).write(NAME, b"newer") is None
    assert f"(mode {mode:o})" in str(store(folder).problem())
    folder.chmod(0o755)
    assert store(folder).problem() is None
    assert read(folder) == CONTENT


def test_a_folder_of_somebody_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert read(folder) is None
    assert store(folder).write(NAME, b"newer") is None
    assert f"(number {owner})" in str(store(folder).problem())
    monkeypatch.undo()
    assert read(folder) == CONTENT


@pytest.mark.parametrize("mode", (0o620, 0o602))
def test_a_file_that_others_may_write_to(folder: Path, mode: int) -> None:
    only_file(folder).chmod(mode)
    assert read(folder) is None
    assert store(folder).write(NAME, b"newer")
    assert read(folder) == b"newer"


def test_things_that_are_no_files(folder: Path) -> None:
    file = only_file(folder)
    elsewhere = folder.parent / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert read(folder) is None
    assert store(folder).write(NAME, b"newer")
    assert read(folder) == b"newer"
    assert elsewhere.read_bytes().endswith(CONTENT)
    file.unlink()
    os.mkfifo(file)
    assert read(folder) is None  # and nobody waits for somebody to write into it
    file.unlink()
    file.mkdir()
    assert read(folder) is None
    assert store(folder).write(NAME, b"newer") is None


def test_a_symbolic_link_to_a_folder(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert read(link) is None
    assert store(link).problem() == "it is a symbolic link"


def test_a_file_in_place_of_the_folder(folder: Path) -> None:
    for path in (only_file(folder), only_file(folder) / "below"):
        assert read(path) is None
        assert store(path).write(NAME, CONTENT) is None
        assert "cannot be opened" in str(store(path).problem())


def test_a_full_disk(folder: Path) -> None:
    """Here, a limit to the size of files: the write itself fails, half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        assert store(folder).write(NAME, bytes(1000)) is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read(folder) == CONTENT
    only_file(folder)


def test_a_file_system_that_cannot_be_written_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = os.open

    def opening(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return really_open(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", opening)
    assert store(folder).write(NAME, b"newer") is None
    assert read(folder) == CONTENT


def in_a_process(target: Any, *arguments: Any) -> Any:
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    return process


def _die_while_writing(folder: Path) -> None:
    os.replace = lambda *arguments, **options: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    store(folder).write(NAME, b"newer")


def test_killed_while_writing(folder: Path) -> None:
    process = in_a_process(_die_while_writing, folder)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert read(folder) == CONTENT
    unfinished = [file for file in folder.iterdir() if file.suffix == ".part"]
    assert len(unfinished) == 1
    store(folder).write(NAME, b"newer")
    assert unfinished[0].exists()  # it could be somebody who is writing just now
    os.utime(unfinished[0], (time.time() - 7200,) * 2)
    store(folder).write(NAME, b"newer")
    assert not unfinished[0].exists()
    assert read(folder) == b"newer"


def _write_often(folder: Path, letter: bytes) -> None:
    for _ in range(200):
        assert store(folder).write(NAME, letter * 50_000)


def test_two_processes_that_write_at_once(folder: Path) -> None:
    processes = [in_a_process(_write_often, folder, letter) for letter in (b"a", b"b")]
    found = set()
    while any(process.is_alive() for process in processes):
        found.add(read(folder))
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert found <= {CONTENT, b"a" * 50_000, b"b" * 50_000}
    assert read(folder) != CONTENT
    only_file(folder)


def test_only_one_holds_the_lock(folder: Path) -> None:
    with store(folder).locked() as ours:
        assert ours
        with store(folder).locked() as theirs:
            assert not theirs
    with store(folder).locked() as ours:
        assert ours


def test_what_was_not_used_for_longest_makes_room(folder: Path) -> None:
    limit = 40_000
    bounded = Store(str(folder), limit)
    (folder / "notes.txt").write_bytes(bytes(50_000))  # not ours
    names = [f"{number:04x}" for number in range(100)]
    long_ago = time.time() - 3 * 24 * 3600
    for number, name in enumerate(names):
        assert bounded.write(name, bytes(1000))
        os.utime(folder / f"{name}.traces", (long_ago + number,) * 2)
        assert bounded.read(names[0])  # in use: it stays
        size = sum(file.stat().st_size for file in folder.glob("*.traces"))
        assert size <= limit + limit // 16
    left = {name for name in names if store(folder).stamp(name)}
    assert left == {names[0], *names[101 - len(left) :]}
    assert len(left) > 30
    assert (folder / "notes.txt").exists()


def test_a_file_that_is_too_large(folder: Path) -> None:
    assert store(folder).write(NAME, bytes(9 << 20)) is None
    assert read(folder) == CONTENT
