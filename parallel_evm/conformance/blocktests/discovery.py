"""Which test cases there are in files and folders.

Responsible for: finding them, choosing some, and listing what cannot be read.
Talks to: the disk.
Never: looks further into a case than its network.
"""

from __future__ import annotations

import fnmatch
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from parallel_evm.conformance.blocktests.results import CaseId, CaseResult, unusable
from parallel_evm.inputs import InputError, read_json


@dataclass(frozen=True)
class Discovery:
    """The cases found, and a result of verdict ERROR for each file or case that cannot be read."""

    cases: tuple[CaseId, ...]
    unusable: tuple[CaseResult, ...] = ()


def discover(
    paths: Iterable[Path],
    match: str | None = None,
    sample: int | None = None,
    seed: int = 0,
) -> Discovery:
    """The test cases in files and, recursively, in folders.

    `match` keeps the cases whose file path and name contain the text, or match it as a shell
    pattern. `sample` keeps that many, chosen by `seed` so that folders and networks are all
    represented as far as the number reaches. What cannot be read (no such path, a folder without
    JSON files, a broken file or entry) is listed beside the cases and spoils none of them.
    """
    cases: list[CaseId] = []
    bad: list[CaseResult] = []
    for path in paths:
        try:
            files = _json_files(path)
        except InputError as problem:
            bad.append(unusable(CaseId(path, "", ""), problem))
            continue
        for file in files:
            _read_cases(file, cases, bad)
    if match is not None:
        cases = [case for case in cases if _matches(case, match)]
    if sample is not None:
        cases = _spread(cases, sample, seed)
    return Discovery(tuple(cases), tuple(bad))


def holds_cases(file: Path) -> bool:
    """Whether a file's content is that of BlockchainTests: every entry names its network."""
    try:
        entries = [entry for _, entry in read_json(file).members()]
        return bool(entries) and all(entry.has("network") for entry in entries)
    except InputError:
        return False


def _json_files(path: Path) -> list[Path]:
    """The file, or all JSON files of the folder. Raises InputError if there is none."""
    try:
        if not path.is_dir():
            path.stat()
            return [path]
        files = sorted(file for file in path.rglob("*.json") if not file.is_dir())
    except FileNotFoundError:
        raise InputError(path, "", "no such file or folder") from None
    except OSError as problem:
        raise InputError(path, "", problem.strerror or str(problem)) from None
    if not files:
        raise InputError(path, "", "no JSON file in this folder")
    return files


def _read_cases(file: Path, cases: list[CaseId], bad: list[CaseResult]) -> None:
    try:
        entries = list(read_json(file).members())
    except InputError as problem:
        bad.append(unusable(CaseId(file, "", ""), problem))
        return
    for name, entry in entries:
        try:
            cases.append(CaseId(file, name, entry.member("network").text()))
        except InputError as problem:
            bad.append(unusable(CaseId(file, name, ""), problem))


def _matches(case: CaseId, text: str) -> bool:
    whole = f"{case.file}::{case.name}"
    return text in whole or fnmatch.fnmatchcase(whole, text)


def _spread(cases: Sequence[CaseId], number: int, seed: int) -> list[CaseId]:
    """`number` cases, taken in turn from every (network, folder), in the order they were in."""
    chance = random.Random(seed)
    groups: dict[tuple[str, str], list[CaseId]] = defaultdict(list)
    for case in cases:
        groups[case.network, str(case.file.parent)].append(case)
    for group in groups.values():
        chance.shuffle(group)
    turns = sorted(groups.values(), key=len)
    chosen: set[CaseId] = set()
    while len(chosen) < min(number, len(cases)):
        for group in turns:
            if group and len(chosen) < number:
                chosen.add(group.pop())
    return [case for case in cases if case in chosen]
