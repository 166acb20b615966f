"""The executor as a subject: `parallelize` with every block sent down the parallel path.

The one module of this room that imports the executor.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from eth.abc import VirtualMachineAPI

from parallel_evm import BlockReport, ParallelConfig, close, parallelize
from parallel_evm.conformance.subject import Tally


class Parallel:
    """`parallelize`d VMs, and a tally of what their block reports said.

    Pickles by its settings: in another process it starts with workers of its own.
    """

    def __init__(
        self,
        workers: int = 2,
        backend: str = "process",
        translation_cache: bool = False,
        min_transactions: int = 1,
    ) -> None:
        """``translation_cache``: may translations come from other processes, and go there?
        ``min_transactions``: smaller blocks run in py-evm's loop, on `speculation.single`."""
        self._reports: list[BlockReport] = []
        self._made: dict[type[VirtualMachineAPI], type[VirtualMachineAPI]] = {}
        self._workers = workers
        self._backend = backend
        self._translation_cache = translation_cache
        self._min_transactions = min_transactions
        self._config = ParallelConfig(
            workers=workers,
            backend=backend,
            min_transactions=min_transactions,
            on_block=self._reports.append,
            accesses=False,
            translation_cache=translation_cache,
        )

    @property
    def name(self) -> str:
        return f"{self._backend} backend, {self._workers} workers"

    def transform(self, vm_class: type[VirtualMachineAPI]) -> type[VirtualMachineAPI]:
        """One class per VM class until `close`: what an executor keeps from one block must not
        show in another, and would not if each block had an executor of its own."""
        if vm_class not in self._made:
            parallel: Any = parallelize(vm_class, config=self._config)
            self._made[vm_class] = parallel
        return self._made[vm_class]

    def take_tally(self) -> Tally:
        reports = [report for report in self._reports if report.transaction_count]
        self._reports.clear()
        fallbacks = Counter(report.fallback for report in reports if report.fallback)
        return Tally(
            blocks=len(reports),
            parallel=sum(report.fallback is None for report in reports),
            re_executions=sum(report.reexecutions for report in reports),
            fallbacks=dict(fallbacks),
        )

    def renew(self) -> None:
        self._made.clear()

    def close(self) -> None:
        self.renew()
        close()

    def __reduce__(self) -> tuple[type[Parallel], tuple[int, str, bool, int]]:
        settings = (
            self._workers,
            self._backend,
            self._translation_cache,
            self._min_transactions,
        )
        return type(self), settings
