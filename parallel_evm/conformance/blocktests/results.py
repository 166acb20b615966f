"""What became of test cases: plain data.

Responsible for: the verdicts, which case a result is of, and counting them.
Never: reads or runs a case.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from parallel_evm.conformance.subject import Tally
from parallel_evm.inputs import InputError


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    STOCK_FAILS = "stock fails"
    UNKNOWN_NETWORK = "unknown network"
    ERROR = "error"


@dataclass(frozen=True)
class CaseId:
    """One test case: which file, which entry of it. `folder` is the file's folder, for tables."""

    file: Path
    name: str
    network: str

    @property
    def folder(self) -> str:
        return self.file.absolute().parent.name

    def __str__(self) -> str:
        return f"{self.file.name}::{self.name}"


@dataclass(frozen=True)
class CaseResult:
    """What became of one case. `detail` is empty for a case that passed; seconds are wall time.

    `differs_from_stock` marks a case that stock py-evm fails and the subject fails in another way
    (or passes): not counted as a failure, since the case cannot tell who is right.
    """

    case: CaseId
    verdict: Verdict
    detail: str = ""
    blocks: int = 0
    refused: int = 0
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    differs_from_stock: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": str(self.case.file),
            "case": self.case.name,
            "folder": self.case.folder,
            "network": self.case.network,
            "verdict": str(self.verdict),
            "detail": self.detail,
            "differs_from_stock": self.differs_from_stock,
            "blocks": self.blocks,
            "refused": self.refused,
            "seconds": round(self.seconds, 4),
            "execution": self.tally.to_dict(),
        }


@dataclass(frozen=True)
class Conformance:
    """Every case's result, in the order of discovery."""

    subject: str
    results: tuple[CaseResult, ...]
    seconds: float

    def count(self, verdict: Verdict) -> int:
        return sum(result.verdict is verdict for result in self.results)

    @property
    def tally(self) -> Tally:
        return sum((result.tally for result in self.results), Tally())

    @property
    def exit_code(self) -> int:
        """1 if a case failed that stock py-evm passes, else 2 if input was unusable, else 0."""
        if self.count(Verdict.FAILED):
            return 1
        return 2 if self.count(Verdict.ERROR) or not self.results else 0

    def by_folder(self) -> dict[str, Counter[Verdict]]:
        return self._table(lambda case: case.folder)

    def by_network(self) -> dict[str, Counter[Verdict]]:
        return self._table(lambda case: case.network)

    def to_dict(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "seconds": round(self.seconds, 3),
            "totals": {str(verdict): self.count(verdict) for verdict in Verdict},
            "execution": self.tally.to_dict(),
            "folders": _plain(self.by_folder()),
            "networks": _plain(self.by_network()),
            "cases": [result.to_dict() for result in self.results],
        }

    def _table(self, key: Callable[[CaseId], str]) -> dict[str, Counter[Verdict]]:
        table: dict[str, Counter[Verdict]] = defaultdict(Counter)
        for result in self.results:
            table[key(result.case)][result.verdict] += 1
        return dict(sorted(table.items()))


def unusable(case: CaseId, problem: InputError) -> CaseResult:
    """The result of a case, or a file, that cannot be read."""
    # The file and the entry's name stand in the case already.
    place = problem.field.removeprefix(case.name).lstrip(".")
    return CaseResult(case, Verdict.ERROR, ": ".join(p for p in (place, problem.reason) if p))


def _plain(table: dict[str, Counter[Verdict]]) -> dict[str, dict[str, int]]:
    return {
        row: {str(verdict): n for verdict, n in counts.items()} for row, counts in table.items()
    }
