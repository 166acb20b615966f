"""Shared by the conformance tests: where the corpora are, and small blocks made on the spot."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth.typing import AccountState
from eth_keys.datatypes import PrivateKey
from eth_typing import Address

from parallel_evm.conformance.compose import Setting, compose
from parallel_evm.forks import VM_CLASSES

KEYS = [PrivateKey(bytes([index]) * 32) for index in range(1, 6)]
COUNTER = Address(b"\xcc" * 20)
# Adds one to slot 0 and logs the new value: SLOAD, ADD, DUP1, SSTORE(0), MSTORE(0), LOG0(0, 32).
COUNTER_CODE = bytes.fromhex("60005460010180600055600052602060" + "00a000")
REVERTER = Address(b"\xdd" * 20)
REVERTER_CODE = bytes.fromhex("6001600055" + "60aa60005260206000fd")
ANCESTOR = Address(b"\xee" * 20)
# Stores BLOCKHASH(NUMBER - 3) in slot 0.
ANCESTOR_CODE = bytes.fromhex("6003430340600055" + "00")


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder that holds `ethereum-tests` and `mainnet`; the test is skipped without it."""
    named = os.environ.get("PARALLEL_EVM_CORPORA")
    folder = Path(named) if named else Path(__file__).parents[3] / "shared"
    if not (folder / "ethereum-tests").is_dir() or not (folder / "mainnet").is_dir():
        pytest.skip(f"no corpora in {folder} (set PARALLEL_EVM_CORPORA to their folder)")
    return folder


@pytest.fixture
def state() -> AccountState:
    """Five rich senders; contracts that count, that revert, and that ask BLOCKHASH."""
    accounts: AccountState = {}
    for key in KEYS:
        accounts[Address(key.public_key.to_canonical_address())] = _account(balance=10**20)
    accounts[COUNTER] = _account(nonce=1, code=COUNTER_CODE, storage={0: 7})
    accounts[REVERTER] = _account(nonce=1, code=REVERTER_CODE)
    accounts[ANCESTOR] = _account(nonce=1, code=ANCESTOR_CODE)
    return accounts


@pytest.fixture
def case(state: AccountState) -> dict[str, Any]:
    """A Cancun block of seven transactions: transfers, counted and reverted calls, BLOCKHASH."""
    calls = [(0, COUNTER), (1, COUNTER), (2, REVERTER), (3, ANCESTOR), (0, COUNTER)]
    transactions = [transfer(4, Address(b"\x99" * 20), 0)]
    nonces = [0] * len(KEYS)
    for sender, target in calls:
        transactions.append(transfer(sender, target, nonces[sender], value=0))
        nonces[sender] += 1
    transactions.append(transfer(4, Address(b"\x98" * 20), 1))
    return compose(Setting("cancun"), state, transactions)


@pytest.fixture
def write_case(tmp_path: Path) -> Callable[[Any], Path]:
    """Write JSON content to a file of its own and return the path."""

    def write(content: Any) -> Path:
        path = tmp_path / "case.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.fixture
def write_folder(tmp_path: Path, case: dict[str, Any]) -> Callable[..., Path]:
    """Write the case as block.json, prestate.json, block_hashes.json; parts can be replaced."""

    def write(**parts: Any) -> Path:
        folder = tmp_path / "1000"
        folder.mkdir()
        whole = {name: case[name] for name in ("block", "prestate", "block_hashes")} | parts
        for name, content in whole.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / f"{name}.json").write_text(text)
        return folder

    return write


def transfer(sender: int, to: Address, nonce: int, value: int = 10**15) -> Any:
    """A signed dynamic-fee transaction of one of KEYS."""
    builder: Any = VM_CLASSES["cancun"].get_transaction_builder()
    unsigned = builder.new_unsigned_dynamic_fee_transaction(
        chain_id=1,
        nonce=nonce,
        max_priority_fee_per_gas=1,
        max_fee_per_gas=100,
        gas=200_000,
        to=to,
        value=value,
        data=b"",
        access_list=(),
    )
    return unsigned.as_signed_transaction(KEYS[sender])


def _account(
    balance: int = 0, nonce: int = 0, code: bytes = b"", storage: dict[int, int] | None = None
) -> Any:
    return {"balance": balance, "nonce": nonce, "code": code, "storage": storage or {}}
