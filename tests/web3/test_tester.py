"""ParallelTester: every kind of transaction queued, receipts, logs and filters, one_block."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionNotFound
from eth_tester.utils.emitter_contract import EMITTER_ENUM, _call_emitter, _deploy_emitter
from eth_utils import ValidationError

from parallel_evm.web3 import BlockIncomplete, ParallelEVMBackend, ParallelTester

from .conftest import CHAIN_ID, Signer

FEES = {"maxFeePerGas": 2 * 10**9, "maxPriorityFeePerGas": 1}


@pytest.fixture
def tester() -> ParallelTester:
    return ParallelTester(ParallelEVMBackend(), auto_mine_transactions=False)


def plain(tester: EthereumTester, account: int = 0, **fields: Any) -> dict[str, Any]:
    accounts = tester.get_accounts()
    return {"from": accounts[account], "to": accounts[-1], "gas": 21_000, "value": 1, **fields}


def authorization(tester: ParallelTester, account: int) -> Any:
    key = tester.backend.account_keys[account].to_bytes()
    return Account.from_key(key).sign_authorization(
        {"chainId": CHAIN_ID, "address": "0x" + "11" * 20, "nonce": 0}
    )


def test_every_type_of_raw_transaction_waits_and_is_mined(
    tester: ParallelTester, sign: Signer
) -> None:
    access = [{"address": "0x" + "22" * 20, "storageKeys": ["0x" + "00" * 32]}]
    blobs = {"type": 3, "maxFeePerBlobGas": 10, "blobVersionedHashes": ["0x01" + "00" * 31]}
    kinds: list[dict[str, Any]] = [
        {"chainId": None},
        {},
        {"type": 1, "accessList": access, "gas": 60_000},
        {"type": 2, **FEES},
        {**blobs, **FEES},
        {
            "type": 4,
            "authorizationList": [authorization(tester, 5)],
            "gas": 100_000,
            "accessList": [],
            **FEES,
        },
    ]
    raws = [sign(tester, 0, nonce, **fields) for nonce, fields in enumerate(kinds)]
    sent = [tester.send_raw_transaction(raw) for raw in raws]
    pending = [tester.get_transaction_by_hash(key) for key in sent]
    assert [transaction["type"] for transaction in pending] == [
        f"0x{n}" for n in (0, 0, 1, 2, 3, 4)
    ]
    assert {transaction["block_hash"] for transaction in pending} == {None}

    tester.mine_block()
    assert tester.get_block_by_number("latest")["transactions"] == sent
    assert [tester.get_transaction_receipt(key)["status"] for key in sent] == [1] * len(sent)
    assert tester.get_code(tester.get_accounts()[5]) == "0xef0100" + "11" * 20


def test_eth_testers_own_queue_loses_what_this_one_keeps(sign: Signer) -> None:
    """Why `ParallelTester` exists: the same transaction, with eth-tester's tester and backend."""
    stock = EthereumTester(PyEVMBackend(), auto_mine_transactions=False)
    stock.send_raw_transaction(sign(stock, 0, nonce=0))
    with pytest.raises(Exception, match="exceeds maximum 7 bit integer"):
        stock.mine_block()


def test_unsigned_transactions_of_one_sender_get_nonces_in_sequence(tester: ParallelTester) -> None:
    account = tester.get_accounts()[0]
    sent = []
    for nonce in range(5):
        assert tester.get_nonce(account, "pending") == nonce
        sent.append(tester.send_transaction(plain(tester)))
    assert tester.get_nonce(account) == 0
    tester.mine_block()
    assert tester.get_nonce(account) == tester.get_nonce(account, "pending") == 5
    assert tester.get_block_by_number("latest")["transactions"] == sent


def test_turning_auto_mining_on_mines_and_names_what_was_queued(tester: ParallelTester) -> None:
    sent = [tester.send_transaction(plain(tester, account)) for account in (0, 1, 0)]
    assert tester.enable_auto_mine_transactions() == sent
    later = tester.send_transaction(plain(tester))
    assert tester.get_transaction_receipt(later)["block_number"] == 2


