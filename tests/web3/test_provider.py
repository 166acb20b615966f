"""web3.py scripts over the provider: contracts, batches, nonces, snapshots, reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_tester.exceptions import TransactionFailed
from eth_utils import ValidationError
from web3 import Web3
from web3.exceptions import TransactionNotFound
from web3.middleware import SignAndSendRawMiddlewareBuilder

from parallel_evm import ParallelConfig
from parallel_evm.web3 import BlockIncomplete, ParallelTesterProvider

ARTIFACTS = Path(__file__).parents[2] / "fixtures" / "artifacts"
UNIT = 10**18


@pytest.fixture
def provider() -> ParallelTesterProvider:
    config = ParallelConfig(workers=2, backend="process")
    return ParallelTesterProvider(config=config, num_accounts=20)


@pytest.fixture
def w3(provider: ParallelTesterProvider) -> Web3:
    return Web3(provider)


def deploy(w3: Web3, name: str, *arguments: Any) -> Any:
    artifact = json.loads((ARTIFACTS / f"{name}.json").read_text())
    contract = w3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    receipt = w3.eth.wait_for_transaction_receipt(contract.constructor(*arguments).transact())
    assert receipt["status"] == 1
    return w3.eth.contract(address=receipt["contractAddress"], abi=artifact["abi"])


@pytest.mark.slow
def test_hundreds_of_transactions_of_some_senders_in_one_parallel_block(
    w3: Web3, provider: ParallelTesterProvider
) -> None:
    token = deploy(w3, "Stablecoin", "Dollar", "USD", 18)
    accounts = w3.eth.accounts
    token.functions.mintBatch(accounts, 1000 * UNIT).transact()
    before = w3.eth.block_number

    with provider.one_block():
        sent = [
            token.functions.transfer(accounts[(index * 7 + 1) % 20], UNIT + index).transact(
                {"from": accounts[index % 20], "gas": 80_000, "gasPrice": 10**9}
            )
            for index in range(200)
        ]
        assert w3.eth.get_transaction_count(accounts[0], "pending") == 12
        with pytest.raises(TransactionNotFound):
            w3.eth.get_transaction_receipt(sent[0])

    assert w3.eth.block_number == before + 1
    assert w3.eth.get_block("latest")["transactions"] == sent
    receipts = [w3.eth.get_transaction_receipt(key) for key in sent]
    assert [receipt["transactionIndex"] for receipt in receipts] == list(range(200))
    assert {receipt["status"] for receipt in receipts} == {1}
    assert sum(token.functions.balanceOf(a).call() for a in accounts) == 20 * 1000 * UNIT
    assert len(token.events.Transfer.get_logs(from_block="latest")) == 200

    report = provider.last_report
    assert report is not None
    assert report is provider.reports[-1] is provider.backend.last_report
    assert (report.transaction_count, report.workers, report.fallback) == (200, 2, None)
    assert [transaction.hash for transaction in report.transactions] == sent


def test_raw_and_unsigned_transactions_in_one_block(
    w3: Web3, provider: ParallelTesterProvider
) -> None:
    stranger, friend = Account.create(), w3.eth.accounts[1]
    w3.eth.send_transaction({"to": stranger.address, "value": UNIT, "gas": 21_000})
    fees = ({"gasPrice": 10**9}, {"maxFeePerGas": 10**9, "maxPriorityFeePerGas": 1})
    with provider.one_block():
        sent = []
        for nonce in range(6):
            transaction = {
                "to": friend,
                "value": 1,
                "gas": 21_000,
                "nonce": w3.eth.get_transaction_count(stranger.address, "pending"),
                "chainId": w3.eth.chain_id,
                **fees[nonce % 2],
            }
            raw = stranger.sign_transaction(transaction).raw_transaction
            sent.append(w3.eth.send_raw_transaction(raw))
            sent.append(w3.eth.send_transaction({"to": friend, "value": 1, "gas": 21_000}))
    assert w3.eth.get_block("latest")["transactions"] == sent
    assert w3.eth.get_balance(friend) == 1_000_000 * UNIT + 12
    assert w3.eth.get_transaction_count(stranger.address) == 6


def test_a_local_account_by_middleware(w3: Web3, provider: ParallelTesterProvider) -> None:
    signer = Account.create()
    w3.eth.send_transaction({"to": signer.address, "value": UNIT, "gas": 21_000})
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(signer), layer=0)
    with provider.one_block():
        for _ in range(4):
            w3.eth.send_transaction(
                {"from": signer.address, "to": signer.address, "value": 1, "gas": 21_000}
            )
    assert w3.eth.get_transaction_count(signer.address) == 4


def test_batches_by_hand(w3: Web3, provider: ParallelTesterProvider) -> None:
    provider.ethereum_tester.disable_auto_mine_transactions()
    sent = [w3.eth.send_transaction({"to": w3.eth.accounts[1], "gas": 21_000}) for _ in range(3)]
    assert w3.eth.block_number == 0
    assert w3.eth.get_transaction(sent[2])["nonce"] == 2
    assert w3.eth.get_block("pending")["transactions"] == sent
    provider.ethereum_tester.mine_block()
    assert w3.eth.get_block(1)["transactions"] == sent


def test_snapshots(w3: Web3, provider: ParallelTesterProvider) -> None:
    token = deploy(w3, "Stablecoin", "Dollar", "USD", 18)
    account = w3.eth.accounts[0]
    snapshot = provider.make_request("evm_snapshot", [])["result"]  # type: ignore[arg-type]
    for _ in range(2):
        with provider.one_block():
            for _ in range(5):
                token.functions.mint(account, UNIT).transact({"gas": 100_000})
        assert token.functions.balanceOf(account).call() == 5 * UNIT
        provider.ethereum_tester.revert_to_snapshot(snapshot)
        assert token.functions.balanceOf(account).call() == 0


def test_what_is_refused_is_refused_as_web3_users_know_it(
    w3: Web3, provider: ParallelTesterProvider
) -> None:
    token = deploy(w3, "Stablecoin", "Dollar", "USD", 18)
    stranger = w3.eth.accounts[1]
    with pytest.raises(TransactionFailed, match="execution reverted"):
        token.functions.mint(stranger, UNIT).call({"from": stranger})
    key = token.functions.mint(stranger, UNIT).transact({"from": stranger, "gas": 100_000})
    assert w3.eth.get_transaction_receipt(key)["status"] == 0
    with pytest.raises(ValidationError, match="nonce"):
        w3.eth.send_transaction({"to": stranger, "gas": 21_000, "nonce": 77})


def test_a_whole_configuration_and_everything_else_of_the_backend() -> None:
    seen: list[Any] = []
    provider = ParallelTesterProvider(
        config=ParallelConfig(
            workers=3, backend="serial", min_transactions=1, on_block=seen.append
        ),
        mnemonic="test " * 11 + "junk",
        num_accounts=2,
    )
    w3 = Web3(provider)
    assert len(w3.eth.accounts) == 2
    w3.eth.send_transaction({"to": w3.eth.accounts[1], "gas": 21_000})
    (report,) = provider.reports
    assert seen == [report]
    assert (report.backend, report.fallback, report.transaction_count) == ("serial", None, 1)


def test_a_batch_that_does_not_fit_says_so(w3: Web3, provider: ParallelTesterProvider) -> None:
    with pytest.raises(BlockIncomplete, match="1 found no room"), provider.one_block():
        for account in w3.eth.accounts[:3]:
            w3.eth.send_transaction({"from": account, "to": account, "gas": 29_990_000})
    assert len(w3.eth.get_block("latest")["transactions"]) == 2
