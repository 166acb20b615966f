"""ParallelConfig: everything that can be chosen about parallel execution, validated at once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from parallel_evm.errors import ConfigurationError
from parallel_evm.report import BlockReport

_LONGEST_DEADLINE: Final = 24 * 3600

Backend = Literal["auto", "serial", "thread", "process"]
BACKENDS: Final[tuple[str, ...]] = get_args(Backend)
SWITCHES: Final = (
    "translate",
    "assistant",
    "direct",
    "in_place",
    "forecasts",
    "lanes",
    "overlap",
    "whole_lanes",
    "deltas",
    "fast_precompiles",
    "incremental",
)
"""The settings that switch something off, to see what it is worth or whether it is at fault."""


MAX_WORKERS: Final = 1_024
"""More is a slip of the hand."""


def _default_workers() -> int:
    if hasattr(os, "sched_getaffinity"):
        return min(MAX_WORKERS, len(os.sched_getaffinity(0)))
    return min(MAX_WORKERS, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class ParallelConfig:
    """How blocks are executed. Immutable; a wrong value raises `ConfigurationError`.

    None of these settings can change the result of a block.
    """

    workers: int = field(default_factory=_default_workers)
    """How many transactions run at the same time. Default: the CPUs this process may use."""

    backend: str = "auto"
    """``auto``: this process is one of the workers, the others are processes of their own, and
    blocks that are not worth their trouble run here alone, as measured. ``process``: every worker
    is a process of its own, and every block goes to them. ``thread``: the same with threads (for
    free-threaded Python and for tests). ``serial``: in this process, one after another."""

    min_transactions: int = 1
    """Blocks with fewer transactions run in py-evm's own loop over them, which returns computations
    with their call tree (and, with ``translate=False``, their stack and memory); ours keep only the
    outcome."""

    on_block: Callable[[BlockReport], Any] | None = None
    """Called with a `BlockReport` after each block's transactions were executed."""

    accesses: bool = True
    """Let reports say what each transaction read and wrote. Where nobody asks for a report, or not
    for that, it is not noted, and blocks take up to a sixth less time (see ``in_place``)."""

    start_method: str | None = None
    """How worker processes start: ``fork``, ``spawn`` or ``forkserver``. Default: ``fork`` where
    the platform has it, else ``spawn``."""

    worker_deadline: float = 60.0
    """Seconds without a result or a sign of life after which a worker is given up,
    killed and replaced; its transactions run in this process. Longer than any transaction."""

    translate: bool = True
    """Run hot contracts as Python functions made from their bytecode, where all rules of the fork
    are py-evm's own: in blocks, calls, gas estimates, pending blocks. False: py-evm's interpreter
    loop runs everything."""

    assistant: bool = True
    """With backend ``auto`` and several workers, let one more process do the translating while code
    goes on cold. It starts when there is something to translate, and makes way for all others."""

    translation_cache: bool | str | os.PathLike[str] = True
    """Keep what ``translate`` makes for processes to come. True: in the folder that the environment
    variable ``PARALLEL_EVM_CACHE`` names, else in ``parallel-evm/translations`` of the user's cache
    folder (``$XDG_CACHE_HOME`` or ``~/.cache``). A path: in this folder. False: nowhere. Only a
    folder that is the user's own, and that nobody else may write to, is used."""

    direct: bool = True
    """Go about a transaction (validation, fees, refunds, clearing) in one pass instead of through
    py-evm's layers, from Byzantium on, where all rules are py-evm's own."""

    in_place: bool = True
    """Run transactions on the block's state itself where nobody speculates and nobody wants to
    know what each of them touched. Needs ``direct``. False: each has a view of its own."""

    forecasts: bool = True
    """Say before a block runs what its transactions will touch, from what was learned of others.
    False: they are dealt out in turn, and what went wrong runs again."""

    lanes: bool = True
    """Let one worker run, in order, the transactions that are expected to touch the same.
    False: forecasts only say which state workers should fetch."""

    overlap: bool = True
    """Judge results while others are still running, where they are judged one by one (see
    ``whole_lanes``), and let `import_blocks` read the next block while one is imported. False:
    one after the other."""

    whole_lanes: bool = True
    """Take over lanes as wholes where none of them touched what another wrote. False: every
    transaction is judged by itself."""

    deltas: bool = True
    """Let transactions that only add to a slot, and compare it, not wait for each other: balances
    that many pay into, totals, votes. Needs ``translate`` and ``direct``, and several workers."""

    fast_precompiles: bool = True
    """Compute precompiles through native libraries where the precompile is py-evm's own."""

    incremental: bool = True
    """Build a pending block (``MiningChain.apply_transaction``) in steps that do not grow with it,
    where the chain's method is py-evm's own."""

    def __post_init__(self) -> None:
        _require_int("workers", self.workers, minimum=1)
        if self.workers > MAX_WORKERS:
            raise ConfigurationError(
                f"ParallelConfig.workers must be at most {MAX_WORKERS}, not {self.workers}"
            )
        _require_int("min_transactions", self.min_transactions, minimum=1)
        for name in ("accesses", *SWITCHES):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(
                    f"ParallelConfig.{name} must be True or False, not {getattr(self, name)!r}"
                )
        if self.backend not in BACKENDS:
            raise ConfigurationError(
                f"ParallelConfig.backend must be one of {', '.join(BACKENDS)}, not {self.backend!r}"
            )
        methods = multiprocessing.get_all_start_methods()
        if self.start_method is not None and self.start_method not in methods:
            raise ConfigurationError(
                f"ParallelConfig.start_method must be one of {', '.join(methods)} on this "
                f"platform, not {self.start_method!r}"
            )
        if self.on_block is not None and not callable(self.on_block):
            raise ConfigurationError(
                f"ParallelConfig.on_block must be callable, not {self.on_block!r}"
            )
        _require_folder("translation_cache", self.translation_cache)
        deadline = self.worker_deadline
        if (
            isinstance(deadline, bool)
            or not isinstance(deadline, int | float)
            or not 0 < deadline <= _LONGEST_DEADLINE
        ):
            raise ConfigurationError(
                "ParallelConfig.worker_deadline must be a positive number of seconds, at most "
                f"{_LONGEST_DEADLINE}, not {deadline!r}"
            )


def _require_int(name: str, value: object, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ConfigurationError(
            f"ParallelConfig.{name} must be an integer of at least {minimum}, not {value!r}"
        )


def _require_folder(name: str, value: object) -> None:
    """True, False, or the path of a folder that may not be there yet."""
    if isinstance(value, bool):
        return
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigurationError(
            f"ParallelConfig.{name} must be True, False or the path of a folder, not {value!r}"
        )
    path = os.path.expanduser(path)
    if os.path.lexists(path) and not os.path.isdir(path):
        raise ConfigurationError(f"ParallelConfig.{name}: {value!r} is not a folder")
