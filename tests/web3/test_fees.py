"""Prices that nobody named: one gwei as long as it is enough, and enough when it is not."""

from __future__ import annotations

from typing import Any

import pytest
from web3 import Web3

from parallel_evm.web3 import ParallelTesterProvider
from parallel_evm.web3.fees import GWEI

# Deploys a contract that burns all of its gas: blocks are as full as their limits say.
BURNER = "0x6001600c60003960016000f3fe"
MILLION = 1_000_000


@pytest.fixture
def provider() -> ParallelTesterProvider:
    return ParallelTesterProvider(workers=1, num_accounts=100)


@pytest.fixture
def w3(provider: ParallelTesterProvider) -> Web3:
    return Web3(provider)


@pytest.fixture
def target(w3: Web3) -> Any:
    sent = w3.eth.send_transaction({"from": w3.eth.accounts[0], "gas": 200_000, "data": BURNER})
    return w3.eth.get_transaction_receipt(sent)["contractAddress"]


def raise_base_fee(w3: Web3, provider: ParallelTesterProvider, target: Any, above: float) -> None:
    """By full blocks, each of which adds an eighth."""
    while base_fee(w3) <= above:
        with provider.one_block():
            for account in w3.eth.accounts[:30]:
                w3.eth.send_transaction({"from": account, "to": target, "gas": MILLION})


def base_fee(w3: Web3) -> int:
    return w3.eth.get_block("pending")["baseFeePerGas"]


def test_one_gwei_while_that_is_enough(w3: Web3) -> None:
    account = w3.eth.accounts[0]
    sent = w3.eth.send_transaction({"from": account, "to": account, "gas": 21_000})
    assert w3.eth.get_transaction(sent)["maxFeePerGas"] == GWEI
    assert w3.eth.gas_price == GWEI


def test_what_finds_no_room_still_pays_enough_in_a_later_block(
    w3: Web3, provider: ParallelTesterProvider, target: Any
) -> None:
    raise_base_fee(w3, provider, target, 0.889 * GWEI)
    accounts, tester = w3.eth.accounts, provider.ethereum_tester
    assert base_fee(w3) < GWEI  # the last one for which one gwei is enough
    tester.disable_auto_mine_transactions()
    sent = [
        w3.eth.send_transaction({"from": account, "to": target, "gas": MILLION})
        for account in accounts[:90]
    ]
    numbers = []
    for _ in range(3):
        tester.mine_block()
        numbers.append(len(w3.eth.get_block("latest")["transactions"]))
    assert numbers == [30, 30, 30]
    assert base_fee(w3) > GWEI
    assert all(w3.eth.get_transaction_receipt(each) for each in sent)


def test_calls_need_no_price(w3: Web3, provider: ParallelTesterProvider, target: Any) -> None:
    account = w3.eth.accounts[0]
    for above in (0.8, 0.889, 1.0, 1.2):
        raise_base_fee(w3, provider, target, above * GWEI)
        assert w3.eth.call({"from": account, "to": account}) == b""
        assert w3.eth.estimate_gas({"from": account, "to": account}) == 21_000
    # GASPRICE, returned
    price = w3.eth.call({"from": account, "data": "0x3a60005260206000f3"})
    latest = w3.eth.get_block("latest")["baseFeePerGas"]
    assert int.from_bytes(price, "big") == latest > GWEI


def test_the_price_that_web3_offers_is_accepted(
    w3: Web3, provider: ParallelTesterProvider, target: Any
) -> None:
    raise_base_fee(w3, provider, target, GWEI)
    account = w3.eth.accounts[1]
    assert w3.eth.gas_price > base_fee(w3) > GWEI
    sent = w3.eth.send_transaction(
        {"from": account, "to": account, "gas": 21_000, "gasPrice": w3.eth.gas_price}
    )
    assert w3.eth.get_transaction_receipt(sent)["status"] == 1
