"""The direct path of a transaction beside py-evm's executor, on equal states.

Both run every transaction on the same stack (a view over a recorder over a lane). Outcome, effects
and traces must be equal; what the direct path observed must follow from what py-evm observed; and
where py-evm accepts a transaction of a known type, the direct path must have done it by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from eth.exceptions import OutOfGas, VMError
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.cancun.transactions import CancunLegacyTransaction
from eth.vm.forks.london import LondonVM
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.state import PragueState, PragueTransactionExecutor
from eth.vm.forks.prague.transactions import Authorization
from eth.vm.forks.shanghai.constants import MAX_INITCODE_SIZE
from eth.vm.forks.spurious_dragon.constants import EIP170_CODE_SIZE_LIMIT
from eth.vm.message import Message
from eth.vm.transaction_context import BaseTransactionContext
from hypothesis import given
from hypothesis import strategies as st
from rlp import encode

from parallel_evm.conformance.scenario import scenario
from parallel_evm.forks import FORKS, since
from parallel_evm.hashing import keccak
from parallel_evm.speculation.calls import context_of, message_of
from parallel_evm.speculation.executor import Irregular, fork_of
from parallel_evm.speculation.fields import fields_of
from parallel_evm.speculation.result import Outcome, Speculation
from parallel_evm.speculation.rules import Liberties, speculative_state
from parallel_evm.speculation.run import Speculator
from parallel_evm.speculation.senders import recover_sender
from parallel_evm.state.flat import Effects, FlatState
from parallel_evm.state.keys import BALANCE, EPOCH, LIFE, NONCE
from parallel_evm.state.recorder import Observations
from parallel_evm.state.source import EMPTY_CODE_HASH, Account, AccountSource
from parallel_evm.workloads.forks import CHAIN_ID, fork
from tests.speculation.transactions import transactions
from tests.strategies import (
    ETHER,
    KEYS,
    SENDERS,
    assemble,
    create_address,
    deploying,
    drawn,
    mostly_slow,
)

DIRECT_FORKS = since("byzantium")
OFTEN = ("byzantium", "berlin", "london", "prague")
"""Forks that change most are enough for every day."""
PLAIN = b"\x0f" * 20
GHOST = b"\xaa" * 20
EMPTY = b"\xbb" * 20
COINBASE = b"\xc0" * 20
BASE_FEE = 7


class World(AccountSource):
    """A state in a dictionary, as `GenesisState` has it."""

    def __init__(self, state: Mapping[Any, Any]) -> None:
        self._state = state
        self._codes = {keccak(held["code"]): held["code"] for held in state.values()}

    def account(self, address: bytes) -> Account | None:
        held = self._state.get(address)
        if held is None:
            return None
        code = held["code"]
        return Account(held["nonce"], held["balance"], keccak(code) if code else EMPTY_CODE_HASH)

    def slot(self, address: bytes, slot: int) -> int:
        value: int = self._state.get(address, {"storage": {}})["storage"].get(slot, 0)
        return value

    def code(self, code_hash: bytes) -> bytes:
        code: bytes = self._codes[code_hash]
        return code


def account(balance: int = 0, nonce: int = 0, code: bytes = b"", **storage: int) -> dict[str, Any]:
    slots = {int(name[1:]): value for name, value in storage.items()}
    return {"balance": balance, "nonce": nonce, "code": code, "storage": slots}


class Pair:
    """The same lane twice: one goes py-evm's way, the other directly."""

    def __init__(self, vm_class: Any, state: Mapping[Any, Any], last: int = 0, **context: Any):
        about: dict[str, Any] = {
            "coinbase": COINBASE,
            "timestamp": 1_715_000_000,
            "block_number": 1_000,
            "difficulty": 0,
            "mix_hash": b"\x11" * 32,
            "gas_limit": 30_000_000,
            "prev_hashes": [bytes([n]) * 32 for n in range(256)],
            "chain_id": CHAIN_ID,
            "base_fee_per_gas": BASE_FEE,
            "excess_blob_gas": 0,
            **context,
        }
        state_class = vm_class.get_state_class()
        self.layered, self.direct = (
            Speculator(
                speculative_state(state_class, Liberties(translate=False, direct=direct)),
                ExecutionContext(**about),
                FlatState(World(state)),
                last,
            )
            for direct in (False, True)
        )
        self.direct_runs = 0

    def run(self, transaction: Any, index: int = 0) -> Speculation:
        """Run on both sides and compare. Returns the direct side's speculation."""
        assert recover_sender(transaction) is not None
        executor: Any = self.direct._executor
        if executor is None:  # before Byzantium only calls are direct
            theirs, ours = self.layered.run(index, transaction), self.direct.run(index, transaction)
            assert_equal(theirs, ours)
            return ours
        ran_directly = True
        run = executor.run

        def watched(*arguments: Any) -> Outcome:
            nonlocal ran_directly
            try:
                outcome: Outcome = run(*arguments)
            except Irregular:
                ran_directly = False
                raise
            return outcome

        executor.run = watched
        theirs = self.layered.run(index, transaction)
        ours = self.direct.run(index, transaction)
        executor.run = run
        self.direct_runs += ran_directly
        assert_equal(theirs, ours)
        if theirs.outcome is not None:
            assert ran_directly
        self.same_lanes()
        return ours

    def same_lanes(self) -> None:
        """What is said of an account that is not there, or when its storage was wiped before it was
        made, is of no consequence."""
        theirs, ours = self.layered.lane, self.direct.lane
        mentioned = {address for address, _ in theirs.effects.cells | ours.effects.cells}
        for address in mentioned | theirs.effects.deltas.keys() | ours.effects.deltas.keys():
            for ask in (FlatState.exists, FlatState.nonce, FlatState.code_hash, FlatState.balance):
                assert ask(theirs, address) == ask(ours, address)
            held, known = (lane.effects.slots.get(address, {}) for lane in (theirs, ours))
            assert {s: v for s, v in held.items() if v} == {s: v for s, v in known.items() if v}
        assert theirs.effects.codes == ours.effects.codes


