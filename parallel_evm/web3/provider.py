"""ParallelTesterProvider: web3.py on a chain in this process that executes blocks in parallel.

Responsible for: putting a `ParallelTester` under web3's own `EthereumTesterProvider`.
Talks to: web3, `tester`, `backend`.
Never: changes what a JSON-RPC method means.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from eth.abc import VirtualMachineAPI
from eth_typing import Address
from web3.providers.eth_tester import EthereumTesterProvider

from parallel_evm.config import ParallelConfig
from parallel_evm.report import BlockReport
from parallel_evm.web3.backend import ParallelEVMBackend
from parallel_evm.web3.tester import ParallelTester


class ParallelTesterProvider(EthereumTesterProvider):
    """``Web3(ParallelTesterProvider(workers=2))``: no node, no port, test accounts with funds.

    The parameters are those of `ParallelEVMBackend`. Each transaction is mined when it is sent, in
    a block of its own; those sent inside ``with provider.one_block():`` are mined together.
    """

    ethereum_tester: ParallelTester

    def __init__(
        self,
        workers: int | None = None,
        config: ParallelConfig | None = None,
        genesis_parameters: Mapping[str, Any] | None = None,
        genesis_state: Mapping[Address, Any] | None = None,
        mnemonic: str | None = None,
        num_accounts: int | None = None,
        hd_path: str | None = None,
        vm_configuration: Sequence[tuple[int, type[VirtualMachineAPI]]] | None = None,
    ) -> None:
        backend = ParallelEVMBackend(
            workers=workers,
            config=config,
            genesis_parameters=genesis_parameters,
            genesis_state=genesis_state,
            mnemonic=mnemonic,
            num_accounts=num_accounts,
            hd_path=hd_path,
            vm_configuration=vm_configuration,
        )
        super().__init__(ethereum_tester=ParallelTester(backend))

    @property
    def backend(self) -> ParallelEVMBackend:
        """The backend, with the chain, the queue and the reports."""
        return self.ethereum_tester.backend

    @property
    def reports(self) -> deque[BlockReport]:
        """What happened in the last blocks that were mined, the newest last."""
        return self.backend.reports

    @property
    def last_report(self) -> BlockReport | None:
        """The report of the block mined last; None before the first."""
        return self.backend.last_report

    def one_block(self) -> AbstractContextManager[None]:
        """Mine what is sent inside in one block at the end: see `ParallelTester.one_block`."""
        return self.ethereum_tester.one_block()
