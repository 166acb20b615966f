"""What all commands have in common: options, progress, how bad input and results are told.

Tables go to standard output. Progress goes to standard error, and only to a terminal, so that
output can be piped. Knows nothing about what the commands do.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from parallel_evm.config import MAX_WORKERS, Backend

NOBODY_READS = 141
REFRESH_SECONDS = 0.1
COLUMNS_WITHOUT_TERMINAL = 120


class _Screen(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would end the process with 1, which means a difference


def screen() -> Console:
    """Where results go. Tables that are piped are not squeezed into the width of no terminal."""
    if isinstance(sys.stdout, TextIOWrapper):
        # Names of files and cases may hold what the terminal's encoding, or any, cannot express.
        sys.stdout.reconfigure(errors="backslashreplace")
    console = _Screen()
    return console if console.is_terminal else _Screen(width=COLUMNS_WITHOUT_TERMINAL)


def complain(message: str) -> None:
    """One line on standard error."""
    typer.echo(f"parallel-evm: {' '.join(message.splitlines())}", err=True)


def fail(message: str) -> NoReturn:
    """Bad input: one line, exit code 2."""
    complain(message)
    raise typer.Exit(2)


def _writable(file: Path | None) -> Path | None:
    # Asked before the work is done, so that no result is lost to a wrong name. (Of `os.path`, since
    # the questions of `Path` raise where a folder on the way may not be searched.)
    if file is not None and not os.path.isdir(file.parent):
        fail(f"--json: there is no folder {file.parent}")
    if file is not None and os.path.isdir(file):
        fail(f"--json: {file} is a folder")
    if file is not None and not os.access(file if os.path.exists(file) else file.parent, os.W_OK):
        fail(f"--json: {file}: Permission denied")
    return file


WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-w",
        min=1,
        max=MAX_WORKERS,
        help="Workers. Default: the CPUs of this machine.",
    ),
]
BackendOption = Annotated[
    Backend | None,
    typer.Option(
        "--backend", help="Where transactions run. Default: auto for bench, else process."
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
JsonFileOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        callback=_writable,
        help="Write the results to this file as well, as JSON.",
    ),
]


@contextmanager
def working(quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """A line that says what is being done; what is yielded changes it."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda text: None
    else:
        with console.status("starting") as status:
            yield lambda text: status.update(text)


@contextmanager
def progress_bar(what: str, total: float) -> Iterator[Callable[[float, str], None]]:
    """A bar; what is yielded hears how much of `total` is done, and a few words about it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, words: None
        return
    words_column = TextColumn(
        "{task.fields[words]}",
        markup=False,
        table_column=Column(no_wrap=True, overflow="ellipsis"),
    )
    # Drawn between cases and not by a thread: that would disturb what is being timed, and workers
    # are forked from this process.
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        words_column,
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        task = progress.add_task(what, total=total, words="")
        drawn = 0.0

        def advance(done: float, words: str) -> None:
            nonlocal drawn
            progress.update(task, completed=done, words=words)
            if time.monotonic() - drawn >= REFRESH_SECONDS:
                progress.refresh()
                drawn = time.monotonic()

        yield advance


_NAMELESS = {
    errno.EBADF: "standard output",
    errno.EFBIG: "standard output",
    errno.EIO: "standard output",
    errno.ENOENT: "the current folder",
    errno.ENOSPC: "standard output",
}
"""What cannot be used when the system names nothing."""


def well_mannered(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which ends quietly (141, as SIGPIPE does) when nobody reads on, and in one line
    when its output, or a folder that it needs, cannot be written."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            try:
                command(*arguments, **options)
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()
        except BrokenPipeError:
            _write_nowhere()
            raise typer.Exit(NOBODY_READS) from None
        except OSError as problem:
            _write_nowhere()
            name = problem.filename or _NAMELESS.get(problem.errno or 0)
            fail(f"{name}: {problem.strerror}" if name else str(problem))

    return run


def _write_nowhere() -> None:
    """What is still to be written cannot be: Python would say so once more at the end."""
    if sys.stdout is None:
        return
    with open(os.devnull, "w") as nowhere, suppress(OSError, ValueError):
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, sort_keys=True))


@contextmanager
def written(file: Path | None, value: Any) -> Iterator[None]:
    """Write to the file, if one was asked for, before what is inside is shown: perhaps nobody reads
    that to its end. Exit code 2, afterwards, if the file cannot be written."""
    problem = None
    try:
        if file is not None:
            file.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    except OSError as error:
        problem = error
    yield
    if problem is not None:
        fail(f"--json: {file}: {problem.strerror}")
