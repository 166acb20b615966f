"""What is refused when it is sent: with py-evm's errors, and nothing queued."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from eth.constants import SECPK1_N
from eth.exceptions import OutOfGas
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester import exceptions as tester_errors
from eth_utils import ValidationError, int_to_big_endian

from parallel_evm.web3 import ParallelEVMBackend, ParallelTester

from .conftest import Signer

DYNAMIC = {"type": 2, "maxFeePerGas": 2 * 10**9, "maxPriorityFeePerGas": 1}


@pytest.fixture
def tester() -> ParallelTester:
    return ParallelTester(ParallelEVMBackend(num_accounts=3), auto_mine_transactions=False)


@pytest.mark.parametrize(
    "fields",
    [
        {"nonce": 1},
        {"gas": 20_999},
        {"gas": 40_000_000},
        {"gasPrice": 1},
        {"value": 10**30},
        {"gasPrice": 10**23},
        {"data": "0x" + "01" * 40},
        {**DYNAMIC, "maxFeePerGas": 1},
        {**DYNAMIC, "nonce": 3},
        {"to": "", "gas": 3_000_000, "data": "0x" + "00" * 49_153},
        {"data": "0x" + "ff" * 500, "gas": 21_000 + 16 * 400},
    ],
    ids=lambda fields: ",".join(fields),
)
def test_what_py_evm_refuses_is_refused_with_its_error(
    tester: ParallelTester, sign: Signer, fields: dict[str, Any]
) -> None:
    raw = sign(tester, 0, **{"nonce": 0, **fields})
    with pytest.raises(Exception) as stock:
        EthereumTester(PyEVMBackend(), auto_mine_transactions=False).send_raw_transaction(raw)
    assert isinstance(stock.value, ValidationError | OutOfGas)
    with pytest.raises(type(stock.value)) as ours:
        tester.send_raw_transaction(raw)
    assert str(ours.value) == str(stock.value)
    assert len(tester.backend.queue) == 0


@pytest.mark.parametrize("replaced", [{-1: SECPK1_N - 1}, {-2: 0, -1: 0}], ids=["high s", "zero"])
def test_an_invalid_signature_is_refused(
    tester: ParallelTester, sign: Signer, replaced: dict[int, int]
) -> None:
    fields = rlp.decode(bytes.fromhex(sign(tester, 0, nonce=0)[2:]))
    for position, value in replaced.items():
        fields[position] = int_to_big_endian(value) if value else b""
    raw = "0x" + rlp.encode(fields).hex()
    with pytest.raises(ValidationError) as stock:
        EthereumTester(PyEVMBackend()).send_raw_transaction(raw)
    with pytest.raises(ValidationError) as ours:
        tester.send_raw_transaction(raw)
    assert str(ours.value) == str(stock.value)


@pytest.mark.parametrize("fields", [{}, DYNAMIC], ids=["legacy", "dynamic fee"])
def test_another_chains_transaction_is_refused(
    tester: ParallelTester, sign: Signer, fields: dict[str, Any]
) -> None:
    raw = sign(tester, 0, nonce=0, chainId=1, **fields)
    with pytest.raises(ValidationError, match="signed for chain 1, but this is chain 1312773229"):
        tester.send_raw_transaction(raw)


def test_a_legacy_transaction_for_any_chain_is_admitted(
    tester: ParallelTester, sign: Signer
) -> None:
    tester.send_raw_transaction(sign(tester, 0, nonce=0, chainId=None))
    assert len(tester.backend.queue) == 1


def test_an_account_without_a_key_cannot_be_sent_from(tester: ParallelTester) -> None:
    with pytest.raises(tester_errors.ValidationError, match="from"):
        tester.send_transaction({"from": "0x" + "11" * 20, "to": "0x" + "22" * 20, "gas": 21_000})


def test_nonces_have_to_follow_each_other(tester: ParallelTester, sign: Signer) -> None:
    for nonce in range(3):
        tester.send_raw_transaction(sign(tester, 0, nonce))
    with pytest.raises(ValidationError, match="Expected 3, but got 4"):
        tester.send_raw_transaction(sign(tester, 0, 4))
    tester.mine_block()
    with pytest.raises(ValidationError, match="Expected 3, but got 2"):
        tester.send_raw_transaction(sign(tester, 0, 2))


def test_all_that_is_queued_has_to_be_paid_for(tester: ParallelTester, sign: Signer) -> None:
    ether = 10**18
    for nonce in range(2):
        tester.send_raw_transaction(sign(tester, 0, nonce, value=400_000 * ether))
    with pytest.raises(ValidationError, match="does not have enough balance"):
        tester.send_raw_transaction(sign(tester, 0, 2, value=200_000 * ether))
    tester.send_raw_transaction(sign(tester, 0, 2, value=199_999 * ether))


def test_a_replacement_gets_the_funds_of_what_it_replaces(
    tester: ParallelTester, sign: Signer
) -> None:
    ether = 10**18
    tester.send_raw_transaction(sign(tester, 0, 0, value=900_000 * ether))
    tester.send_raw_transaction(sign(tester, 0, 1, value=50_000 * ether))
    tester.send_raw_transaction(sign(tester, 0, 0, value=949_999 * ether))
    with pytest.raises(ValidationError):
        tester.send_raw_transaction(sign(tester, 0, 0, value=950_000 * ether))
    assert tester.backend.get_nonce(tester.backend.get_accounts()[0], "pending") == 2
    tester.mine_block()
    assert tester.get_balance(tester.get_accounts()[-1]) == (1_000_000 + 999_999) * ether


def test_a_refused_replacement_leaves_the_original(tester: ParallelTester, sign: Signer) -> None:
    original = tester.send_raw_transaction(sign(tester, 0, 0))
    with pytest.raises(ValidationError):
        tester.send_raw_transaction(sign(tester, 0, 0, value=10**30))
    tester.mine_block()
    assert tester.get_transaction_receipt(original)["status"] == 1
