"""ParallelTester: every kind of transaction queued, receipts, logs and filters, one_block."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionNotFound
from eth_tester.utils.emitter_contract import EMITTER_ENUM, _call_emitter, _deploy_emitter
from eth_utils import ValidationError

from parallel_evm import ParallelConfig
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


def test_a_reason_is_forgotten_when_it_holds_no_more(tester: ParallelTester, sign: Signer) -> None:
    start = tester.take_snapshot()
    deployed = tester.send_transaction(
        {"from": tester.get_accounts()[0], "gas": 200_000, "data": "0x6001600c60003960016000f3fe"}
    )
    tester.mine_block()
    burner = tester.get_transaction_receipt(deployed)["contract_address"]
    fee = tester.get_block_by_number("pending")["base_fee_per_gas"]
    raw = sign(tester, 1, 0, maxFeePerGas=fee, maxPriorityFeePerGas=0, type=2)
    tester.send_transaction(plain(tester, to=burner, gas=30_020_000, value=0, gas_price=10**12))
    sent = tester.send_raw_transaction(raw)
    tester.mine_block()
    tester.mine_block()
    with pytest.raises(TransactionNotFound, match="was dropped"):
        tester.get_transaction_receipt(sent)
    tester.revert_to_snapshot(start)
    with pytest.raises(TransactionNotFound, match="No transaction found"):
        tester.get_transaction_receipt(sent)
    tester.enable_auto_mine_transactions()
    assert tester.send_raw_transaction(raw) == sent
    assert tester.get_transaction_receipt(sent)["status"] == 1


def test_blocks_with_transactions_of_all_types_in_full(
    tester: ParallelTester, sign: Signer
) -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"type": 2, **FEES},
        {
            "type": 4,
            "authorizationList": [authorization(tester, 5)],
            "gas": 100_000,
            "accessList": [],
            **FEES,
        },
    ]
    for nonce, fields in enumerate(kinds):
        tester.send_raw_transaction(sign(tester, 0, nonce, **fields))
    assert len(tester.get_block_by_number("pending", full_transactions=True)["transactions"]) == 3
    tester.mine_block()
    block = tester.get_block_by_number("latest", full_transactions=True)
    assert [transaction["type"] for transaction in block["transactions"]] == ["0x0", "0x2", "0x4"]
    assert all(
        isinstance(key, str) for key in tester.get_block_by_number("latest", False)["transactions"]
    )


@pytest.mark.parametrize("wrong", [None, 5, bytes(32), "0x123", "0x"])
def test_a_malformed_hash_is_refused_as_eth_tester_does(tester: ParallelTester, wrong: Any) -> None:
    stock = EthereumTester(PyEVMBackend())
    with pytest.raises(Exception) as expected:
        stock.get_transaction_receipt(wrong)
    with pytest.raises(type(expected.value)) as found:
        tester.get_transaction_receipt(wrong)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_batch_whose_mining_fails_leaves_nothing(error: type[BaseException]) -> None:
    failing = False

    def on_block(report: Any) -> None:
        if failing:
            raise error

    tester = ParallelTester(ParallelEVMBackend(config=ParallelConfig(on_block=on_block)))
    before = tester.get_block_by_number("latest")["hash"]
    failing = True
    with pytest.raises(error), tester.one_block():
        for account in range(3):
            tester.send_transaction(plain(tester, account))
    failing = False
    assert len(tester.backend.queue) == 0
    assert tester.get_block_by_number("latest")["hash"] == before
    assert tester.auto_mine_transactions
    tester.send_transaction(plain(tester))
    assert len(tester.get_block_by_number("latest")["transactions"]) == 1


def test_a_batch_that_begins_another_chain_raises_its_own_error() -> None:
    tester = ParallelTester()
    with pytest.raises(ValueError, match="mine"), tester.one_block():
        tester.send_transaction(plain(tester))
        tester.reset_to_genesis()
        raise ValueError("mine")


def test_a_send_is_mined_even_where_others_fill_the_next_block(tester: ParallelTester) -> None:
    for account in range(3):
        tester.send_transaction(plain(tester, account, gas=20_000_000))
    tester.enable_auto_mine_transactions()
    sent = tester.send_transaction(plain(tester, 4, gas=30_000_000))
    assert tester.get_transaction_receipt(sent)["status"] == 1
