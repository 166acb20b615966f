"""eth-tester's own suite for backends, over ours, with its own tester and with ours."""

from __future__ import annotations

from math import prod

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


def test_the_suite_has_101_tests() -> None:
    """So that a run of the two classes above means what it says."""
    methods = [getattr(BaseTestBackendDirect, name) for name in dir(BaseTestBackendDirect)]
    cases = [
        prod(len(mark.args[1]) for mark in getattr(method, "pytestmark", ()))
        for method in methods
        if getattr(method, "__name__", "").startswith("test_")
    ]
    assert sum(cases) == 101
