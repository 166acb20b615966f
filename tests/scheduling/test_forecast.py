"""Forecasts: said before a transaction runs, held against what transactions like it touched."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from eth.constants import CREATE_CONTRACT_ADDRESS, EMPTY_SHA3, ZERO_HASH32
from eth.exceptions import Revert
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.cancun import CancunVM
from eth.vm.forks.prague import PragueVM
from eth.vm.interrupt import EVMMissingData
from eth_keys.datatypes import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.hashing import keccak
from parallel_evm.scheduling import forecast as forecast_module
from parallel_evm.scheduling.forecast import Forecast, Forecaster
from parallel_evm.scheduling.lanes import plan
from parallel_evm.speculation.result import Outcome, Speculation
from parallel_evm.speculation.rules import Liberties, speculative_state
from parallel_evm.speculation.run import Speculator
from parallel_evm.state.flat import Effects, FlatState
from parallel_evm.state.keys import BALANCE, CODE, LIFE, NONCE, Key
from parallel_evm.state.recorder import Observations
from parallel_evm.state.source import Account, AccountSource
from parallel_evm.workloads import artifacts
from tests.strategies import drawn

CHAIN_ID = 1337
BUILDER = CancunVM.get_transaction_builder()
SIGNERS = [PrivateKey(bytes([n + 1]) * 32) for n in range(8)]
PEOPLE = [signer.public_key.to_canonical_address() for signer in SIGNERS]
ALICE, BOB, CAROL, DAVE = PEOPLE[:4]

TOKEN, ROUTER, PAIR, ORACLE = (bytes([n]) * 20 for n in (0x70, 0x72, 0x9A, 0x0C))
TRANSFER, SWAP = b"\xa9\x05\x9c\xbb", b"\x38\xed\x17\x39"


def word(value: int | bytes) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def pay(
    sender: int, to: bytes, data: bytes = b"", value: int = 0, access: Any = (), nonce: int = 0
) -> Any:
    """A signed EIP-1559 transaction, as blocks carry them."""
    signed = BUILDER.new_unsigned_dynamic_fee_transaction(
        chain_id=CHAIN_ID,
        nonce=nonce,
        max_priority_fee_per_gas=1,
        max_fee_per_gas=10**9,
        gas=200_000,
        to=to,
        value=value,
        data=data,
        access_list=access,
    ).as_signed_transaction(SIGNERS[sender])
    return BUILDER.decode(signed.encode())


def call(sender: int, to: bytes, selector: bytes, *arguments: int | bytes) -> Any:
    return pay(sender, to, selector + b"".join(map(word, arguments)))


class Mappings:
    """Slots of mappings, and the preimages by which they are recognised."""

    def __init__(self) -> None:
        self.preimages: dict[bytes, bytes] = {}

    def slot(self, position: int, *keys: int | bytes) -> int:
        at = word(position)
        for key in keys:
            preimage = word(key) + at
            at = keccak(preimage)
            self.preimages[at] = preimage
        return int.from_bytes(at, "big")

    def element(self, array: int, index: int) -> int:
        """Of an array of words, whose length is at the slot ``array``."""
        first = keccak(word(array))
        self.preimages[first] = word(array)
        return int.from_bytes(first, "big") + index


def touched(
    *,
    reads: Set[Key] = frozenset(),
    writes: Set[Key] = frozenset(),
    mappings: Mappings | None = None,
    success: bool = True,
    gas: int = 30_000,
) -> Speculation:
    """What a worker reports of a run that read slots and changed slots."""
    observations, effects = Observations(), Effects()
    for address, slot in {*reads, *writes}:
        observations.slots.setdefault(address, {})[slot] = 5
    for address, slot in writes:
        effects.slots.setdefault(address, {})[slot] = 6
    return Speculation(
        index=0,
        observations=observations,
        effects=effects,
        outcome=outcome(success, gas),
        seconds=0.001,
        preimages=None if mappings is None else mappings.preimages,
    )


def outcome(success: bool = True, gas: int = 30_000) -> Outcome:
    return Outcome(
        _error=None if success else Revert(b""),
        output=b"",
        return_data=b"",
        raw_log_entries=(),
        gas_remaining=200_000 - gas,
        gas_used=gas,
        gas_refund=0,
        data_floor_gas=0,
        accounts_for_deletion=(),
        self_destruct_beneficiaries=(),
        contracts_created=(),
        create_address=None,
        bloom=0,
    )


class Holding(AccountSource):
    """A state of which only some slots, and the code of some accounts, matter."""

    def __init__(
        self, held: Mapping[bytes, Mapping[int, int]], codes: Mapping[bytes, bytes] | None = None
    ) -> None:
        self._held = held
        self._codes = codes or {}

    def account(self, address: bytes) -> Account | None:
        return Account(1, 0, self._codes.get(address, EMPTY_SHA3))

    def slot(self, address: bytes, slot: int) -> int:
        return self._held.get(address, {}).get(slot, 0)


def slots(keys: frozenset[Key]) -> set[Key]:
    """The storage slots among forecast keys."""
    return {key for key in keys if len(key[0]) == 20 and key[1] >= 0}


#
# By the rules alone
#
def test_a_plain_transfer_is_known_and_orders_only_its_sender() -> None:
    forecast = Forecaster().forecast(3, pay(0, BOB, value=5), ALICE)

    assert forecast.index == 3
    assert forecast.puzzle is None
    assert forecast.gas == 21_000
    assert (ALICE, NONCE) in forecast.writes
    assert all(key[1] == BALANCE for key in forecast.writes - {(ALICE, NONCE)})


def test_transfers_to_one_account_run_apart_and_those_of_one_sender_together() -> None:
    forecaster = Forecaster()
    block = [pay(0, BOB), pay(1, BOB), pay(2, ALICE), pay(0, DAVE, nonce=1)]
    forecasts = [forecaster.forecast(i, t, t.sender) for i, t in enumerate(block)]

    assert sorted(plan(forecasts, 3)) == [[0, 3], [1], [2]]


def test_a_creation_is_followed_by_the_calls_to_what_it_creates() -> None:
    forecaster = Forecaster()
    creation = pay(0, CREATE_CONTRACT_ADDRESS, data=b"\x60\x00", nonce=7)
    created = keccak(b"\xd6\x94" + ALICE + b"\x07")[12:]  # rlp([sender, 7])
    block = [creation, call(1, TOKEN, TRANSFER), call(2, created, TRANSFER)]
    forecasts = [forecaster.forecast(i, t, t.sender) for i, t in enumerate(block)]

    assert forecasts[0].puzzle is None
    assert sorted(plan(forecasts, 2)) == [[0, 2], [1]]


def test_access_lists_are_read() -> None:
    transaction = pay(0, TOKEN, access=[(PAIR, [1, 2**255]), (ORACLE, [])])

    assert slots(Forecaster().forecast(0, transaction, ALICE).reads) == {(PAIR, 1), (PAIR, 2**255)}


def test_eip_7702_authorities_are_changed() -> None:
    """What is signed is keccak(0x05 . rlp([chain id, address, nonce]))."""
    digest = keccak(b"\x05\xd7\x01\x94" + TOKEN + b"\x09")
    signature = SIGNERS[3].sign_msg_hash(digest)
    good = (1, TOKEN, 9, signature.v, signature.r, signature.s)
    transaction = (
        PragueVM.get_transaction_builder()
        .new_unsigned_set_code_transaction(
            chain_id=1,
            nonce=0,
            max_priority_fee_per_gas=1,
            max_fee_per_gas=1,
            gas=100_000,
            to=BOB,
            value=0,
            data=b"",
            access_list=(),
            authorization_list=((1, TOKEN, 9, 7, 0, 0), good),
        )
        .as_signed_transaction(SIGNERS[0])
    )
    transaction = PragueVM.get_transaction_builder().decode(transaction.encode())

    writes = Forecaster().forecast(0, transaction, ALICE).writes

    assert writes == {
        (ALICE, NONCE),
        (ALICE, BALANCE),
        (BOB, BALANCE),
        (DAVE, NONCE),
        (DAVE, CODE),
    }


@pytest.mark.parametrize(
    "transaction",
    [
        SimpleNamespace(),
        SimpleNamespace(to=None, data=None, gas=None, nonce=None, access_list=None),
        SimpleNamespace(to=10**9, data=b"", gas=1, nonce=0, access_list=()),
        SimpleNamespace(to=BOB, data=b"", gas="much", nonce=0, access_list=()),
        SimpleNamespace(to=BOB, data=b"", gas=1, nonce=0, access_list=((BOB,), 3)),
    ],
)
def test_what_is_malformed_is_left_to_the_one_who_refuses_it(transaction: Any) -> None:
    forecaster = Forecaster()

    forecast = forecaster.forecast(0, transaction, ALICE)
    forecaster.learn(transaction, ALICE, touched())

    assert forecast == Forecast(0, frozenset(), frozenset(), 21_000)


def test_without_a_sender_nothing_is_touched_and_nothing_learned() -> None:
    forecaster = Forecaster()
    forecaster.learn(call(0, TOKEN, TRANSFER), None, touched(writes={(TOKEN, 1)}))

    assert not forecaster.forecast(0, call(0, TOKEN, TRANSFER), None).writes
    assert forecaster.forecast(0, call(0, TOKEN, TRANSFER), ALICE).puzzle is not None


@pytest.mark.parametrize("data", [b"\x01", TRANSFER, TRANSFER + b"\x01", TRANSFER + bytes(33)])
def test_calldata_of_any_length(data: bytes) -> None:
    forecaster = Forecaster()
    forecaster.learn(pay(0, TOKEN, data), ALICE, touched(writes={(TOKEN, 2**200)}))

    assert slots(forecaster.forecast(0, pay(1, TOKEN, data), BOB).writes) == {(TOKEN, 2**200)}


#
# The unknown
#
def test_first_calls_of_one_function_share_a_lane() -> None:
    forecaster = Forecaster()
    block = [
        call(0, TOKEN, TRANSFER, DAVE, 1),
        call(1, TOKEN, TRANSFER, CAROL, 2),
        call(2, TOKEN, SWAP),
        call(3, PAIR, TRANSFER, ALICE, 3),
    ]
    forecasts = [forecaster.forecast(i, t, t.sender) for i, t in enumerate(block)]

    puzzles = [forecast.puzzle for forecast in forecasts]
    assert puzzles == [TOKEN + TRANSFER, TOKEN + TRANSFER, TOKEN + SWAP, PAIR + TRANSFER]
    assert sorted(plan(forecasts, 3)) == [[0, 1], [2], [3]]
    assert all(forecast.gas <= 271_000 for forecast in forecasts)


def test_a_run_without_outcome_teaches_nothing() -> None:
    forecaster = Forecaster()
    speculation = touched(writes={(TOKEN, 1)})
    speculation.outcome = None
    forecaster.learn(call(0, TOKEN, TRANSFER), ALICE, speculation)

    assert forecaster.forecast(0, call(0, TOKEN, TRANSFER), ALICE).puzzle is not None


#
# Expressions
#
def test_mappings_by_caller_argument_and_contract_with_members() -> None:
    def run(sender: int, owner: bytes, proposal: int) -> tuple[Any, set[Key], set[Key], Mappings]:
        """``vote(owner, proposal)``: one read of every form, and some writes."""
        m, caller = Mappings(), PEOPLE[sender]
        read = {
            (TOKEN, 9),  # a variable
            (TOKEN, m.slot(5, owner, caller)),  # allowance[owner][caller]
            (TOKEN, m.slot(6, TOKEN)),  # balances[address(this)]
        }
        written = {
            (TOKEN, m.slot(4, caller)),  # balances[caller]
            (TOKEN, m.slot(4, owner)),
            (TOKEN, m.slot(7, proposal) + 3),  # proposals[proposal].votes
            (TOKEN, m.slot(8, proposal, caller) + 1),  # receipts[proposal][caller].weight
        }
        return call(sender, TOKEN, TRANSFER, owner, proposal), read, written, m

    forecaster = Forecaster()
    transaction, read, written, m = run(0, BOB, 77)
    forecaster.learn(transaction, ALICE, touched(reads=read, writes=written, mappings=m, gas=4321))

    other, expected_reads, expected_writes, _ = run(2, DAVE, 78)
    forecast = forecaster.forecast(0, other, CAROL)

    assert forecast.puzzle is None
    assert slots(forecast.reads) == expected_reads | expected_writes
    assert slots(forecast.writes) == expected_writes
    assert forecast.gas == 21_000 + 4321


def test_vyper_hashes_position_first() -> None:
    def slot(owner: bytes) -> tuple[int, dict[bytes, bytes]]:
        preimage = word(3) + word(owner)
        return int.from_bytes(keccak(preimage), "big"), {keccak(preimage): preimage}

    forecaster = Forecaster()
    for sender in (0, 1):  # a small number on the left could be a key: it takes two calls
        at, preimages = slot(PEOPLE[sender])
        speculation = touched(writes={(TOKEN, at)})
        speculation.preimages = preimages
        forecaster.learn(call(sender, TOKEN, TRANSFER), PEOPLE[sender], speculation)

    writes = forecaster.forecast(0, call(2, TOKEN, TRANSFER), CAROL).writes
    assert slots(writes) == {(TOKEN, slot(CAROL)[0])}


def test_a_contract_that_is_an_argument() -> None:
    def run(sender: int, token: bytes) -> tuple[Any, set[Key], Mappings]:
        m = Mappings()
        return call(sender, ROUTER, SWAP, 5, token), {(token, m.slot(4, PEOPLE[sender]))}, m

    forecaster = Forecaster()
    transaction, written, m = run(0, TOKEN)
    forecaster.learn(transaction, ALICE, touched(writes=written, mappings=m))

    other, expected, _ = run(1, PAIR)
    assert slots(forecaster.forecast(0, other, BOB).writes) == expected


def test_amounts_are_not_taken_for_addresses_where_arrays_differ_in_length() -> None:
    """``airdrop(recipients[], amounts[])`` with three recipients, then with one."""

    def run(recipients: list[bytes]) -> tuple[Any, set[Key], Mappings]:
        m, count = Mappings(), len(recipients)
        arguments = [64, 96 + 32 * count, count, *recipients, count, *[7] * count]
        written = {(TOKEN, m.slot(4, recipient)) for recipient in recipients}
        return call(0, TOKEN, TRANSFER, *arguments), written, m

    forecaster = Forecaster()
    for recipients in ([BOB, CAROL, DAVE], [DAVE]):
        transaction, written, m = run(recipients)
        forecaster.learn(transaction, ALICE, touched(writes=written, mappings=m))

    other, expected, _ = run([CAROL])
    assert slots(forecaster.forecast(0, other, ALICE).writes) == expected


def test_an_array_that_holds_what_an_argument_names_by_accident() -> None:
    """A variable at position 2 is a variable, whatever the amount is."""
    forecaster = Forecaster()
    forecaster.learn(call(0, TOKEN, TRANSFER, 2), ALICE, touched(reads={(TOKEN, 2)}))

    assert slots(forecaster.forecast(0, call(0, TOKEN, TRANSFER, 3), ALICE).reads) == {(TOKEN, 2)}


ARRIVE = b"\xa4\x41\x7e\x00"


def message(number: int) -> bytes:
    """What nobody can tell beforehand: the hash of all arguments, say."""
    return keccak(b"message" + word(number))


def arrived(number: int, recipient: bytes) -> tuple[Any, set[Key], Mappings]:
    """``processed[digest] = true; balanceOf[recipient] += amount``."""
    m = Mappings()
    written = {(TOKEN, m.slot(7, message(number))), (TOKEN, m.slot(4, recipient))}
    return call(0, TOKEN, ARRIVE, recipient, number), written, m


def test_messages_that_never_arrive_twice_are_neither_kept_nor_surprising() -> None:
    forecaster = Forecaster()
    for number in range(200):
        transaction, written, m = arrived(number, word(2**150 + number)[12:])
        asked = forecaster.forecast(0, transaction, ALICE)
        forecaster.learn(transaction, ALICE, touched(writes=written, mappings=m))

    assert held(forecaster) < 16
    assert asked.puzzle is None  # although nobody has paid that recipient before
    last = [forecaster.forecast(0, arrived(n, CAROL)[0], ALICE) for n in range(1000, 1100)]
    assert sum(forecast.teaches for forecast in last) < 20
    assert slots(last[0].writes) == {(TOKEN, Mappings().slot(4, CAROL))}


def test_what_made_a_call_run_again_is_kept_although_nothing_like_it_ever_came_again() -> None:
    forecaster = Forecaster()
    for number in range(50):
        transaction, written, m = arrived(number, word(2**150 + number)[12:])
        forecaster.learn(transaction, ALICE, touched(writes=written, mappings=m))
    transaction, written, m = arrived(7, CAROL)
    forecaster.learn(transaction, ALICE, touched(writes=written, mappings=m), conflicted=True)

    assert slots(forecaster.forecast(0, transaction, ALICE).writes) == written


def test_hashes_that_come_again_are_expected_with_their_arguments() -> None:
    """Pools that are named by the hash of their tokens (as in Uniswap's fourth version): a block in
    which each is used for the first time looks as if none came again."""

    def swapped(pool: int) -> tuple[Any, set[Key], Mappings]:
        m = Mappings()
        return call(0, TOKEN, SWAP, 2**140 + pool), {(TOKEN, m.slot(6, message(pool)))}, m

    forecaster = Forecaster()
    for number in range(400):
        transaction, written, m = swapped(number % 40)
        expected = forecaster.forecast(0, transaction, ALICE).writes >= written
        speculation = touched(writes=written, mappings=m)
        # Two in a block: where the forecast lacks the slot, the second of them runs again.
        conflicts = not expected and number >= 40 and number % 2 == 1
        forecaster.learn(transaction, ALICE, speculation, conflicted=conflicts)

    transaction, written, m = swapped(99)  # by now it is known that they do come again
    forecaster.learn(transaction, ALICE, touched(writes=written, mappings=m))
    for pool in (*range(1, 40, 2), 99):
        transaction, written, _ = swapped(pool)
        assert slots(forecaster.forecast(0, transaction, ALICE).writes) == written


def test_a_precompile_is_called_by_its_address_whatever_is_counted() -> None:
    """``ecrecover`` lies at address 1, and ``true`` is one more than ``false``."""
    forecaster = Forecaster()
    for number in (1, 2):
        m = Mappings()
        slot = m.slot(7, message(number))
        speculation = touched(writes={(TOKEN, slot)}, mappings=m)
        speculation.observations.slots[TOKEN] = {slot: 0}
        speculation.effects.slots[TOKEN] = {slot: 1}
        speculation.observations.cells[bytes(19) + b"\1", CODE] = EMPTY_SHA3
        forecaster.learn(call(0, TOKEN, ARRIVE, number), ALICE, speculation)

    third = forecaster.forecast(0, call(0, TOKEN, ARRIVE, 2**70), ALICE)
    assert (bytes(19) + b"\1", CODE) in third.reads


#
# What slots hold
#
POOL, OTHER_POOL = b"\x60" * 20, b"\x61" * 20
FILE, ASSESS, PAY = b"\xf1\x1e\x00\x01", b"\xa5\x5e\x55\x01", b"\x9a\x70\x00\x01"


def filed(count: int, pool: bytes = POOL) -> Speculation:
    """``claims[++claimCount] = ...``, where ``count`` claims were there before."""
    m = Mappings()
    speculation = touched(writes={(pool, 2), (pool, m.slot(9, count + 1))}, mappings=m)
    speculation.observations.slots[pool] = {2: count, m.slot(9, count + 1): 0}
    speculation.effects.slots[pool] = {2: count + 1, m.slot(9, count + 1): 77}
    return speculation


def claim(number: int) -> int:
    return Mappings().slot(9, number)


def test_a_counter_gives_the_next_number_and_the_one_after() -> None:
    """The claim that one transaction of a block files is the one that a later one assesses."""
    forecaster = Forecaster()
    for count in (3, 4):
        forecaster.learn(call(0, POOL, FILE, 1 << 80), ALICE, filed(count))
    forecaster.begin(Holding({POOL: {2: 40}}))

    first = forecaster.forecast(0, call(0, POOL, FILE, 1 << 80), ALICE)
    second = forecaster.forecast(1, call(1, POOL, FILE, 1 << 80), BOB)

    assert slots(first.writes) == {(POOL, 2), (POOL, claim(41))}
    assert slots(second.writes) == {(POOL, 2), (POOL, claim(42))}


VOTE = b"\x56\x78\x13\x88"


def voted(voter: bytes, length: int, *searched: int) -> Speculation:
    """``checkpoints[voter]``, searched for the votes at a past block."""
    m = Mappings()
    array = m.slot(8, voter)
    read = {(TOKEN, array), *((TOKEN, m.element(array, index)) for index in searched)}
    written = {(POOL, m.slot(3, voter))}
    speculation = touched(reads=read, writes=written, mappings=m)
    speculation.observations.slots[TOKEN][array] = length
    return speculation


def test_where_an_array_is_searched_is_no_surprise_and_its_end_is_expected() -> None:
    forecaster = Forecaster()
    for number in range(60):
        transaction = call(number % 8, POOL, VOTE, TOKEN)
        forecaster.forecast(0, transaction, PEOPLE[number % 8])
        run = voted(PEOPLE[number % 8], 100, 99, number, 97 - number)
        forecaster.learn(transaction, PEOPLE[number % 8], run)

    m = Mappings()
    array = m.slot(8, ALICE)
    forecaster.begin(Holding({TOKEN: {array: 7}}))
    forecast = forecaster.forecast(0, call(0, POOL, VOTE, TOKEN), ALICE)
    assert held(forecaster) < 8
    assert not forecast.teaches
    assert slots(forecast.reads) == {
        (POOL, m.slot(3, ALICE)),
        (TOKEN, array),
        (TOKEN, m.element(array, 6)),
    }


def test_what_was_amid_an_array_is_expected_where_it_made_a_call_run_again() -> None:
    forecaster = Forecaster()
    for index in (3, 5):
        forecaster.learn(call(0, POOL, VOTE, TOKEN), ALICE, voted(ALICE, 9, 8, index))
    forecaster.learn(call(0, POOL, VOTE, TOKEN), ALICE, voted(ALICE, 9, 8, 4), conflicted=True)

    m = Mappings()
    reads = forecaster.forecast(0, call(0, POOL, VOTE, TOKEN), ALICE).reads
    found = {i for i in range(9) if (TOKEN, m.element(m.slot(8, ALICE), i)) in reads}
    assert found == {4}  # nothing is known of the length there


def test_the_next_block_counts_from_its_own_state() -> None:
    forecaster = Forecaster()
    for count in (3, 4):
        forecaster.learn(call(0, POOL, FILE), ALICE, filed(count))
    for holds in (7, 7, 2**256 - 1):
        forecaster.begin(Holding({POOL: {2: holds}}))
        writes = forecaster.forecast(0, call(0, POOL, FILE), ALICE).writes
        next_one = {(POOL, claim(8))} if holds == 7 else set()  # wraps to zero: nothing is there
        assert slots(writes) == {(POOL, 2)} | next_one


def test_one_that_ceases_to_count_is_a_mere_variable() -> None:
    forecaster = Forecaster()
    for count in (3, 4):
        forecaster.learn(call(0, POOL, FILE), ALICE, filed(count))
    jump = filed(9)
    jump.effects.slots[POOL][2] = 500
    forecaster.learn(call(0, POOL, FILE), ALICE, jump, conflicted=True)
    forecaster.begin(Holding({POOL: {2: 40}}))

    for index in range(2):
        writes = forecaster.forecast(index, call(0, POOL, FILE), ALICE).writes
        assert (POOL, claim(41)) in writes  # nobody expects 42


def paid(number: int, policy: int, holder: bytes) -> Speculation:
    """``policies[claims[number].policy].holder`` is paid: three mappings deep."""
    m = Mappings()
    entry, insured = m.slot(9, number), m.slot(5, policy)
    balance = m.slot(4, holder)
    speculation = touched(writes={(TOKEN, balance)}, mappings=m)
    speculation.observations.slots = {
        POOL: {entry: 3 << 128 | policy, insured: int.from_bytes(holder, "big") << 64 | 9},
        TOKEN: {balance: 1000},
    }
    return speculation


def test_what_a_slot_holds_names_the_next_slot_and_that_an_account() -> None:
    forecaster = Forecaster()
    for number, policy, holder in ((1, 7, BOB), (2, 8, CAROL)):
        forecaster.learn(call(0, POOL, PAY, number), ALICE, paid(number, policy, holder))
    asked = paid(30, 12, DAVE)
    forecaster.begin(Holding(asked.observations.slots))

    forecast = forecaster.forecast(0, call(0, POOL, PAY, 30), ALICE)

    assert slots(forecast.reads) == {
        (address, slot) for address, held in asked.observations.slots.items() for slot in held
    }
    assert slots(forecast.writes) == {(TOKEN, Mappings().slot(4, DAVE))}


def test_what_an_earlier_transaction_of_the_block_has_made_is_no_surprise() -> None:
    """A policy that is taken out and paid for in the same block: its holder is not in the state
    yet when the payment is forecast, but how it is found was known."""
    forecaster = Forecaster()
    for number in range(100):
        payment = call(0, POOL, PAY, 1 << 80 | number)
        asked = forecaster.forecast(0, payment, ALICE)
        holder = keccak(word(number))[:20]
        forecaster.learn(payment, ALICE, paid(1 << 80 | number, 9, holder))
    assert (POOL, Mappings().slot(5, holder)) not in asked.writes
    assert (
        sum(
            forecaster.forecast(0, call(0, POOL, PAY, number), ALICE).teaches
            for number in range(100)
        )
        < 20
    )


def test_the_better_a_function_is_known_the_less_of_its_calls_are_looked_at() -> None:
    """And again more of them after a surprise."""
    forecaster = Forecaster()

    def teaching(calls: int, *read: int, conflicted: bool = False) -> int:
        """How many of so many calls teach that read these slots."""
        taught = 0
        for _ in range(calls):
            transaction = call(0, TOKEN, TRANSFER, BOB)
            taught += forecaster.forecast(0, transaction, ALICE).teaches
            found = touched(reads={(TOKEN, slot) for slot in read})
            forecaster.learn(transaction, ALICE, found, conflicted)
        return taught

    assert teaching(32, 1) == 32
    while teaching(8, 1) > 1:  # the first call was a surprise
        pass
    assert [teaching(8, 1) for _ in range(90)] == [1] * 90
    teaching(8 * 8, 1)
    assert [teaching(64, 1) for _ in range(4)] == [1] * 4
    assert teaching(1, 1, 2, conflicted=True) <= 1
    assert sum(teaching(8, 1, 2) for _ in range(8)) == 8
    assert slots(forecaster.forecast(0, call(0, TOKEN, TRANSFER, BOB), ALICE).reads) == {
        (TOKEN, 1),
        (TOKEN, 2),
    }


def test_what_the_database_lacks_is_not_expected() -> None:
    class Torn(Holding):
        def slot(self, address: bytes, slot: int) -> int:
            raise EVMMissingData

        def code_hash(self, address: bytes) -> bytes:
            raise EVMMissingData

    forecaster = Forecaster()
    for count in (3, 4):
        forecaster.learn(call(0, POOL, FILE), ALICE, filed(count))
    forecaster.begin(Torn({}))

    assert slots(forecaster.forecast(0, call(0, POOL, FILE), ALICE).writes) == {(POOL, 2)}
    assert forecaster.forecast(1, call(0, OTHER_POOL, FILE), ALICE).puzzle is not None


def test_a_number_that_a_slot_of_its_own_name_holds() -> None:
    """What is found by what it holds itself is not explained by it."""
    m = Mappings()
    slot = m.slot(9, 5)
    speculation = touched(reads={(POOL, slot)}, mappings=m)
    speculation.observations.slots[POOL][slot] = 5
    forecaster = Forecaster()
    forecaster.learn(call(0, POOL, PAY), ALICE, speculation)
    forecaster.begin(Holding({POOL: {slot: 5}}))

    assert slots(forecaster.forecast(0, call(0, POOL, PAY), ALICE).reads) == {(POOL, slot)}


#
# Contracts with the same code
#
POOL_CODE, OTHER_CODE = b"\x01" * 32, b"\x02" * 32


def with_code(speculation: Speculation, pool: bytes = POOL) -> Speculation:
    speculation.observations.cells[pool, CODE] = POOL_CODE
    return speculation


def test_what_one_contract_does_is_expected_of_another_with_its_code() -> None:
    forecaster = Forecaster()
    for count in (3, 4):
        forecaster.learn(call(0, POOL, FILE), ALICE, with_code(filed(count)))
    forecaster.begin(Holding({OTHER_POOL: {2: 9}}, {OTHER_POOL: POOL_CODE, PAIR: OTHER_CODE}))

    forecast = forecaster.forecast(0, call(0, OTHER_POOL, FILE), ALICE)

    assert forecast.puzzle is None
    assert slots(forecast.writes) == {(OTHER_POOL, 2), (OTHER_POOL, claim(10))}
    assert forecaster.forecast(1, call(0, PAIR, FILE), ALICE).puzzle is not None
    assert forecaster.forecast(2, call(0, OTHER_POOL, PAY), ALICE).puzzle is not None
    assert held(forecaster)


def test_what_belongs_to_one_contract_is_not_expected_of_another() -> None:
    forecaster = Forecaster()
    for count in (3, 4):
        speculation = with_code(filed(count))
        speculation.observations.slots[POOL][2**200] = 6  # a constant, wherever it comes from
        forecaster.learn(call(0, POOL, FILE, count), ALICE, speculation)
        forecaster.learn(call(0, POOL, PAY, BOB), ALICE, with_code(touched(reads={(POOL, 2**201)})))
    forecaster.begin(Holding({}, {OTHER_POOL: POOL_CODE}))

    reads = forecaster.forecast(0, call(0, OTHER_POOL, PAY, BOB), ALICE).reads
    assert slots(reads) == set()


def test_a_contract_learns_for_itself_from_then_on() -> None:
    forecaster = Forecaster()
    for count in (3, 4):
        forecaster.learn(call(0, POOL, FILE), ALICE, with_code(filed(count)))
    forecaster.begin(Holding({}, {OTHER_POOL: POOL_CODE}))
    forecaster.forecast(0, call(0, OTHER_POOL, FILE), ALICE)
    more = with_code(touched(writes={(OTHER_POOL, 33)}), OTHER_POOL)
    forecaster.learn(call(0, OTHER_POOL, FILE), ALICE, more, conflicted=True)

    ours, others = (
        slots(forecaster.forecast(index, call(0, pool, FILE), ALICE).writes)
        for index, pool in enumerate((OTHER_POOL, POOL))
    )
    assert (OTHER_POOL, 33) in ours
    assert (POOL, 33) not in others


#
# What counts as a write
#
def test_writes_that_change_nothing_are_reads() -> None:
    speculation = touched(reads={(PAIR, 1), (PAIR, 2)})
    speculation.effects.slots[PAIR] = {1: 5, 2: 6}  # the lock is taken and given back
    forecaster = Forecaster()
    forecaster.learn(call(0, PAIR, SWAP), ALICE, speculation)

    forecast = forecaster.forecast(0, call(1, PAIR, SWAP), BOB)

    assert slots(forecast.reads) == {(PAIR, 1), (PAIR, 2)}
    assert slots(forecast.writes) == {(PAIR, 2)}


def test_nonces_and_code_of_contracts_count_and_touching_does_not() -> None:
    speculation = touched()
    speculation.observations.cells |= {
        (ROUTER, NONCE): 1,
        (ROUTER, CODE): b"\x01" * 32,
        (PAIR, CODE): EMPTY_SHA3,
        (ORACLE, LIFE): True,
    }
    speculation.effects.cells |= {
        (ALICE, NONCE): 1,
        (ROUTER, NONCE): 2,
        (ROUTER, LIFE): True,
        (PAIR, CODE): b"\x02" * 32,
        (PAIR, LIFE): True,
    }
    forecaster = Forecaster()
    forecaster.learn(call(0, ROUTER, SWAP), ALICE, speculation)

    forecast = forecaster.forecast(0, call(1, ROUTER, SWAP), BOB)

    assert forecast.writes == {(BOB, NONCE), (BOB, BALANCE), (ROUTER, NONCE), (PAIR, CODE)}
    assert forecast.reads == {(BOB, NONCE), (ROUTER, NONCE), (ROUTER, CODE), (PAIR, CODE)}


def test_credits_count_where_the_recipient_was_called_and_fees_do_not() -> None:
    coinbase = b"\xfe" * 20
    speculation = touched()
    speculation.observations.cells |= {(PAIR, CODE): b"\x01" * 32, (ORACLE, BALANCE): 9}
    speculation.effects.deltas |= {ALICE: -30_007, PAIR: 7, coinbase: 30_000, ORACLE: 0}
    forecaster = Forecaster()
    forecaster.learn(call(0, ROUTER, SWAP), ALICE, speculation)

    forecast = forecaster.forecast(0, call(1, ROUTER, SWAP), BOB)

    assert forecast.writes == {(BOB, NONCE), (BOB, BALANCE), (PAIR, BALANCE)}
    assert forecast.reads == {(BOB, NONCE), (PAIR, CODE), (ORACLE, BALANCE)}


def test_a_plain_transfer_to_code_that_stores_is_learned() -> None:
    forecaster = Forecaster()
    m = Mappings()
    forecaster.learn(
        pay(0, TOKEN, value=1),
        ALICE,
        touched(writes={(TOKEN, m.slot(4, ALICE))}, mappings=m),
    )
    forecaster.learn(pay(0, BOB, value=1), ALICE, touched())

    writes = forecaster.forecast(0, pay(1, TOKEN, value=1), BOB).writes
    assert slots(writes) == {(TOKEN, m.slot(4, BOB))}
    assert forecaster.forecast(0, pay(1, BOB, value=1), BOB).gas == 21_000


#
# Constants and their context
#
def swap(sender: int, *path: bytes) -> tuple[Any, set[Key], Mappings]:
    """A swap through the pair of each two neighbours of ``path``; its recipient is the sender."""
    m = Mappings()
    written: set[Key] = {(path[0], m.slot(4, PEOPLE[sender]))}
    for one, other in pairwise(path):
        pair = pair_of(one, other)
        written |= {(pair, 10), (one, m.slot(4, pair)), (other, m.slot(4, pair))}
    arguments = [1000, 1, 160, PEOPLE[sender], 2**40, len(path), *path]
    return call(sender, ROUTER, SWAP, *arguments), written, m


def pair_of(one: bytes, other: bytes) -> bytes:
    return keccak(min(one, other) + max(one, other))[12:]


QUOTE = b"\x11" * 20
TOKENS = [bytes([0x20 + n]) * 20 for n in range(12)]


def learned(*swaps: tuple[Any, set[Key], Mappings]) -> Forecaster:
    forecaster = Forecaster()
    for transaction, written, m in swaps:
        forecaster.learn(transaction, transaction.sender, touched(writes=written, mappings=m))
    return forecaster


def test_the_pair_of_two_tokens_is_expected_from_anybody_who_trades_them() -> None:
    forecaster = learned(swap(0, TOKENS[0], QUOTE), swap(1, TOKENS[1], QUOTE))

    for token in TOKENS[:2]:
        transaction, written, _ = swap(2, token, QUOTE)
        forecast = forecaster.forecast(0, transaction, CAROL)
        assert slots(forecast.writes) == written
    back, written, m = swap(2, QUOTE, TOKENS[0])
    paid = {(TOKENS[0], m.slot(4, CAROL))}  # tokens were paid in before; now they are paid out
    assert slots(forecaster.forecast(0, back, CAROL).writes) - paid == written


def test_a_path_through_two_known_pairs_is_expected_before_it_was_ever_taken() -> None:
    forecaster = learned(swap(0, TOKENS[0], QUOTE), swap(1, QUOTE, TOKENS[1]))

    transaction, written, _ = swap(2, TOKENS[0], QUOTE, TOKENS[1])
    assert written <= forecaster.forecast(0, transaction, CAROL).writes


def test_trades_in_different_pairs_run_apart() -> None:
    forecaster = learned(*(swap(n % 8, token, QUOTE) for n, token in enumerate(TOKENS)))
    block = [swap(n, TOKENS[n % 4], QUOTE)[0] for n in range(8)]
    forecasts = [forecaster.forecast(i, t, t.sender) for i, t in enumerate(block)]

    assert sorted(plan(forecasts, 4)) == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_unfamiliar_arguments_that_are_shared_share_a_lane() -> None:
    forecaster = learned(*(swap(n % 8, token, QUOTE) for n, token in enumerate(TOKENS[:10])))
    block = [swap(0, TOKENS[10], QUOTE), swap(1, TOKENS[11], QUOTE), swap(2, QUOTE, TOKENS[10])]
    forecasts = [forecaster.forecast(i, t, t.sender) for i, (t, *_) in enumerate(block)]

    puzzles = [forecast.puzzle for forecast in forecasts]
    assert puzzles[0] == puzzles[2] != puzzles[1]
    assert None not in puzzles
    assert sorted(plan(forecasts, 2)) == [[0, 2], [1]]


def test_what_two_pairs_have_in_common_does_not_tie_a_third_to_them() -> None:
    """Nothing is known of the pair of a new token, be the other one as well known as it may."""
    forecaster = learned(*(swap(n, token, QUOTE) for n, token in enumerate(TOKENS[:3])))
    block = [swap(4, TOKENS[10], QUOTE), swap(5, TOKENS[0], QUOTE), swap(6, TOKENS[1], QUOTE)]
    forecasts = [forecaster.forecast(i, t, t.sender) for i, (t, *_) in enumerate(block)]

    assert sorted(plan(forecasts, 3)) == [[0], [1], [2]]


def test_another_function_knows_what_an_argument_stands_for() -> None:
    forecaster = learned(*(swap(n % 8, token, QUOTE) for n, token in enumerate(TOKENS[:4])))
    pair = pair_of(TOKENS[3], QUOTE)
    withdraw = b"\xba\xa2\xab\xde"
    first = call(0, ROUTER, withdraw, TOKENS[0], QUOTE, 5)
    forecaster.learn(first, ALICE, touched(writes={(pair_of(TOKENS[0], QUOTE), 10)}))

    forecast = forecaster.forecast(0, call(1, ROUTER, withdraw, TOKENS[3], QUOTE, 5), BOB)
    assert (pair, 10) in forecast.writes


def test_constants_that_all_calls_share_are_expected_of_everybody() -> None:
    forecaster = Forecaster()
    for sender, asset in enumerate(TOKENS[:2]):
        transaction = call(sender, ROUTER, SWAP, asset)
        forecaster.learn(transaction, PEOPLE[sender], touched(reads={(ORACLE, 2**250)}))

    forecast = forecaster.forecast(0, call(2, ROUTER, SWAP, TOKENS[5]), CAROL)
    assert slots(forecast.reads) == {(ORACLE, 2**250)}


def test_constants_that_change_from_call_to_call_are_not() -> None:
    """An append-only array: every call writes the next element."""
    forecaster = Forecaster()
    for n in range(6):
        written = {(TOKEN, 1), (TOKEN, 2**255 + n)}
        forecaster.learn(call(n, TOKEN, TRANSFER), PEOPLE[n], touched(writes=written))

    writes = forecaster.forecast(0, call(6, TOKEN, TRANSFER), PEOPLE[6]).writes
    assert slots(writes) == {(TOKEN, 1)}


#
# Change of mind
#
def test_what_calls_no_longer_touch_is_forgotten_and_what_some_touch_is_kept() -> None:
    forecaster = Forecaster()
    forecaster.learn(call(0, TOKEN, SWAP), ALICE, touched(writes={(TOKEN, 1), (TOKEN, 2)}))
    for n in range(60):
        written = {(TOKEN, 2), (TOKEN, 3)} if n % 20 == 0 else {(TOKEN, 2)}
        forecaster.learn(call(0, TOKEN, SWAP), ALICE, touched(writes=written))

    writes = forecaster.forecast(0, call(1, TOKEN, SWAP), BOB).writes
    assert slots(writes) == {(TOKEN, 2), (TOKEN, 3)}


def test_what_is_no_longer_changed_becomes_a_read() -> None:
    forecaster = Forecaster()
    forecaster.learn(call(0, TOKEN, SWAP), ALICE, touched(writes={(TOKEN, 1)}))
    for _ in range(60):
        forecaster.learn(call(0, TOKEN, SWAP), ALICE, touched(reads={(TOKEN, 1)}))

    forecast = forecaster.forecast(0, call(1, TOKEN, SWAP), BOB)
    assert slots(forecast.reads) == {(TOKEN, 1)}
    assert slots(forecast.writes) == set()


def test_calls_that_fail_early_do_not_unteach() -> None:
    forecaster = Forecaster()
    forecaster.learn(call(0, TOKEN, SWAP), ALICE, touched(writes={(TOKEN, 1), (TOKEN, 2)}))
    for _ in range(20):
        failed = touched(reads={(TOKEN, 1)}, success=False)
        forecaster.learn(call(0, TOKEN, SWAP), ALICE, failed)

    writes = forecaster.forecast(0, call(1, TOKEN, SWAP), BOB).writes
    assert slots(writes) == {(TOKEN, 1), (TOKEN, 2)}


def test_expected_gas_follows_what_is_used() -> None:
    forecaster = Forecaster()
    forecaster.learn(call(0, TOKEN, SWAP), ALICE, touched(gas=10_000))
    for _ in range(40):
        forecaster.learn(call(0, TOKEN, SWAP), ALICE, touched(gas=90_000))

    assert forecaster.forecast(0, call(1, TOKEN, SWAP), BOB).gas == pytest.approx(111_000, rel=0.01)


#
# Bounds
#
def test_memory_is_bounded_and_the_contracts_in_use_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forecast_module, "_MAX_SIZE", 100)
    forecaster = Forecaster()
    in_use = call(0, TOKEN, TRANSFER)
    forecaster.learn(in_use, ALICE, touched(writes={(TOKEN, 1)}))
    for n in range(300):
        stranger = call(0, keccak(bytes([n % 256, n // 256]))[12:], SWAP)
        forecaster.learn(stranger, ALICE, touched(writes={(PAIR, slot) for slot in range(5)}))
        assert forecaster.forecast(0, in_use, ALICE).puzzle is None
        assert held(forecaster) <= 100


def test_functions_of_one_contract_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast_module, "_MAX_SIZE", 100)
    forecaster = Forecaster()
    for n in range(300):  # a fallback that takes any selector, and touches nothing
        forecaster.learn(call(0, TOKEN, word(n)[-4:], 1), ALICE, touched())
        assert held(forecaster) <= 100


def test_one_function_is_bounded() -> None:
    forecaster = Forecaster()
    for n in range(40):
        written = {(TOKEN, 2**200 + 1000 * n + slot) for slot in range(250)}
        forecaster.learn(call(0, TOKEN, SWAP, TOKENS[n % 12]), ALICE, touched(writes=written))

    assert held(forecaster) <= 2048 + 1


def test_remembered_hashes_are_bounded_and_no_forecast_rests_on_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forecast_module, "_MAX_DIGESTS", 3)
    forecaster, mappings = Forecaster(), Mappings()
    balance = (TOKEN, mappings.slot(4, ALICE))
    forecaster.learn(
        call(0, TOKEN, TRANSFER, BOB), ALICE, touched(writes={balance}, mappings=mappings)
    )
    for n in range(20):
        person = keccak(bytes([n]))[12:]
        forecast = forecaster.forecast(0, call(0, TOKEN, TRANSFER, BOB), person)
        assert slots(forecast.writes) == {(TOKEN, Mappings().slot(4, person))}
        assert len(forecaster._digests) <= 3 + 1


def held(forecaster: Forecaster) -> int:
    """Templates and accesses, counted; the running total must agree."""
    templates = [
        template for functions in forecaster._contracts.values() for template in functions.values()
    ]
    size = sum(1 + len(template) for template in templates)
    assert size == forecaster._size
    for template in templates:
        entries = sum(len(b.entries) for b in template._bundles.values())
        assert len(template) == entries + len(template._tallies)
    return size


#
# Any history
#
accounts = st.sampled_from([TOKEN, ROUTER, PAIR, ALICE, TOKENS[0], TOKENS[1]])
values = st.one_of(accounts, st.integers(0, 6), st.sampled_from([2**256 - 1, 2**160, 2**96]))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Any, bytes, Speculation]]:
    history = []
    for _ in range(draw(st.integers(1, 8))):
        m, sender = Mappings(), draw(st.integers(0, 2))
        arguments = draw(st.lists(values, max_size=4))
        pool = st.one_of(
            st.sampled_from([0, 1, 7, 2**64, 2**256 - 1]),
            st.builds(m.slot, st.integers(0, 5), values),
            st.builds(m.slot, st.integers(0, 5), values, st.just(PEOPLE[sender])),
        )
        arrays = st.builds(m.slot, st.integers(0, 5), values)
        elements = st.builds(m.element, arrays, st.integers(0, 9))
        keys = st.sets(st.tuples(accounts, pool), max_size=5)
        changes = st.sets(st.tuples(accounts, st.one_of(pool, elements)), max_size=5)
        speculation = touched(
            reads=draw(keys), writes=draw(changes), mappings=m, success=draw(st.booleans())
        )
        if draw(st.booleans()):
            speculation.preimages = None
        data = draw(st.sampled_from([TRANSFER, SWAP, b""])) + b"".join(map(word, arguments))
        transaction = SimpleNamespace(
            to=draw(st.sampled_from([TOKEN, ROUTER])),
            data=data,
            gas=100_000,
            nonce=0,
            access_list=(),
        )
        history.append((transaction, PEOPLE[sender], speculation))
    return history


@drawn(60)
@given(histories())
def test_what_was_touched_twice_running_is_expected_the_third_time(
    history: list[tuple[Any, bytes, Speculation]],
) -> None:
    forecaster, twin = Forecaster(), Forecaster()
    for transaction, sender, speculation in history:
        for _ in range(2):
            forecaster.learn(transaction, sender, speculation)
            twin.learn(transaction, sender, speculation)
        for each in (forecaster, twin):
            each.begin(Holding(speculation.observations.slots))
        forecast = forecaster.forecast(0, transaction, sender)

        same = twin.forecast(0, transaction, sender)
        assert replace(forecast, call=None) == replace(same, call=None)
        read = {(a, slot) for a, known in speculation.observations.slots.items() for slot in known}
        written = {(a, slot) for a, known in speculation.effects.slots.items() for slot in known}
        if read:
            assert read <= forecast.reads
            assert written <= forecast.writes
        held(forecaster)


#
# A real contract
#
class Genesis(AccountSource):
    """People with ether, and nothing else."""

    def account(self, address: bytes) -> Account | None:
        return Account(0, 10**24, EMPTY_SHA3) if address in PEOPLE else None

    def slot(self, address: bytes, slot: int) -> int:
        return 0


class Contract:
    """One on a state of its own; its owner is the first of `PEOPLE`."""

    def __init__(self, name: str, *arguments: Any, translate: bool = True) -> None:
        context = ExecutionContext(
            coinbase=b"\xfe" * 20,
            timestamp=1_700_000_000,
            block_number=1,
            difficulty=0,
            mix_hash=ZERO_HASH32,
            gas_limit=10**9,
            prev_hashes=(),
            chain_id=CHAIN_ID,
            base_fee_per_gas=10**6,
            excess_blob_gas=0,
        )
        state_class = speculative_state(CancunVM.get_state_class(), Liberties(translate=translate))
        self.state = FlatState(Genesis())
        self._lane = Speculator(state_class, context, self.state, last=100)
        self._artifact = artifacts.load(name)
        self._nonces = dict.fromkeys(range(len(PEOPLE)), 0)
        self._runs = 0
        creation = self._artifact.creation_data(arguments)
        created = self.run(self._signed(0, CREATE_CONTRACT_ADDRESS, creation, 5_000_000)).outcome
        assert created is not None and created.create_address is not None
        self._address = created.create_address

    def _signed(self, sender: int, to: bytes, data: bytes, gas: int) -> Any:
        self._nonces[sender] += 1
        unsigned = BUILDER.create_unsigned_transaction(
            nonce=self._nonces[sender] - 1, gas_price=10**9, gas=gas, to=to, value=0, data=data
        )
        return unsigned.as_signed_transaction(SIGNERS[sender], chain_id=CHAIN_ID)

    def call(self, sender: int, function: str, *arguments: Any, gas: int = 200_000) -> Any:
        data = self._artifact.functions[function].encode(arguments)
        return self._signed(sender, self._address, data, gas)

    def run(self, signed: Any) -> Speculation:
        speculation = self._lane.run(self._runs, signed)
        self._runs += 1
        assert speculation.outcome is not None
        assert speculation.outcome.is_success
        return speculation


def test_transfers_of_a_real_token_are_forecast_to_the_last_key() -> None:
    token = Contract("Stablecoin", "Dollar", "USD", 18)
    token.run(token.call(0, "mintBatch", tuple(PEOPLE), 10**20, gas=1_000_000))

    forecaster = Forecaster()
    for teaching in (
        token.call(0, "transfer", BOB, 5),
        token.call(1, "approve", CAROL, 10**18),
        token.call(2, "transferFrom", BOB, DAVE, 7),
    ):
        forecaster.learn(teaching, teaching.sender, token.run(teaching))

    block = [
        token.call(3, "transfer", PEOPLE[4], 1),
        token.call(5, "approve", PEOPLE[6], 10**18),
        token.call(6, "transferFrom", PEOPLE[5], PEOPLE[7], 3),
        token.call(4, "transfer", PEOPLE[3], 1),
        token.call(2, "transferFrom", BOB, ALICE, 8),
    ]
    forecasts = [forecaster.forecast(i, t, t.sender) for i, t in enumerate(block)]
    for signed, forecast in zip(block, forecasts, strict=True):
        speculation = token.run(signed)
        observed, wrote = speculation.observations.slots, speculation.effects.slots
        assert slots(forecast.reads) == {(a, s) for a, known in observed.items() for s in known}
        assert slots(forecast.writes) == {(a, s) for a, known in wrote.items() for s in known}
        assert speculation.outcome is not None
        assert forecast.gas - 21_000 == pytest.approx(speculation.outcome.gas_used, rel=0.05)
    assert sorted(plan(forecasts, 3)) == [[0, 3], [1, 2], [4]]


@pytest.mark.parametrize("translate", [False, True])
def test_the_checkpoints_of_a_real_token_are_forecast_to_the_last_key(translate: bool) -> None:
    """``_votes[account].push(...)``, later in the block ``_votes[account][length - 1]``."""
    token = Contract("VoteToken", "Votes", "VOTE", translate=translate)
    token.run(token.call(0, "mintBatch", tuple(PEOPLE), 10**20, gas=2_000_000))

    forecaster = Forecaster()
    for teaching in (token.call(0, "delegate", BOB), token.call(2, "delegate", BOB)):
        forecaster.learn(teaching, teaching.sender, token.run(teaching))

    forecaster.begin(token.state)
    for teaching in (token.call(3, "delegate", PEOPLE[4]), token.call(5, "delegate", PEOPLE[4])):
        forecast = forecaster.forecast(0, teaching, teaching.sender)
        speculation = token.run(teaching)
        observed, wrote = speculation.observations.slots, speculation.effects.slots
        assert slots(forecast.reads) >= {(a, s) for a, known in observed.items() for s in known}
        assert slots(forecast.writes) >= {(a, s) for a, known in wrote.items() for s in known}