def assert_equal(theirs: Speculation, ours: Speculation) -> None:
    expected, got = theirs.outcome, ours.outcome
    if expected is None or got is None:
        assert expected is got, (expected, got)
        assert ours.effects == theirs.effects
        return
    for field in fields(Outcome):
        one, other = getattr(expected, field.name), getattr(got, field.name)
        if field.name == "_error":
            one, other = (type(one), str(one)), (type(other), str(other))
        assert one == other, field.name
    never = forgotten(theirs, ours)
    assert ours.effects == without(never, theirs.effects)
    assert ours.preimages == theirs.preimages
    if theirs.traces is None:
        assert ours.traces is None
    else:
        assert ours.traces is not None
        assert set(ours.traces[0]) == set(theirs.traces[0])
        assert ours.traces[1] == theirs.traces[1]
    # Was an account there that is not there now? To ask is to see one thing more than py-evm.
    asked = {key for key, there in theirs.effects.cells.items() if key[1] == LIFE and not there}
    # Which transaction wiped it last: py-evm says so of an account, too, that was not there.
    asked |= {key for key in theirs.observations.cells if key[1] == EPOCH}
    known = ours.observations
    cells = {key: seen for key, seen in known.cells.items() if key not in asked}
    assert_implied(replace(known, cells=cells), theirs.observations)


def forgotten(theirs: Speculation, ours: Speculation) -> set[bytes]:
    """Accounts that were not there, and were touched; afterwards py-evm says that they are not
    there, and we say nothing, having seen that they were not."""
    return {
        address
        for (address, kind), there in theirs.effects.cells.items()
        if kind == LIFE
        and not there
        and ours.observations.cells.get((address, LIFE)) is False
        and (address, LIFE) not in ours.effects.cells
    }


def without(addresses: set[bytes], effects: Effects) -> Effects:
    return Effects(
        {key: value for key, value in effects.cells.items() if key[0] not in addresses},
        {key: slots for key, slots in effects.slots.items() if key not in addresses},
        {key: delta for key, delta in effects.deltas.items() if key not in addresses},
        effects.codes,
        effects.increments,
    )


def assert_implied(ours: Observations, theirs: Observations) -> None:
    """Where all that py-evm observed holds, all that we observed holds, too."""
    assert ours.cells.items() <= theirs.cells.items()
    for address, needed in ours.bounds.items():
        known = max(theirs.bounds.get(address, 0), theirs.cells.get((address, BALANCE), 0))
        assert needed <= known
    for address, slots in ours.slots.items():
        assert slots.items() <= theirs.slots[address].items()


