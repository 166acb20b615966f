"""eth-tester's own suite for backends, over ours, with its own tester and with ours."""

from __future__ import annotations

import pytest
from eth_tester import EthereumTester
from eth_tester.utils.backend_testing import BaseTestBackendDirect

from parallel_evm.web3 import ParallelEVMBackend, ParallelTester


class TestWithEthereumTester(BaseTestBackendDirect):
    @pytest.fixture
    def eth_tester(self) -> EthereumTester:
        return EthereumTester(backend=ParallelEVMBackend())


class TestWithParallelTester(BaseTestBackendDirect):
    @pytest.fixture
    def eth_tester(self) -> ParallelTester:
        return ParallelTester(backend=ParallelEVMBackend())
