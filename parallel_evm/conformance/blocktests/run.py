"""Runs all the test cases that were found, file by file, here or in processes side by side.

Responsible for: the order of results, progress, Ctrl-C, and py-evm's warnings.
Talks to: `judge`, for each case.
Never: says whether a case has passed.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from parallel_evm.conformance.blocktests.discovery import Discovery
from parallel_evm.conformance.blocktests.judge import run_case
from parallel_evm.conformance.blocktests.results import CaseId, CaseResult, Conformance, unusable
from parallel_evm.conformance.subject import Subject
from parallel_evm.inputs import InputError, read_json


def run_conformance(
    discovery: Discovery,
    subject: Subject,
    jobs: int = 1,
    progress: Callable[[CaseResult], None] = lambda result: None,
) -> Conformance:
    """Run every case found; `progress` hears of each result as it comes, in no fixed order.

    `jobs` is the number of processes that run files side by side; with 1 nothing is started.
    """
    started = time.perf_counter()
    done: dict[CaseId, CaseResult] = {}
    for result in discovery.unusable:
        done[result.case] = result
        progress(result)
    for result in _run_files(_by_file(discovery.cases), subject, jobs):
        done[result.case] = result
        progress(result)
    order = [result.case for result in discovery.unusable] + list(discovery.cases)
    results = tuple(done[case] for case in order)
    return Conformance(subject.name, results, time.perf_counter() - started)


def _by_file(cases: Iterable[CaseId]) -> list[tuple[Path, tuple[CaseId, ...]]]:
    files: dict[Path, list[CaseId]] = defaultdict(list)
    for case in cases:
        files[case.file].append(case)
    return [(file, tuple(found)) for file, found in files.items()]


def _run_files(
    files: Sequence[tuple[Path, tuple[CaseId, ...]]], subject: Subject, jobs: int
) -> Iterator[CaseResult]:
    if jobs <= 1:
        for file, cases in files:
            yield from _run_file(file, cases, subject)
        return
    # Started fresh rather than forked: a subject may hold threads and pipes of its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_leave_interrupts) as pool:
        running: set[Future[list[CaseResult]]] = {
            pool.submit(_run_whole_file, file, cases, subject) for file, cases in files
        }
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for finished in done:
                    yield from finished.result()
        except BaseException:
            # Ctrl-C, or a caller that has seen enough: what was not begun is not begun any more,
            # and what runs is not waited for.
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _leave_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal; it is the first one's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_whole_file(file: Path, cases: tuple[CaseId, ...], subject: Subject) -> list[CaseResult]:
    return list(_run_file(file, cases, subject))


def _run_file(file: Path, cases: tuple[CaseId, ...], subject: Subject) -> Iterator[CaseResult]:
    try:
        entries = dict(read_json(file).members())
    except InputError as problem:
        for case in cases:
            yield unusable(case, problem)
        return
    with quiet_py_evm():
        for case in cases:
            yield run_case(case, entries[case.name], subject)


@contextmanager
def quiet_py_evm() -> Iterator[None]:
    """Keep py-evm's warnings about refused blocks, which are expected here, off the screen."""
    logger, silence = logging.getLogger("eth"), logging.NullHandler()
    logger.addHandler(silence)
    try:
        yield
    finally:
        logger.removeHandler(silence)
