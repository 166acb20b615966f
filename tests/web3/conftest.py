"""Shared pieces: signing transactions for the test accounts, as a wallet would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account
from eth_tester import EthereumTester

CHAIN_ID = 131277322940537  # of every eth-tester chain

Signer = Callable[..., str]


@pytest.fixture
def sign() -> Signer:
    """Sign as one of the default accounts of a tester; returns the raw transaction, hexadecimal.

    A legacy transaction with a chain id (EIP-155) unless ``fields`` say otherwise.
    """

    def sign_as(tester: EthereumTester, account: int, nonce: int, **fields: Any) -> str:
        transaction = {
            "to": tester.get_accounts()[-1],
            "value": 1,
            "gas": 21_000,
            "nonce": nonce,
            "chainId": CHAIN_ID,
            **fields,
        }
        if "maxFeePerGas" not in transaction:
            transaction.setdefault("gasPrice", 10**9)
        key = tester.backend.account_keys[account].to_bytes()
        raw = Account.sign_transaction(transaction, key).raw_transaction
        return "0x" + raw.hex()

    return sign_as