class Author:
    """Makes signed transactions of any type for one fork."""

    def __init__(self, fork_name: str) -> None:
        self._builder: Any = fork(fork_name).vm_class.get_transaction_builder()

    def sign(self, to: bytes, type_id: int = 0, sender: int = 0, **given: Any) -> Any:
        fee = given.pop("max_fee", 100)
        tip = given.pop("tip", 3)
        values = {"nonce": 0, "gas": 200_000, "value": 0, "data": b"", **given}
        values["to"] = to
        key = KEYS[sender]
        if type_id == 0:
            unsigned = self._builder.create_unsigned_transaction(gas_price=fee, **values)
            return unsigned.as_signed_transaction(key, chain_id=CHAIN_ID)
        values = {"chain_id": CHAIN_ID, "access_list": (), **values}
        if type_id == 1:
            return self._builder.new_unsigned_access_list_transaction(
                gas_price=fee, **values
            ).as_signed_transaction(key)
        values.update(max_fee_per_gas=fee, max_priority_fee_per_gas=tip)
        if type_id == 3:
            values.setdefault("max_fee_per_blob_gas", 10)
            values.setdefault("blob_versioned_hashes", [b"\x01" + bytes(31)])
        maker = {
            2: "new_unsigned_dynamic_fee_transaction",
            3: "new_unsigned_blob_transaction",
            4: "new_unsigned_set_code_transaction",
        }[type_id]
        return getattr(self._builder, maker)(**values).as_signed_transaction(key)


def types_of(fork_name: str) -> list[int]:
    since_when = {1: "berlin", 2: "london", 3: "cancun", 4: "prague"}
    return [0] + [number for number, first in since_when.items() if fork_name in since(first)]


def authorised(
    authority: int, target: bytes, nonce: int, chain_id: int = CHAIN_ID
) -> Authorization:
    message = b"\x05" + encode([chain_id, target, nonce])
    parity, r, s = KEYS[authority].sign_msg(message).vrs
    return Authorization(chain_id, target, nonce, parity, r, s)


LOGGING = assemble(5, "CALLER", 32, 0, "LOG2")
STORE = assemble(0, 0, "SSTORE", 9, 1, "SSTORE")
REVERTING = assemble(1, 0, "SSTORE", 77, 0, "MSTORE", 32, 0, "REVERT")
LOOPING = assemble("again:", "@again", "JUMP")
TRANSIENT = b"\x60\x01\x60\x02\x5d\x60\x02\x5c\x60\x00\x55"  # TSTORE(2, 1), SSTORE(0, TLOAD(2))


def calling(target: bytes, value: int, then: str = "STOP") -> bytes:
    return assemble(0, 0, 0, 0, value, target, "GAS", "CALL", 0, "SSTORE", 0, 0, then)


def place(number: int) -> bytes:
    return bytes([0xD0, number]) * 10


CONTRACTS = {
    place(0): LOGGING,
    place(1): STORE,
    place(2): REVERTING,
    place(3): LOOPING,
    place(4): b"\xfe",
    place(5): assemble(GHOST, "SELFDESTRUCT"),
    place(6): assemble("ADDRESS", "SELFDESTRUCT"),
    place(7): calling(place(0), 5),
    place(8): calling(GHOST, 0),
    place(9): calling(EMPTY, 0),
    place(10): calling(bytes(19) + b"\x03", 0, "REVERT"),
    place(11): calling(place(2), 1),
    place(12): calling(place(5), 0, "REVERT"),
    place(13): assemble("COINBASE", "BALANCE", 0, "SSTORE"),
    place(14): calling(PLAIN, 10**30),
    place(15): assemble(0, 0, 0, 0, bytes(19) + b"\x04", "GAS", "STATICCALL", 3, "SSTORE"),
    place(16): assemble(0, 0, 0, 0, place(1), "GAS", "DELEGATECALL", 3, "SSTORE"),
    place(17): assemble(bytes(19) + b"\x03", "SELFDESTRUCT"),
    place(18): calling(place(17), 0, "REVERT"),
    place(19): TRANSIENT,
    place(20): calling(place(19), 0),
    # TSTORE(2, 1), a delegate call that does TSTORE(2, 9) and reverts, SSTORE(0, TLOAD(2))
    place(21): b"\x60\x01\x60\x02\x5d"
    + assemble(0, 0, 0, 0, place(22), "GAS", "DELEGATECALL", "POP")
    + b"\x60\x02\x5c\x60\x00\x55",
    # what it calls logs before it does
    place(23): assemble(0, 0, 0, 0, 0, place(0), "GAS", "CALL", 32, 0, "LOG1"),
    place(22): b"\x60\x09\x60\x02\x5d" + REVERTING,
}


