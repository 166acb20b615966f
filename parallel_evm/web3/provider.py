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
from web3.providers.eth_tester.defaults import API_ENDPOINTS

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
        genesis_parameters: Mapping[str, Any] | None = None,
        genesis_state: Mapping[Address, Any] | None = None,
        vm_configuration: Sequence[tuple[int, type[VirtualMachineAPI]]] | None = None,
        mnemonic: str | None = None,
        hd_path: str | None = None,
        *,
        num_accounts: int | None = None,
        workers: int | None = None,
        config: ParallelConfig | None = None,
    ) -> None:
        backend = ParallelEVMBackend(
            genesis_parameters,
            genesis_state,
            vm_configuration,
            mnemonic,
            hd_path,
            num_accounts=num_accounts,
            workers=workers,
            config=config,
        )
        eth = {**API_ENDPOINTS["eth"], "gasPrice": _gas_price}
        super().__init__(ParallelTester(backend), {**API_ENDPOINTS, "eth": eth})

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


def _gas_price(tester: ParallelTester, params: Any) -> int:
    """``eth_gasPrice``: one gwei, as web3 has it, as long as that is enough."""
    return tester.backend.offer()
