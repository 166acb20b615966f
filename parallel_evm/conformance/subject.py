"""What is held against stock py-evm: a way of making VM classes, and a tally of what it did.

`Stock` is py-evm itself, unchanged. The parallel subject wraps `parallelize`; everything else in
this room sees only the `Subject` interface and never imports the executor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from eth.abc import VirtualMachineAPI


@dataclass(frozen=True)
class Tally:
    """Counts of what a subject did in the blocks it was given.

    `parallel` counts blocks whose transactions went down the parallel path; `fallbacks` counts the
    blocks that did not, by the reason the executor gave.
    """

    blocks: int = 0
    parallel: int = 0
    re_executions: int = 0
    fallbacks: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        reasons = {**self.fallbacks}
        for reason, count in other.fallbacks.items():
            reasons[reason] = reasons.get(reason, 0) + count
        return Tally(
            self.blocks + other.blocks,
            self.parallel + other.parallel,
            self.re_executions + other.re_executions,
            reasons,
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "blocks": self.blocks,
            "parallel": self.parallel,
            "re_executions": self.re_executions,
            "fallbacks": dict(self.fallbacks),
        }


class Subject(Protocol):
    """A way of executing blocks that claims to equal stock py-evm. It must pickle."""

    @property
    def name(self) -> str: ...

    def transform(self, vm_class: type[VirtualMachineAPI]) -> type[VirtualMachineAPI]:
        """The VM class to run in the place of `vm_class`."""

    def take_tally(self) -> Tally:
        """What was done since the last call; the next tally begins at zero."""

    def renew(self) -> None:
        """Forget what was learned from blocks; workers may stay."""

    def close(self) -> None:
        """Let go of workers and of everything learned; the next block starts cold."""


@dataclass(frozen=True)
class Stock:
    """Sequential py-evm, the specification."""

    name: str = "py-evm"

    def transform(self, vm_class: type[VirtualMachineAPI]) -> type[VirtualMachineAPI]:
        return vm_class

    def take_tally(self) -> Tally:
        return Tally()

    def renew(self) -> None:
        pass

    def close(self) -> None:
        pass