def state(**more: Any) -> dict[bytes, Any]:
    held: dict[bytes, Any] = {sender: account(10 * ETHER) for sender in SENDERS}
    held[PLAIN] = account(5)
    held[EMPTY] = account()
    held[bytes(19) + b"\x03"] = account()
    for address, code in CONTRACTS.items():
        held[address] = account(100, 1, code, s0=1)
    return held


CALLED = {
    "eoa": PLAIN,
    "itself": SENDERS[0],
    "nobody": GHOST,
    "empty": EMPTY,
    "coinbase": COINBASE,
    "identity": bytes(19) + b"\x04",
    "sha256": bytes(19) + b"\x02",
    "ripemd": bytes(19) + b"\x03",
    "blake2f": bytes(19) + b"\x09",
    "point evaluation or nobody": bytes(19) + b"\x0a",
    **{f"contract {number}": address for number, address in enumerate(CONTRACTS)},
}


@pytest.mark.parametrize("name", mostly_slow(DIRECT_FORKS, "byzantium"))
def test_calls_of_every_kind_of_account_by_every_type(name: str) -> None:
    author = Author(name)
    for to in CALLED.values():
        for type_id in types_of(name):
            for value, data, tip in ((0, b"", 0), (3, b"\0\1" * 40, 3)):
                more: dict[str, Any] = {}
                if type_id:
                    more["access_list"] = ((to, (0, 5)), (GHOST, ()))
                if type_id == 4:
                    more["authorization_list"] = [authorised(1, place(0), 0)]
                transaction = author.sign(
                    to, type_id, value=value, data=data, tip=tip, max_fee=BASE_FEE + tip, **more
                )
                pair = Pair(fork(name).vm_class, state())
                pair.run(transaction)
                assert pair.direct_runs == 1


@pytest.mark.parametrize("name", mostly_slow(DIRECT_FORKS, *OFTEN))
@pytest.mark.parametrize("coinbase", ["sender", "recipient", "ripemd", "contract", "ghost"])
@pytest.mark.parametrize("value", [0, 1])
def test_coinbases(name: str, coinbase: str, value: int) -> None:
    who = {
        "sender": SENDERS[0],
        "recipient": EMPTY,
        "ripemd": bytes(19) + b"\x03",
        "contract": place(0),
        "ghost": GHOST,
    }[coinbase]
    author, newest = Author(name), max(set(types_of(name)) & {0, 1, 2})
    for to in (EMPTY, GHOST, place(13), place(5), SENDERS[0]):
        for tip in (0, 2):
            pair = Pair(fork(name).vm_class, state(), coinbase=who)
            pair.run(author.sign(to, newest, value=value, tip=tip))


def test_a_transfer_observes_no_more_than_it_must() -> None:
    author = Author("prague")
    pair = Pair(PragueVM, state())
    speculation = pair.run(author.sign(PLAIN, value=3, gas=21_000, max_fee=100))
    seen = speculation.observations
    sender = SENDERS[0]
    assert seen.cells == {(sender, NONCE): 0, (PLAIN, -4): EMPTY_CODE_HASH}
    assert seen.bounds == {sender: 21_000 * 100 + 3}
    assert seen.slots == {}
    assert speculation.effects.deltas == {
        sender: -(21_000 * 100 + 3),
        PLAIN: 3,
        COINBASE: 21_000 * 93,
    }
    assert speculation.effects.cells == {
        (sender, NONCE): 1,
        (sender, LIFE): True,
        (PLAIN, LIFE): True,
        (COINBASE, LIFE): True,
    }


@pytest.mark.parametrize("name", mostly_slow(DIRECT_FORKS, *OFTEN))
def test_creations(name: str) -> None:
    runtime = assemble("CALLER", 0, "SSTORE")
    codes = {
        "plain": deploying(runtime),
        "nothing": b"",
        "reverts": REVERTING,
        "fails": b"\xfe",
        "loops": LOOPING,
        "reserved byte": deploying(b"\xef\x01"),
        "too large": assemble(EIP170_CODE_SIZE_LIMIT + 1, 0, "RETURN"),
        "as large as can be": assemble(EIP170_CODE_SIZE_LIMIT, 0, "RETURN"),
        "destroys itself": assemble("ADDRESS", "SELFDESTRUCT"),
        "destroys itself for another": assemble(GHOST, "SELFDESTRUCT"),
        "creates": assemble(0, 0, 0, "CREATE", 0, "SSTORE"),
        "logs": LOGGING + deploying(runtime),
        "longest": bytes(MAX_INITCODE_SIZE),
        "too long": bytes(MAX_INITCODE_SIZE + 1),
    }
    author = Author(name)
    for code in codes.values():
        for type_id in {0, 1, 2} & set(types_of(name)):
            for value in (0, 7):
                gas = 60_000 if code == LOOPING else 6_000_000
                transaction = author.sign(b"", type_id, data=code, gas=gas, value=value)
                Pair(fork(name).vm_class, state()).run(transaction)


