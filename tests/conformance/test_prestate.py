"""Merging one trace per transaction into the state before the block.

The traces in data/ were recorded from anvil 1.7.1: nine transactions that deploy a contract and
call it, deploy a second one that deploys a third and calls it, and pay each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth.typing import AccountState
from eth_typing import Address

from parallel_evm.conformance.compose import Setting, compose
from parallel_evm.conformance.prestate import merged
from parallel_evm.conformance.recorded import load
from parallel_evm.conformance.replay import replay
from parallel_evm.conformance.subject import Stock
from parallel_evm.inputs import InputError

DATA = Path(__file__).parent / "data"
Case = dict[str, Any]
Write = Callable[..., Path]


@pytest.fixture
def anvil_folder(tmp_path: Path) -> Path:
    for part, recorded in (("block", "anvil_block"), ("prestate", "anvil_traces")):
        (tmp_path / f"{part}.json").write_text((DATA / f"{recorded}.json").read_text())
    hashes = {"3": json.loads((DATA / "anvil_block_hashes.json").read_text())["3"]}
    (tmp_path / "block_hashes.json").write_text(json.dumps(hashes))
    return tmp_path


def test_a_block_that_deploys_and_calls_is_reproduced_from_its_traces(anvil_folder: Path) -> None:
    recording = load(anvil_folder)
    assert (recording.fork, recording.chain_id, len(recording.traces)) == ("prague", 31337, 9)
    result = replay(recording, Stock())
    assert result.equal
    assert result.transactions == 9


def test_what_the_block_made_is_not_in_the_state_before_it(anvil_folder: Path) -> None:
    recording = load(anvil_folder)
    shown = {address for trace in recording.traces for address in trace}
    (before,) = merged(recording).traces
    with_code = [address for address, account in before.items() if account["code"]]
    made = [
        address
        for address in shown
        if any(t.get(address, {}).get("code") for t in recording.traces)
    ]
    assert len(made) == 3, "two contracts deployed by transactions, one by a contract"
    assert with_code == []


def test_taking_the_first_value_everywhere_would_be_wrong(anvil_folder: Path) -> None:
    """The reason why the block is run while merging: a plain merge cannot reproduce it."""
    naive: dict[str, Any] = {}
    for trace in json.loads((DATA / "anvil_traces.json").read_text())["result"]:
        for address, account in trace["result"].items():
            if int(account["balance"], 16) or account.get("nonce") or account.get("code"):
                naive.setdefault(address, account)
    (anvil_folder / "prestate.json").write_text(json.dumps(naive))
    with pytest.raises(InputError, match="py-evm"):
        replay(load(anvil_folder), Stock())


def test_what_the_block_paid_is_taken_off_an_account_shown_late(
    case: Case, write_case: Write
) -> None:
    """A tracer that shows the coinbase from the second transaction on shows the first one's fee."""
    recording = load(write_case(case))
    whole = recording.traces[0]
    traces = json.loads(json.dumps([case["prestate"]] * len(recording.transactions)))
    coinbase = "0x" + "c0" * 20
    assert coinbase not in case["prestate"]
    first_fee = 21_000 * 1
    for trace in traces[1:]:
        trace[coinbase] = {"balance": hex(5 + first_fee), "nonce": 0}
    case["prestate"] = traces
    (before,) = merged(load(write_case(case))).traces
    assert before[Address(b"\xc0" * 20)]["balance"] == 5
    assert {k: v for k, v in before.items() if k in whole} == whole


def test_slots_are_collected_over_the_traces(
    state: AccountState, case: Case, write_case: Write
) -> None:
    counter = "0x" + "cc" * 20
    storage = case["prestate"][counter]["storage"]
    traces = json.loads(json.dumps([case["prestate"]] * 7))
    for trace in traces[:1]:
        trace[counter]["storage"] = {}
    for trace in traces[2:]:
        trace[counter]["storage"] = dict.fromkeys(storage, "0x99")
    case["prestate"] = traces
    (before,) = merged(load(write_case(case))).traces
    assert before[Address(b"\xcc" * 20)]["storage"] == {0: 7}


def test_as_many_traces_as_transactions(case: Case, write_case: Write) -> None:
    case["prestate"] = [case["prestate"]] * 3
    with pytest.raises(InputError, match=r"case\.json: 3 traces for 7 transactions"):
        replay(load(write_case(case)), Stock())


def test_a_sender_missing_from_every_trace(case: Case, write_case: Write) -> None:
    sender = case["block"]["transactions"][3]["from"]
    prestate = {address: it for address, it in case["prestate"].items() if address != sender}
    case["prestate"] = [prestate] * 7
    with pytest.raises(InputError, match=f"{sender}: missing account, the sender of transaction 3"):
        replay(load(write_case(case)), Stock())


def test_empty_accounts_exist_only_before_spurious_dragon(write_case: Write) -> None:
    """Sending to an account that is not there costs 25,000 gas more before EIP-161."""
    caller, target = Address(b"\xaa" * 20), Address(b"\xbb" * 20)
    # CALL(gas=100, target, value=0): new-account gas is asked for before EIP-161 only.
    code = bytes.fromhex("6000600060006000600073" + target.hex() + "6064f100")
    empty = {"balance": 0, "nonce": 0, "code": b"", "storage": {}}
    used = {}
    for fork in ("tangerine-whistle", "spurious-dragon"):
        for listed in (True, False):
            state: Any = {
                Address(bytes.fromhex(_SENDER)): empty | {"balance": 10**20},
                caller: empty | {"code": code, "nonce": 1},
            }
            if listed:
                state[target] = empty
            recording = load(write_case(compose(Setting(fork), state, [_call(fork, caller)])))
            assert replay(recording, Stock()).equal
            used[fork, listed] = recording.header.gas_used
    assert used["tangerine-whistle", False] == used["tangerine-whistle", True] + 25_000
    assert used["spurious-dragon", False] == used["spurious-dragon", True]


_SENDER = "1a642f0e3c3af545e7acbd38b07251b3990914f1"


def _call(fork: str, to: Address) -> Any:
    from eth_keys.datatypes import PrivateKey

    from parallel_evm.forks import VM_CLASSES

    key = PrivateKey(b"\x01" * 32)
    assert key.public_key.to_canonical_address().hex() == _SENDER
    builder: Any = VM_CLASSES[fork].get_transaction_builder()
    unsigned = builder.create_unsigned_transaction(
        nonce=0, gas_price=1, gas=200_000, to=to, value=0, data=b""
    )
    return unsigned.as_signed_transaction(key)
