"""Differential fuzzing: random blocks, sequentially and by a subject, until the time is up.

A difference is cut down to the smallest block that still shows it and kept as a self-contained
JSON case that `replay` takes. Block `index` of a seed is always the same block. This module draws
no randomness of its own and prints nothing.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parallel_evm.conformance.compose import compose, drafted
from parallel_evm.conformance.replay import Check, Comparison, compare
from parallel_evm.conformance.scenario import Scenario, scenario
from parallel_evm.conformance.shrink import shrunk
from parallel_evm.conformance.subject import Account, Subject


@dataclass(frozen=True)
class Finding:
    """A block that the subject runs otherwise than sequential py-evm, cut down to what shows it.

    `transactions` is how many the block had before it was cut down. `alone` is False where the
    difference did not show again on a fresh executor; then the block is kept whole, and running
    the seed's blocks up to `index` may be needed to see it.
    """

    seed: int
    index: int
    checks: tuple[Check, ...]
    transactions: int
    alone: bool
    case: dict[str, Any]

    def write(self, folder: Path) -> Path:
        """Write the case into the folder; `parallel-evm replay` takes the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"difference-{self.seed}-{self.index}.json"
        path.write_text(json.dumps(self.case, indent=1))
        return path

    def to_dict(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "index": self.index,
            "transactions": self.transactions,
            "alone": self.alone,
            "checks": [check.to_dict() for check in self.checks],
            "case": self.case,
        }


@dataclass
class FuzzReport:
    """What has been tried and found so far. `refused` counts blocks that py-evm refuses."""

    subject: str
    seed: int
    blocks: int = 0
    transactions: int = 0
    refused: int = 0
    gas_used: int = 0
    forks: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    account: Account = field(default_factory=Account)
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        return 1 if self.findings else 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "seed": self.seed,
            "blocks": self.blocks,
            "transactions": self.transactions,
            "refused": self.refused,
            "gas_used": self.gas_used,
            "forks": dict(self.forks),
            "execution": self.account.to_dict(),
            "seconds": round(self.seconds, 3),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def run_fuzz(
    subject: Subject,
    seconds: float,
    seed: int = 0,
    first: int = 0,
    progress: Callable[[FuzzReport], None] = lambda report: None,
    max_findings: int = 10,
) -> FuzzReport:
    """Fuzz for so many seconds of wall time, beginning with block `first` of the seed.

    `progress` sees the growing report after every block. Stops early after `max_findings`.
    """
    started = time.perf_counter()
    report = FuzzReport(subject.name, seed)
    subject.account()
    index = first
    while report.seconds < seconds and len(report.findings) < max_findings:
        drawn = scenario(seed, index)
        comparison = fuzz_one(drawn, subject)
        report.blocks += 1
        report.transactions += len(drawn.drafts)
        report.refused += comparison.refused
        report.gas_used += comparison.gas_used
        report.forks[drawn.setting.fork] += 1
        report.account += subject.account()
        if comparison.differences:
            report.findings.append(_finding(seed, index, drawn, comparison, subject))
            subject.account()
        index += 1
        report.seconds = time.perf_counter() - started
        progress(report)
    return report


def fuzz_one(drawn: Scenario, subject: Subject) -> Comparison:
    """Run one block sequentially and by the subject."""
    return compare(drafted(drawn.setting, drawn.state, drawn.transactions()), subject)


def _finding(
    seed: int, index: int, drawn: Scenario, comparison: Comparison, subject: Subject
) -> Finding:
    subject.close()
    if not fuzz_one(drawn, subject).differences:
        # It takes the blocks before this one, or luck: nothing to cut down.
        return _kept(seed, index, drawn, drawn, comparison.differences, alone=False)
    smallest = shrunk(drawn, lambda candidate: bool(fuzz_one(candidate, subject).differences))
    subject.close()
    again = fuzz_one(smallest, subject).differences
    if not again:
        return _kept(seed, index, drawn, drawn, comparison.differences, alone=False)
    return _kept(seed, index, drawn, smallest, again, alone=True)


def _kept(
    seed: int,
    index: int,
    drawn: Scenario,
    kept: Scenario,
    checks: tuple[Check, ...],
    alone: bool,
) -> Finding:
    case = compose(kept.setting, kept.state, kept.transactions())
    return Finding(seed, index, checks, len(drawn.drafts), alone, case)