@pytest.mark.parametrize("name", ["byzantium", "berlin", "london", "shanghai", "prague"])
def test_gas_that_ends_anywhere_in_a_creation(name: str) -> None:
    author = Author(name)
    code = deploying(assemble(*[1, "POP"] * 20), 1, 0, "SSTORE")
    intrinsic = author.sign(b"", data=code).intrinsic_gas
    endings = set()
    for gas in range(intrinsic - 2, intrinsic + 40_000, 331):
        made = Pair(fork(name).vm_class, state()).run(author.sign(b"", data=code, gas=gas))
        endings.add(None if made.outcome is None else type(made.outcome._error))
    assert endings == {None, type(None), OutOfGas}


@pytest.mark.parametrize("name", ["byzantium", "london", "prague"])
def test_collisions(name: str) -> None:
    at = create_address(SENDERS[0], 0)
    for there in (account(0, 1), account(0, 0, b"\x00"), account(5), account()):
        pair = Pair(fork(name).vm_class, {**state(), at: there})
        transaction = Author(name).sign(b"", data=deploying(b"\x00"), value=2)
        assert recover_sender(transaction) == SENDERS[0]
        theirs, ours = pair.layered.run(0, transaction), pair.direct.run(0, transaction)
        assert_equal(theirs, ours)


@pytest.mark.parametrize("name", mostly_slow(DIRECT_FORKS, *OFTEN))
@given(drawn=st.lists(transactions(), max_size=6))
@drawn(20)
def test_gas_for_data_is_py_evms_whatever_was_asked_before(name: str, drawn: list[Any]) -> None:
    executor: Any = Pair(fork(name).vm_class, state()).direct._executor
    author = Author(name)
    some = [
        author.sign(to, type_id, data=data)
        for to in (PLAIN, b"")
        for type_id in types_of(name)
        if type_id < (4 if to else 3)
        for data in (b"", b"\x00\x01", b"\x01\x00", b"\x01\x01", bytes(70))
    ]
    for transaction in [*drawn, *some, *drawn]:
        fields = fields_of(transaction)
        if fields is not None:
            assert executor._intrinsic_gas(fields) == transaction.get_intrinsic_gas()


@pytest.mark.parametrize("name", DIRECT_FORKS)
def test_the_edge_of_what_a_sender_can_pay(name: str) -> None:
    author = Author(name)
    gas, fee, value = 30_000, 50, 11
    endings = set()
    for type_id in types_of(name):
        more: dict[str, Any] = {}
        blob_cost = 0
        if type_id == 3:
            blob_cost = 10 * 2**17
        if type_id == 4:
            more["authorization_list"] = [authorised(1, place(0), 0)]
            gas = 100_000
        prices = {fee, BASE_FEE + 3, fee if type_id < 2 else BASE_FEE + 3}
        sums = {gas * price + value for price in prices} | {gas * price for price in prices}
        sums |= {known + extra for known in sums for extra in (blob_cost, 2**17)}
        for balance in {known + off for known in sums for off in (-1, 0, 1)}:
            world = {**state(), SENDERS[0]: account(balance)}
            pair = Pair(fork(name).vm_class, world)
            made = pair.run(author.sign(PLAIN, type_id, gas=gas, max_fee=fee, value=value, **more))
            endings.add(made.outcome is None)
    assert endings == {True, False}


REFUSED: dict[str, Callable[[Author], Any]] = {
    "nonce too high": lambda author: author.sign(PLAIN, nonce=1),
    "fee below base fee": lambda author: author.sign(PLAIN, 2, max_fee=BASE_FEE - 1, tip=0),
    "price below base fee": lambda author: author.sign(PLAIN, max_fee=BASE_FEE - 1),
    "no gas": lambda author: author.sign(PLAIN, gas=20_999),
    "no gas for the list": lambda author: author.sign(
        PLAIN, 1, gas=23_399, access_list=((GHOST, ()),)
    ),
    "no gas for data": lambda author: author.sign(PLAIN, 2, gas=21_015, data=b"\1"),
    "nonce at its end": lambda author: author.sign(PLAIN, 1, nonce=2**64 - 1),
}


