"""Requests of imported blocks (EIP-7685) are those that py-evm finds by reading the block back."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from eth.vm.forks import CancunVM, PragueVM
from eth.vm.forks.prague.constants import (
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    DEPOSIT_CONTRACT_ADDRESS,
    DEPOSIT_EVENT_SIGNATURE_HASH,
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
)
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm import BlockReport, ParallelConfig, parallelize
from parallel_evm.requests import LeanRequests
from parallel_evm.workloads.forks import fork
from tests.strategies import (
    ETHER,
    SENDERS,
    STRANGER,
    Act,
    Pen,
    account,
    assemble,
    drawn,
    open_chain,
)

PRAGUE = fork("prague")
# Logs what it is sent, as a deposit; the second word says whether that is undone.
DEPOSITS = assemble(
    "CALLDATASIZE", 0, 0, "CALLDATACOPY",
    DEPOSIT_EVENT_SIGNATURE_HASH, "CALLDATASIZE", 0, "LOG1",
    32, "CALLDATALOAD", "@undo", "JUMPI", "STOP", "undo:", 0, 0, "REVERT",
)  # fmt: skip
ANSWERS = assemble(7, 0, "MSTORE", 32, 0, "RETURN")
OTHER = b"\xd0" * 20
QUIET = b"\xd1" * 20
STATE = {
    **{address: account(100 * ETHER) for address in SENDERS},
    DEPOSIT_CONTRACT_ADDRESS: account(code=DEPOSITS),
    OTHER: account(code=DEPOSITS),
    QUIET: account(code=assemble(0, 0, "LOG0", 9, 0, 0, "LOG1")),
}
WITH_PREDEPLOYS = {
    **STATE,
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS: account(nonce=1, code=ANSWERS),
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS: account(nonce=1, code=ANSWERS),
}


def deposit(number: int, undone: bool = False) -> bytes:
    """576 bytes, as the contract's ABI lays them out, each part recognisable."""
    words = [bytes([number, place]) * 16 for place in range(18)]
    words[1] = bytes(31) + bytes([undone])
    return b"".join(words)


acts = st.builds(
    Act,
    sender=st.integers(0, 3),
    to=st.sampled_from([DEPOSIT_CONTRACT_ADDRESS, OTHER, QUIET, STRANGER]),
    data=st.builds(deposit, st.integers(1, 255), st.booleans()),
    type_id=st.sampled_from([0, 2]),
    gas=st.just(250_000),
)


def block_of(chain: Any, sent: list[Act]) -> Any:
    """With a header that says nothing of requests, as whoever mines makes it."""
    pen = Pen(PRAGUE, chain)
    return chain.mine_all([pen.sign(act) for act in sent])[0].imported_block


def imported(chain: Any, block: Any) -> Any:
    """By the VM: a chain compares it with what was to be imported."""
    decoded = rlp.decode(rlp.encode(block), sedes=type(block))
    parent = chain.get_block_header_by_hash(block.header.parent_hash)
    made = chain.get_vm(chain.create_header_from_parent(parent)).import_block(decoded)
    return made.block


@pytest.mark.parametrize("state", [STATE, WITH_PREDEPLOYS], ids=["alone", "predeploys"])
@given(sent=st.lists(acts, min_size=1, max_size=6))
@drawn(40)
def test_an_imported_block_makes_the_requests_that_py_evm_finds(
    state: Any, sent: list[Act]
) -> None:
    reports: list[BlockReport] = []
    config = ParallelConfig(workers=1, min_transactions=1, on_block=reports.append)
    block = block_of(open_chain(PRAGUE.chain_class, state), sent)
    expected = imported(open_chain(PRAGUE.chain_class, state), block)
    chain = open_chain(parallelize(PRAGUE.chain_class, config=config), state)
    found = imported(chain, block)
    assert found.header == expected.header
    assert rlp.encode(found) == rlp.encode(expected)
    assert reports[-1].fallback is None
    # So a block that says so is taken by both, and one that says otherwise by neither.
    assert chain.import_block(expected).imported_block == expected
    if expected.header.requests_hash != block.header.requests_hash:
        with pytest.raises(Exception, match="requests_hash"):
            chain.import_block(block)


def test_deposits_count_and_what_looks_like_them_does_not() -> None:
    stock = open_chain(PRAGUE.chain_class, STATE)
    hashes = set()
    for sent in (
        [Act(0, STRANGER)],
        [Act(0, OTHER, data=deposit(1))],
        [Act(0, DEPOSIT_CONTRACT_ADDRESS, data=deposit(1, undone=True))],
        [Act(0, DEPOSIT_CONTRACT_ADDRESS, data=deposit(1))],
        [Act(0, DEPOSIT_CONTRACT_ADDRESS, data=deposit(2))],
    ):
        block = block_of(open_chain(PRAGUE.chain_class, STATE), sent)
        hashes.add(imported(stock, block).header.requests_hash)
    assert len(hashes) == 3  # else the test above would say nothing


def test_receipts_are_not_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = open_chain(parallelize(PRAGUE.chain_class, workers=1), STATE)
    block = block_of(open_chain(PRAGUE.chain_class, STATE), [Act(0, OTHER, data=deposit(1))] * 3)

    def unexpected(*args: Any) -> Any:
        raise AssertionError("receipts were read back")

    monkeypatch.setattr(type(block), "get_receipts", unexpected)
    found = imported(chain, block)
    assert [t.hash for t in found.transactions] == [t.hash for t in block.transactions]


def test_a_vm_that_finds_requests_in_its_own_way_is_asked() -> None:
    class Own(PragueVM):
        def process_deposit_request_data(self, block: Any) -> None:
            block.block_requests.append(b"\x00own")

    class Other(PragueVM):
        @staticmethod
        def compute_requests_hash(block: Any) -> Any:
            return block.copy(header=block.header.copy(requests_hash=b"\x07" * 32))

    class Blind(PragueVM):
        """Its receipts have no filters to go by."""

        def make_receipt(self, *args: Any) -> Any:
            return super().make_receipt(*args).copy(bloom=0)

        @classmethod
        def validate_receipt(cls, receipt: Any) -> None:
            pass

    for vm_class in (Own, Other, Blind):
        chain_class = PRAGUE.chain_class.configure(vm_configuration=((0, vm_class),))
        parallel = parallelize(chain_class, workers=1)
        assert not issubclass(parallel.vm_configuration[0][1], LeanRequests)
        sent = [Act(0, DEPOSIT_CONTRACT_ADDRESS, data=deposit(1))]
        block = block_of(open_chain(chain_class, STATE), sent)
        expected = imported(open_chain(chain_class, STATE), block)
        assert imported(open_chain(parallel, STATE), block).header == expected.header


def test_only_forks_that_have_requests_are_concerned() -> None:
    assert issubclass(parallelize(PragueVM, workers=1), LeanRequests)
    assert not issubclass(parallelize(CancunVM, workers=1), LeanRequests)
