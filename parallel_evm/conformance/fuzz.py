"""Differential fuzzing: random blocks, sequentially and by a subject.

Most draws are one block at the seam; every sixth is a small chain with a fork in it. A difference
is cut down to the smallest draw that still shows it and kept as a self-contained JSON case, which
`parallel-evm replay` takes: a recorded block, or a chain in the form of a BlockchainTest. Draw
`index` of a seed is always the same. This module draws no randomness of its own and prints nothing.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parallel_evm.conformance.blocktests.judge import run_case
from parallel_evm.conformance.blocktests.results import CaseId, Verdict
from parallel_evm.conformance.blocktests.run import quiet_py_evm
from parallel_evm.conformance.chains import blockchain_test
from parallel_evm.conformance.compose import compose, drafted
from parallel_evm.conformance.replay import Check, compare
from parallel_evm.conformance.scenario import Scenario, scenario
from parallel_evm.conformance.shrink import shrunk
from parallel_evm.conformance.subject import Subject, Tally
from parallel_evm.inputs import Node

CHAIN_EVERY = 6
"""The last of so many draws is run as a chain."""


@dataclass(frozen=True)
class Trial:
    """One draw run both ways: what differs, and what py-evm made of it."""

    differences: tuple[Check, ...]
    blocks: int
    refused: int
    tally: Tally


@dataclass(frozen=True)
class Finding:
    """A draw that the subject runs otherwise than sequential py-evm, cut down to what shows it.

    `kind` is "block" or "chain". `transactions` is how many there were before it was cut down.
    `alone` is False where the difference did not show again on a fresh executor; then the draw is
    kept whole, and running the seed's draws up to `index` may be needed to see it.
    """

    seed: int
    index: int
    kind: str
    checks: tuple[Check, ...]
    transactions: int
    alone: bool
    case: dict[str, Any]

    def write(self, folder: Path) -> Path:
        """Write the case; `parallel-evm replay` takes it."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.kind}-{self.seed}-{self.index}.json"
        path.write_text(json.dumps(self.case, indent=1))
        return path

    def to_dict(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "index": self.index,
            "kind": self.kind,
            "transactions": self.transactions,
            "alone": self.alone,
            "checks": [check.to_dict() for check in self.checks],
            "case": self.case,
        }


@dataclass
class FuzzReport:
    """What has been tried and found so far. `refused` counts blocks that py-evm refuses;
    `transactions` counts drawn ones, each of which may run in several blocks of a chain."""

    subject: str
    seed: int
    draws: int = 0
    blocks: int = 0
    transactions: int = 0
    refused: int = 0
    forks: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        return 1 if self.findings else 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "seed": self.seed,
            "draws": self.draws,
            "blocks": self.blocks,
            "transactions": self.transactions,
            "refused": self.refused,
            "forks": dict(self.forks),
            "execution": self.tally.to_dict(),
            "seconds": round(self.seconds, 3),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def run_fuzz(
    subject: Subject,
    seconds: float = math.inf,
    draws: float = math.inf,
    seed: int = 0,
    progress: Callable[[FuzzReport], None] = lambda report: None,
    max_findings: int = 10,
) -> FuzzReport:
    """Fuzz with the seed's draws, for so many seconds of wall time and so many draws at most.

    `progress` sees the growing report after every draw. Stops early after `max_findings`, each of
    which is cut down for up to a minute.
    """
    started = time.perf_counter()
    report = FuzzReport(subject.name, seed)
    subject.take_tally()
    while report.seconds < seconds and report.draws < draws and len(report.findings) < max_findings:
        index = report.draws
        drawn = scenario(seed, index)
        if index % 2 == 0:
            # Half of the draws meet an executor without experience, half one full of it.
            subject.renew()
        try_out = try_chain if _is_chain(index) else try_block
        trial = try_out(drawn, subject)
        report.draws += 1
        report.blocks += trial.blocks
        report.transactions += len(drawn.drafts)
        report.refused += trial.refused
        report.forks[drawn.setting.fork] += 1
        report.tally += trial.tally
        if trial.differences:
            report.findings.append(_finding(seed, index, drawn, trial, subject))
        report.seconds = time.perf_counter() - started
        progress(report)
    return report


def try_block(drawn: Scenario, subject: Subject) -> Trial:
    """Run a draw as one block, sequentially and by the subject."""
    recording = drafted(drawn.setting, drawn.state, drawn.transactions())
    comparison = compare(recording, subject)
    return Trial(comparison.differences, 1, int(comparison.refused), subject.take_tally())


def try_chain(drawn: Scenario, subject: Subject) -> Trial:
    """Run a draw as a chain: made by stock py-evm, imported by the subject."""
    content = blockchain_test(drawn)
    node = Node("drawn", "", content)
    with quiet_py_evm():
        result = run_case(CaseId(Path("drawn"), "chain", content["network"]), node, subject)
    differs = result.verdict is not Verdict.PASSED
    checks = (Check("chain", False, f"{result.verdict}: {result.detail}"),) if differs else ()
    return Trial(checks, result.blocks, result.refused, result.tally)


def _is_chain(index: int) -> bool:
    return index % CHAIN_EVERY == CHAIN_EVERY - 1


def _finding(seed: int, index: int, drawn: Scenario, trial: Trial, subject: Subject) -> Finding:
    chain = _is_chain(index)
    try_out = try_chain if chain else try_block

    def differences(candidate: Scenario) -> tuple[Check, ...]:
        return try_out(candidate, subject).differences

    kept, checks, alone = drawn, trial.differences, False
    subject.close()
    # What does not show again takes the draws before this one, or luck: nothing to cut down.
    if differences(drawn):
        smallest = shrunk(drawn, lambda candidate: bool(differences(candidate)))
        subject.close()
        again = differences(smallest)
        if again:
            kept, checks, alone = smallest, again, True
    if chain:
        case = {f"seed-{seed}-draw-{index}": blockchain_test(kept)}
    else:
        case = compose(kept.setting, kept.state, kept.transactions())
    kind = "chain" if chain else "block"
    return Finding(seed, index, kind, checks, len(drawn.drafts), alone, case)