REFUSALS = [(name, why) for name in since("london") for why in REFUSED] + [
    (name, why)
    for name in DIRECT_FORKS
    if name not in since("london")
    for why in ("nonce too high", "no gas")
]


@pytest.mark.parametrize(("name", "why"), REFUSALS)
def test_what_is_refused(name: str, why: str) -> None:
    pair = Pair(fork(name).vm_class, state())
    assert pair.run(REFUSED[why](Author(name))).outcome is None
    assert pair.direct_runs == 0


@pytest.mark.parametrize("name", since("london"))
def test_a_tip_above_the_fee_is_no_reason_to_refuse(name: str) -> None:
    made = Pair(fork(name).vm_class, state()).run(Author(name).sign(PLAIN, 2, tip=200))
    assert made.outcome is not None


@pytest.mark.parametrize("name", since("cancun"))
def test_blobs(name: str) -> None:
    author = Author(name)
    good = b"\x01" + b"\x05" * 31
    endings = []
    for excess in (0, 10_000_000):
        for hashes in ([good], [good] * 3, [], [good, b"\x02" + bytes(31)]):
            for fee in (0, 1, 1_000_000):
                for to in (PLAIN, place(1), place(0)):
                    pair = Pair(fork(name).vm_class, state(), excess_blob_gas=excess)
                    made = pair.run(
                        author.sign(
                            to, 3, max_fee_per_blob_gas=fee, blob_versioned_hashes=hashes, value=1
                        )
                    )
                    endings.append(made.outcome is not None)
    assert any(endings) and not all(endings)


@pytest.mark.parametrize("name", since("cancun"))
def test_code_sees_the_blobs(name: str) -> None:
    code = b"\x60\x00\x49\x60\x00\x55\x4a\x60\x01\x55"  # SSTORE(0, BLOBHASH(0)), (1, BLOBBASEFEE)
    world = {**state(), place(30): account(code=code, nonce=1)}
    made = Pair(fork(name).vm_class, world).run(Author(name).sign(place(30), 3))
    written = made.effects.slots[place(30)]
    assert written == {0: 1 << 248, 1: 1}


def test_a_blob_that_creates() -> None:
    """py-evm lets a blob transaction create; no network does."""
    Pair(PragueVM, state()).run(Author("prague").sign(b"", 3, data=deploying(b"\x00")))


AUTHORISATIONS: dict[str, list[Authorization]] = {
    "valid": [authorised(1, place(0), 0)],
    "any chain": [authorised(1, place(0), 0, 0)],
    "other chain": [authorised(1, place(0), 0, 5)],
    "nonce": [authorised(1, place(0), 1)],
    "signature": [authorised(1, place(0), 0).copy(s=1)],
    "twice": [authorised(1, place(0), 0), authorised(1, place(1), 1)],
    "sender": [authorised(0, place(0), 1)],
    "sender at its old nonce": [authorised(0, place(0), 0)],
    "taken back": [authorised(1, place(0), 0), authorised(1, bytes(20), 1)],
    "to nobody": [authorised(1, GHOST, 0)],
    "to a precompile": [authorised(1, bytes(19) + b"\x02", 0)],
    "loop": [authorised(1, SENDERS[2], 0), authorised(2, SENDERS[1], 0)],
    "new account": [authorised(7, place(1), 0)],
    "none": [],
    "highest nonce": [authorised(1, place(0), 2**64 - 1)],
}


@pytest.mark.parametrize("which", AUTHORISATIONS)
def test_authorisations(which: str) -> None:
    author = Author("prague")
    held = state()
    del held[SENDERS[7]]
    for to in (SENDERS[1], SENDERS[0], SENDERS[7], PLAIN, place(7)):
        for value in (0, 4):
            pair = Pair(PragueVM, held)
            pair.run(
                author.sign(
                    to, 4, authorization_list=AUTHORISATIONS[which], value=value, gas=400_000
                )
            )


def test_delegations_that_are_there_already() -> None:
    author = Author("prague")
    for target in (place(0), place(1), PLAIN, GHOST, bytes(19) + b"\x02", SENDERS[1]):
        held = {**state(), SENDERS[1]: account(ETHER, 1, b"\xef\x01\x00" + target)}
        for fork_name in ("london", "cancun", "prague"):  # no delegation before Prague: just code
            pair = Pair(fork(fork_name).vm_class, held)
            pair.run(Author(fork_name).sign(SENDERS[1], value=2))
        Pair(PragueVM, held).run(author.sign(PLAIN, sender=1, nonce=1, value=2))