def test_receipts_exist_when_they_are_mined(tester: ParallelTester) -> None:
    key = tester.send_transaction(plain(tester))
    with pytest.raises(TransactionNotFound, match="is queued; it has a receipt when it is mined"):
        tester.get_transaction_receipt(key)
    tester.mine_block()
    assert tester.get_transaction_receipt(key)["status"] == 1


def test_filters_see_what_is_queued_and_logs_when_mined(monkeypatch: pytest.MonkeyPatch) -> None:
    tester = ParallelTester(ParallelEVMBackend())
    emitter = _deploy_emitter(tester)
    logs, pending_logs = tester.create_log_filter(), tester.create_log_filter("pending", "pending")
    hashes = tester.create_pending_transaction_filter()
    tester.disable_auto_mine_transactions()
    with monkeypatch.context() as patched:
        patched.setattr(
            ParallelEVMBackend, "_execute_pending", None
        )  # nothing may execute what is queued
        sent = [
            _call_emitter(tester, emitter, "logSingle", [EMITTER_ENUM["LogSingleWithIndex"], i])
            for i in range(3)
        ]
        assert list(tester.get_only_filter_changes(hashes)) == sent
        assert tester.get_only_filter_changes(logs) == ()
        assert tester.get_logs(from_block="earliest", to_block="pending") == ()
    tester.mine_block()
    assert [log["transaction_hash"] for log in tester.get_only_filter_changes(logs)] == sent
    assert len(tester.get_only_filter_changes(pending_logs)) == 3
    assert len(tester.get_logs(from_block=0, to_block="pending")) == 3


def test_a_revert_forgets_what_was_sent_since(tester: ParallelTester) -> None:
    first = tester.send_transaction(plain(tester))
    hashes = tester.create_pending_transaction_filter()
    snapshot = tester.take_snapshot()
    second = tester.send_transaction(plain(tester))
    tester.revert_to_snapshot(snapshot)
    assert tester.get_all_filter_logs(hashes) == ()
    with pytest.raises(TransactionNotFound):
        tester.get_transaction_by_hash(second)
    assert tester.get_nonce(tester.get_accounts()[0], "pending") == 1
    tester.mine_block()
    assert tester.get_block_by_number("latest")["transactions"] == [first]


# -------------------------------------------------------------------- one_block


def test_one_block_mines_all_at_its_end_and_auto_mining_goes_on() -> None:
    tester = ParallelTester()
    with tester.one_block():
        sent = [tester.send_transaction(plain(tester, index % 3)) for index in range(12)]
        assert tester.get_block_by_number("latest")["number"] == 0
    block = tester.get_block_by_number("latest")
    assert (block["number"], block["transactions"]) == (1, sent)
    tester.send_transaction(plain(tester))
    assert tester.get_block_by_number("latest")["number"] == 2


def test_one_block_that_fails_has_not_been(tester: ParallelTester) -> None:
    queued = tester.send_transaction(plain(tester))
    with pytest.raises(ZeroDivisionError), tester.one_block():
        tester.send_transaction(plain(tester))
        raise ZeroDivisionError
    assert not tester.auto_mine_transactions
    assert tester.get_block_by_number("latest")["number"] == 0
    tester.mine_block()
    assert tester.get_block_by_number("latest")["transactions"] == [queued]


def test_one_block_says_when_not_all_of_it_had_room() -> None:
    tester = ParallelTester()
    with pytest.raises(BlockIncomplete, match="Of 3 transactions, 1 found no"), tester.one_block():
        for account in range(3):
            tester.send_transaction(plain(tester, account, gas=29_990_000))
    assert len(tester.get_block_by_number("latest")["transactions"]) == 2
    tester.mine_block()
    assert len(tester.get_block_by_number("latest")["transactions"]) == 1


def test_an_invalid_transaction_in_one_block_ends_it_at_once() -> None:
    tester = ParallelTester()
    with pytest.raises(ValidationError, match="does not have enough balance"), tester.one_block():
        tester.send_transaction(plain(tester))
        tester.send_transaction(plain(tester, value=10**30))
    assert tester.get_block_by_number("latest")["number"] == 0
    assert len(tester.backend.queue) == 0


def test_another_backend_is_refused() -> None:
    with pytest.raises(TypeError, match="needs a ParallelEVMBackend"):
        ParallelTester(PyEVMBackend())
