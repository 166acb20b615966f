"""Files in a folder that nobody but this user can have written.

Responsible for: bytes by name, whole or not at all, in bounded space. Talks to: the file system.
Never: hands out what is damaged or what somebody else may have written; raises because a disk is
full, read-only or gone.

The folder is opened first and examined as it was opened; all else happens relative to it, so that
nothing can be put in its place in between. A file carries a digest of its name and its content.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LIMIT: Final = 256 << 20
"""Bytes in a folder; what was not used for longest makes room."""
LARGEST_FILE: Final = 8 << 20

Stamp = tuple[int, int, int]
"""Says which version of a file it was: another one has another."""

_MAGIC: Final = b"parallel-evm\0\0\0\1"
_DIGEST: Final = 32
TRACES: Final = ".traces"
VISITS: Final = ".visits"
_UNFINISHED: Final = ".part"
_OURS: Final = re.compile(
    rf"[0-9a-f]+({re.escape(TRACES)}|{re.escape(VISITS)}|{re.escape(_UNFINISHED)})"
)
_ABANDONED_SECONDS: Final = 3600.0
"""What has been unfinished for so long was left by a process that was killed."""
_REFRESH_SECONDS: Final = 24 * 3600.0
"""A file in use is marked as used so often."""
_SLACK: Final = 32
"""The folder is looked through after so much (the limit, divided by this) was written to it."""

_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
# O_NONBLOCK: a named pipe that somebody put there must not make us wait.
_READ: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)

IS_SUPPORTED: Final = hasattr(os, "geteuid") and os.open in os.supports_dir_fd
"""Elsewhere (Windows) a file's owner means something else: there is no store."""


class Store:
    """Files of one kind in one folder. Their names are hexadecimal numbers."""

    def __init__(self, folder: str, limit: int = LIMIT, suffix: str = TRACES) -> None:
        """``limit``: in bytes, for files of all kinds together."""
        self.folder = folder
        self._suffix = suffix
        self._limit = limit
        self._written = limit  # since the folder was last looked through: never, so far

    def problem(self) -> str | None:
        """Why this folder is not used; None if it is, or if it will be once it is there."""
        if not IS_SUPPORTED:
            return "this platform does not tell whose a file is"
        try:
            folder = os.open(self.folder, _FOLDER)
        except FileNotFoundError:
            return None
        except OSError as error:
            is_link = os.path.islink(self.folder)
            return "it is a symbolic link" if is_link else f"it cannot be opened ({error.strerror})"
        try:
            return _fault(os.fstat(folder))
        finally:
            os.close(folder)

    def read(self, name: str) -> tuple[bytes, Stamp] | None:
        """What was written under this name. What is damaged is removed."""
        with self._opened() as folder:
            if folder is None:
                return None
            try:
                opened = os.open(name + self._suffix, _READ, dir_fd=folder)
            except OSError:
                return None
            try:
                status = os.fstat(opened)
                if not stat.S_ISREG(status.st_mode) or _fault(status):
                    return None
                with open(opened, "rb", closefd=False) as file:
                    data = file.read(LARGEST_FILE + 1)
                if time.time() - status.st_mtime > _REFRESH_SECONDS:
                    with contextlib.suppress(OSError):
                        os.utime(opened)
                    status = os.fstat(opened)
            except OSError:
                return None
            finally:
                os.close(opened)
            content = data[len(_MAGIC) + _DIGEST :]
            if data[: len(_MAGIC) + _DIGEST] != _head(name, content):
                with contextlib.suppress(OSError):
                    os.unlink(name + self._suffix, dir_fd=folder)
                return None
            return content, _stamp(status)

    def stamp(self, name: str) -> Stamp | None:
        """Which version there is now."""
        try:
            return _stamp(os.lstat(os.path.join(self.folder, name + self._suffix)))
        except OSError:
            return None

    def write(self, name: str, content: bytes) -> Stamp | None:
        """Put it in place of what was there. None: that was not possible."""
        data = _head(name, content) + content
        if len(data) > LARGEST_FILE:
            return None
        unfinished = secrets.token_hex(16) + _UNFINISHED
        with self._opened(create=True) as folder:
            if folder is None:
                return None
            try:
                with open(os.open(unfinished, _WRITE, 0o600, dir_fd=folder), "wb") as file:
                    file.write(data)
                    file.flush()
                    status = os.fstat(file.fileno())
                os.replace(unfinished, name + self._suffix, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(unfinished, dir_fd=folder)
                return None
            self._make_room(folder, len(data))
            return _stamp(status)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Is nobody else changing the folder, from now until the end of the block?"""
        import fcntl  # not on Windows, where nobody gets here

        with self._opened(create=True) as folder:
            if folder is None:
                yield True  # nothing will be written anyway
                return
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            except OSError:  # a file system without locks: whoever is last wins
                yield True
                return
            try:
                yield True
            finally:  # not left to closing: a fork may hold a copy
                fcntl.flock(folder, fcntl.LOCK_UN)

    @contextmanager
    def _opened(self, create: bool = False) -> Iterator[int | None]:
        """The folder, None if it is not there or must not be used."""
        folder = None
        if IS_SUPPORTED:
            try:
                if create:
                    os.makedirs(self.folder, mode=0o700, exist_ok=True)
                folder = os.open(self.folder, _FOLDER)
            except OSError:
                pass
        if folder is None:
            yield None
            return
        try:
            yield folder if _fault(os.fstat(folder)) is None else None
        finally:
            os.close(folder)

    def _make_room(self, folder: int, written: int) -> None:
        self._written += written
        if self._written < self._limit // _SLACK:
            return
        self._written = 0
        with contextlib.suppress(OSError):
            files = []
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _OURS.fullmatch(entry.name):
                        status = entry.stat(follow_symlinks=False)
                        files.append((status.st_mtime, status.st_size, entry.name))
            total = sum(size for _, size, _ in files)
            has_room = total <= self._limit
            long_ago = time.time() - _ABANDONED_SECONDS
            for used, size, name in sorted(files):
                is_abandoned = name.endswith(_UNFINISHED) and used < long_ago
                if is_abandoned or (not has_room and total > self._limit - self._limit // 8):
                    total -= size
                    with contextlib.suppress(FileNotFoundError):  # somebody else was faster
                        os.unlink(name, dir_fd=folder)


def _head(name: str, content: bytes) -> bytes:
    """What a file starts with."""
    return _MAGIC + hashlib.blake2b(content, digest_size=_DIGEST, key=name.encode()[:64]).digest()


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _fault(status: os.stat_result) -> str | None:
    """Why somebody else may have written this."""
    if status.st_uid != os.geteuid():
        return f"it belongs to another user (number {status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to it (mode {stat.S_IMODE(status.st_mode):o})"
    return None