def test_a_precompile_that_delegates() -> None:
    """Nobody can sign for one, but a genesis block can say so: then it is not run."""
    identity = bytes(19) + b"\x04"
    for target in (place(0), PLAIN):
        held = {**state(), identity: account(0, 1, b"\xef\x01\x00" + target)}
        made = Pair(PragueVM, held).run(Author("prague").sign(identity, data=b"data"))
        assert made.outcome is not None and made.outcome.output == b""


def test_the_floor_price_of_data() -> None:
    author = Author("prague")
    for size in (1, 40, 4_000):
        for gas in (60_000, 100_000, 200_000, 10**6):
            for to in (PLAIN, place(1)):
                for balance in (gas * 10 + 1, ETHER):
                    held = {**state(), SENDERS[0]: account(balance)}
                    transaction = author.sign(
                        to, 2, data=b"\1" * size, gas=gas, max_fee=BASE_FEE + 3
                    )
                    if transaction.intrinsic_gas <= gas:
                        Pair(PragueVM, held).run(transaction)


def test_a_balance_at_its_end() -> None:
    held = {**state(), PLAIN: account(2**256 - 1)}
    made = Pair(LondonVM, held).run(Author("london").sign(PLAIN, value=1))
    assert made.outcome is None


MALFORMED: dict[str, dict[str, Any]] = {
    "short address": {"to": b"\x01" * 19},
    "no address": {"to": None},
    "text": {"data": "text"},
    "bool": {"value": True},
    "negative": {"value": -1},
    "large": {"value": 2**256},
    "large gas": {"gas": 2**256},
    "bool nonce": {"nonce": False},
    "r": {"r": 0},
    "s": {"s": 2**255},
    "v": {"v": 29},
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_transactions_are_left_to_py_evm(what: str) -> None:
    good = Author("cancun").sign(PLAIN)
    bad = good.copy(**MALFORMED[what])
    bad.__dict__["sender"] = SENDERS[0]
    pair = Pair(fork("cancun").vm_class, state())
    with pytest.raises(Irregular):
        pair.direct._executor.run(bad, SENDERS[0])  # type: ignore[union-attr]
    assert pair.layered.run(0, bad).outcome is None
    assert pair.direct.run(0, bad).outcome is None


@pytest.mark.parametrize(
    "what",
    [
        {"chain_id": 2**256},
        {"chain_id": None},
        {"y_parity": 2},
        {"y_parity": True},
        {"access_list": ((b"\x01" * 19, ()),)},
        {"access_list": ((GHOST, (-1,)),)},
        {"access_list": ((GHOST, (2**256,)),)},
        {"access_list": ((GHOST,),)},
        {"access_list": (5,)},
    ],
    ids=str,
)
def test_malformed_typed_transactions_are_left_to_py_evm(what: dict[str, Any]) -> None:
    good = Author("cancun").sign(place(0), 2)
    bad = type(good)(2, good._inner.copy(**what))
    bad.__dict__["sender"] = bad._inner.__dict__["sender"] = SENDERS[0]
    pair = Pair(fork("cancun").vm_class, state())
    with pytest.raises(Irregular):
        pair.direct._executor.run(bad, SENDERS[0])  # type: ignore[union-attr]
    assert_equal(pair.layered.run(0, bad), pair.direct.run(0, bad))


def test_types_that_the_fork_does_not_know_are_left_to_py_evm() -> None:
    for name, type_id in (("london", 3), ("cancun", 4)):
        more = {"authorization_list": [authorised(1, place(0), 0)]} if type_id == 4 else {}
        transaction = Author("prague").sign(PLAIN, type_id, **more)
        pair = Pair(fork(name).vm_class, state())
        with pytest.raises(Irregular):
            pair.direct._executor.run(transaction, SENDERS[0])  # type: ignore[union-attr]


def test_transactions_of_somebodys_own_class_are_left_to_py_evm() -> None:
    class Own(CancunLegacyTransaction):
        pass

    stock = Author("cancun").sign(PLAIN)
    pair = Pair(fork("cancun").vm_class, state())
    with pytest.raises(Irregular):
        pair.direct._executor.run(Own(**stock.as_dict()), SENDERS[0])  # type: ignore[union-attr]


def test_only_unchanged_forks_since_byzantium_go_the_direct_way() -> None:
    for name in FORKS:
        found = fork_of(fork(name).vm_class.get_state_class())
        assert (found is not None) == (name in DIRECT_FORKS)

    class Generous(PragueTransactionExecutor):
        def calc_message_refund(self, transaction: Any) -> int:
            return 5

    class Mixed(PragueState):
        computation_class = LondonVM.get_state_class().computation_class

    assert fork_of(PragueState.configure(transaction_executor_class=Generous)) is None
    assert fork_of(Mixed) is None
    assert fork_of(PragueState.configure()) is not None


@pytest.mark.parametrize("name", since("cancun"))
def test_transient_storage_is_undone_with_the_rest(name: str) -> None:
    made = Pair(fork(name).vm_class, state()).run(Author(name).sign(place(21)))
    assert made.effects.slots[place(21)][0] == 1


@pytest.mark.parametrize("more", [{"depth": 1025}, {"depth": 1024, "value": 101}, {"value": 100}])
def test_what_a_message_may_not_do_fails_in_py_evms_words(more: dict[str, Any]) -> None:
    """Opcodes look before they call, so this can only be seen from up close."""
    answers: list[Any] = []
    pair = Pair(PragueVM, state())
    for speculator in (pair.layered, pair.direct):
        vm_state: Any = speculator._state
        view = vm_state._account_db = FlatState(speculator.lane)
        context = vm_state.transaction_context_class(1, SENDERS[0])
        message = Message(90_000, PLAIN, place(0), data=b"", code=b"", **{"value": 0, **more})
        try:
            computation = vm_state.computation_class.apply_message(vm_state, message, context)
        except VMError as error:
            answers.append((type(error), str(error)))
        else:
            answers.append((computation.is_success, view.effects.deltas))
    assert answers[0] == answers[1]


def test_a_message_is_what_py_evm_makes() -> None:
    for more in (
        {},
        {"depth": 3, "create_address": PLAIN},
        {"code_address": PLAIN, "should_transfer_value": False, "is_static": True},
        {"is_delegation": True, "refund": 5},
    ):
        given: dict[str, Any] = {
            "gas": 5, "to": GHOST, "sender": EMPTY, "value": 1, "data": b"d", "code": b"c", **more
        }  # fmt: skip
        expected, made = Message(**given), message_of(**given)
        assert isinstance(made, Message)
        worked_out = (
            "storage_address",
            "code_address",
            "is_create",
            "is_delegation",
            "data_as_bytes",
        )
        own = (name for name in Message.__slots__ if not name.startswith("_"))
        for name in (*own, *worked_out):
            assert getattr(made, name, "unset") == getattr(expected, name, "unset")


@pytest.mark.parametrize("name", DIRECT_FORKS)
@pytest.mark.parametrize("more", [{}, {"blob_versioned_hashes": (b"\x01" * 32,)}])
def test_a_context_is_what_py_evm_makes(name: str, more: dict[str, Any]) -> None:
    kind: Any = fork(name).vm_class.get_state_class().transaction_context_class
    expected = kind(gas_price=7, origin=PLAIN, **more)
    made = context_of(kind, 7, PLAIN, *more.values())
    assert type(made) is type(expected)
    names = {*BaseTransactionContext.__slots__, *vars(expected)} - {"_log_counter"}
    assert vars(made).keys() == vars(expected).keys()
    assert [getattr(made, name) for name in names] == [getattr(expected, name) for name in names]
    assert [context.get_next_log_counter() for context in (expected, made, made)] == [0, 0, 1]


def run_random_blocks(first: int, count: int) -> int:
    """Run them on lanes of both sides; returns how many transactions went the direct way.

    Before Byzantium only message calls are direct, not the transaction around them.
    """
    ran = 0
    for number in range(first, first + count):
        drawn = scenario(20, number)
        setting, transactions = drawn.setting, drawn.transactions()
        pair = Pair(
            fork(setting.fork).vm_class,
            drawn.state,
            last=len(transactions) - 1,
            coinbase=setting.coinbase,
            base_fee_per_gas=setting.base_fee_per_gas,
            excess_blob_gas=setting.excess_blob_gas,
            chain_id=setting.chain_id,
        )
        for index, transaction in enumerate(transactions):
            if pair.run(transaction, index).outcome is None:
                break  # sequential py-evm would refuse the block here
        ran += pair.direct_runs
    return ran


def test_random_blocks() -> None:
    assert run_random_blocks(0, 40) > 100


@pytest.mark.slow
def test_many_random_blocks() -> None:
    assert run_random_blocks(1_000_000, 1_500) > 5_000
