"""What people do to chains, VMs and states by hand: patched objects, databases and opcodes.

Test tools (titanoboa, tracers) work in this way. Everything comes out as with py-evm, or the same
exception is raised; where a block cannot run in parallel any more, its report says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth.db.account import AccountDB
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth.vm.message import Message
from eth.vm.opcode import Opcode
from eth.vm.transaction_context import BaseTransactionContext
from eth_utils.exceptions import ValidationError

from parallel_evm import BlockReport, ParallelConfig, parallelize
from parallel_evm.forks import since
from parallel_evm.workloads.forks import fork
from tests.strategies import (
    CONTRACTS,
    EMPTY,
    ETHER,
    GENESIS_TIMESTAMP,
    GHOST,
    IN_PLACE,
    SENDERS,
    Act,
    Pen,
    account,
    assemble,
    state_of,
)

COUNTER = CONTRACTS["counter"]
HISTORIAN = CONTRACTS["historian"]
SSTORE = 0x55
WAYS: list[dict[str, Any]] = [
    {"workers": 1, "backend": "serial"},
    {"workers": 1, **IN_PLACE},
    {"workers": 2, "backend": "process"},
    {"workers": 1, "backend": "serial", "direct": False},
]


@pytest.fixture(params=WAYS, ids=["serial", "in place", "process", "layers"])
def options(request: pytest.FixtureRequest) -> Any:
    return request.param


class Hand:
    """A chain whose VM somebody has got hold of."""

    def __init__(self, name: str, chain_class: Any) -> None:
        self.database = MemoryDB()
        parameters = {"difficulty": 0, "gas_limit": 10**7, "timestamp": GENESIS_TIMESTAMP}
        poor = {sender: account(ETHER) for sender in SENDERS}
        genesis = state_of(name) if name in since("byzantium") else poor
        self.chain: Any = chain_class.from_genesis(AtomicDB(self.database), parameters, genesis)
        self._pen = Pen(fork(name), self.chain)
        parent = self.chain.get_canonical_head()
        self.header = self.chain.create_header_from_parent(parent, timestamp=GENESIS_TIMESTAMP + 9)
        self.vm: Any = self.chain.get_vm(self.header)
        self.state: Any = self.vm.state

    def sign(self, *acts: Act) -> list[Any]:
        return [self._pen.sign(act) for act in acts]

    def block(self, *acts: Act) -> Any:
        header, receipts, computations = self.vm.apply_all_transactions(
            self.sign(*acts), self.header
        )
        answers = [(done.output, done.get_gas_used()) for done in computations]
        return header, receipts, answers, self.state.make_state_root()


Deed = Callable[[Hand], Any]


def told(deed: Deed, hand: Hand) -> Any:
    try:
        return deed(hand)
    except Exception as error:
        return type(error), str(error)


def same(deed: Deed, options: dict[str, Any], name: str = "shanghai") -> tuple[Any, Any]:
    """What the deed comes to, which is the same in both; and the report of the last block."""
    reports: list[BlockReport] = []
    config = ParallelConfig(on_block=reports.append, **options)
    stock: Any = fork(name).chain_class
    expected = told(deed, Hand(name, stock))
    assert told(deed, Hand(name, parallelize(stock, config=config))) == expected
    return expected, reports[-1] if reports else None


PAYMENT = Act(0, GHOST, value=1)
COUNT = Act(1, COUNTER)


def test_what_fails_while_speculating_fails_in_its_turn(options: dict[str, Any]) -> None:
    """An ancestor that the database lacks: py-evm's generator of hashes fails once, then ends."""
    parent, further = [Act(2, HISTORIAN, data=back.to_bytes(32, "big")) for back in (1, 2)]

    def orphan(hand: Hand) -> Hand:
        hand.header = hand.header.copy(parent_hash=b"\x77" * 32)
        hand.vm = hand.chain.get_vm(hand.header)
        return hand

    for deed in (
        lambda hand: orphan(hand).block(PAYMENT, parent),
        lambda hand: orphan(hand).vm.apply_transaction(hand.header, *hand.sign(parent)),
        lambda hand: hand.chain.estimate_gas(*hand.sign(further), orphan(hand).header),
    ):
        found, _ = same(deed, options)
        assert found[0].__name__ == "HeaderNotFound"


def tracing(computation_class: Any, calls: list[bytes]) -> Any:
    class Tracing(computation_class):  # type: ignore[misc]
        @classmethod
        def apply_message(cls, state: Any, message: Any, *further: Any, **named: Any) -> Any:
            calls.append(message.to)
            if len(calls) == 1:
                raise RuntimeError("stop here")
            return super().apply_message(state, message, *further, **named)

    return Tracing


def test_another_computation_class_on_the_state_stays_there(options: dict[str, Any]) -> None:
    def deed(hand: Hand) -> Any:
        calls: list[bytes] = []
        hand.state.computation_class = own = tracing(hand.state.computation_class, calls)
        first, refused, last = hand.sign(COUNT, Act(3, GHOST, spoilt="future"), COUNT)
        outcomes = []
        for transaction in (first, refused, first, last):  # the first one is stopped
            try:
                receipt, _ = hand.vm.apply_transaction(hand.header, transaction)
                outcomes.append(receipt.gas_used)
            except (RuntimeError, ValidationError) as error:
                outcomes.append(str(error))
        return outcomes, calls, hand.state.computation_class is own

    (outcomes, calls, is_there), _ = same(deed, options)
    assert outcomes[0] == "stop here"
    assert len(calls) == 1 + sum(isinstance(outcome, int) for outcome in outcomes) > 1
    assert is_there


def on_object(name: str, value: Callable[[Hand, list[Any]], Any], of_state: bool) -> Deed:
    def deed(hand: Hand) -> Any:
        log: list[Any] = [None]
        setattr(hand.state if of_state else hand.vm, name, value(hand, log))
        return hand.block(PAYMENT, Act(2, HISTORIAN, data=(1).to_bytes(32, "big")), COUNT), log

    return deed


def noting(thing: Any, name: str) -> Callable[[Hand, list[Any]], Any]:
    def value(hand: Hand, log: list[Any]) -> Any:
        own = getattr(thing(hand), name)

        def noted(*arguments: Any) -> Any:
            log.append(name)
            return own(*arguments)

        return noted

    return value


def refusing(hand: Hand, log: list[Any]) -> Any:
    def refuse(*arguments: Any) -> None:
        raise ValueError("not today")

    return refuse


@pytest.mark.parametrize(
    ("name", "value", "of_state"),
    [
        ("computation_class", lambda hand, log: tracing(hand.state.computation_class, log), True),
        ("get_ancestor_hash", lambda hand, log: lambda number: b"\x0a" * 32, True),
        ("apply_transaction", noting(lambda hand: hand.state, "apply_transaction"), True),
        ("apply_transaction", noting(lambda hand: hand.vm, "apply_transaction"), False),
        ("transaction_applied_hook", lambda hand, log: lambda *a: log.append(a[0]), False),
        ("validate_transaction_against_header", refusing, False),
    ],
)
def test_what_is_set_on_an_object_counts(
    name: str, value: Any, of_state: bool, options: dict[str, Any]
) -> None:
    _, report = same(on_object(name, value, of_state), options)
    if report is not None:
        assert f".{name} was set on the object" in report.fallback


def test_storage_of_an_account_that_does_not_exist(options: dict[str, Any]) -> None:
    """It goes when the account is touched (EIP-161)."""

    def deed(hand: Hand) -> Any:
        hand.state.set_storage(GHOST, 2, 5)
        done = hand.block(*[Act(sender, GHOST) for sender in range(3)])
        return done, hand.state.get_storage(GHOST, 2), hand.state.account_exists(GHOST)

    for name in ("byzantium", "shanghai", "prague"):
        found, report = same(deed, options, name)
        assert found[1:] == (0, False)
        assert report.fallback is None


@pytest.mark.parametrize("place", ["state", "class"])
def test_another_account_database(place: str, options: dict[str, Any]) -> None:
    code = assemble(1, 0, "SLOAD", "ADD", 0, "SSTORE", 5, 1, "TSTORE", 1, "TLOAD", 0, "MSTORE")

    def deed(hand: Hand) -> Any:
        if place == "state":
            database = AccountDB(hand.chain.chaindb.db, hand.state.state_root)
            hand.state._account_db = database
        else:
            own = type("Own", (hand.vm._state_class,), {"account_db_class": AccountDB})
            hand.vm._state_class = own
            hand.vm._state = None
            hand.state = hand.vm.state
        kind, context = hand.state.computation_class, BaseTransactionContext(1, SENDERS[0])
        runs = [
            kind.apply_message(
                hand.state, Message(90_000, EMPTY, SENDERS[0], 1, b"", code), context
            ),
            kind.apply_create_message(
                hand.state,
                Message(90_000, b"", SENDERS[0], 5, b"", code, create_address=GHOST),
                context,
            ),
            hand.vm.execute_bytecode(SENDERS[1], 1, 90_000, EMPTY, SENDERS[2], 0, b"", code),
        ]
        receipt, _ = hand.vm.apply_transaction(hand.header, *hand.sign(PAYMENT))
        done = hand.block(COUNT, PAYMENT, COUNT)
        return [(run.is_success, run.get_gas_used(), run.output) for run in runs], receipt, done

    found, _ = same(deed, options, "cancun")
    assert [run[0] for run in found[0]] == [True, True, True]


class Traced(Opcode):
    """An opcode that says when it runs."""

    def __init__(self, operation: Any, log: list[int]) -> None:
        self._operation, self._log = operation, log
        self.mnemonic, self.gas_cost = operation.mnemonic, operation.gas_cost
        super().__init__()

    def __call__(self, computation: Any) -> Any:
        self._log.append(computation.msg.depth)
        return self._operation(computation)


@pytest.mark.parametrize("place", ["its table", "another table", "the class's table"])
def test_opcodes_exchanged_afterwards(place: str, options: dict[str, Any]) -> None:
    def deed(hand: Hand) -> Any:
        kind = hand.state.computation_class
        if place != "the class's table":
            kind = hand.state.computation_class = type("Own", (kind,), {})
        own, log = kind.opcodes[SSTORE], list[int]()
        try:
            if place == "another table":
                kind.opcodes = {**kind.opcodes, SSTORE: Traced(own, log)}
            else:
                kind.opcodes[SSTORE] = Traced(own, log)
            receipt, _ = hand.vm.apply_transaction(hand.header, *hand.sign(COUNT))
            return receipt, hand.block(COUNT, PAYMENT, COUNT), log
        finally:
            kind.opcodes[SSTORE] = own

    found, report = same(deed, options)
    assert found[-1] == [0, 0, 0]
    assert report is None or report.fallback is not None


def test_transactions_that_are_no_sequence(options: dict[str, Any]) -> None:
    for given in (iter, lambda signed: (each for each in signed), lambda signed: None):

        def deed(hand: Hand, given: Any = given) -> Any:
            signed = given(hand.sign(COUNT, PAYMENT, COUNT))
            return hand.vm.apply_all_transactions(signed, hand.header)[:2]

        same(deed, options)

    def mining(hand: Hand) -> Any:
        signed = hand.sign(COUNT, PAYMENT, COUNT)
        made = hand.chain.mine_all(iter(signed), timestamp=GENESIS_TIMESTAMP + 9)[0].imported_block
        return made.hash

    same(mining, options)
    for nothing in ([None], [PAYMENT]):
        found, _ = same(lambda hand, n=nothing: hand.chain.mine_all(n), options)
        assert found[0] is AttributeError


@pytest.mark.parametrize("act", ["set_nonce", "touch_account", "delete_code", "set_balance"])
def test_what_is_no_address_is_refused_at_once(act: str, options: dict[str, Any]) -> None:
    def deed(hand: Hand) -> Any:
        arguments = (1,) if act.startswith("set") else ()
        getattr(hand.state._account_db, act)(b"\x01" * 19, *arguments)

    found, _ = same(deed, options)
    assert found[0] is ValidationError


def test_transient_storage_ends_with_the_transaction(options: dict[str, Any]) -> None:
    """The last one of a block, too: nobody clears up after it."""
    transient = CONTRACTS["transient"]

    def deed(hand: Hand) -> Any:
        block = hand.block(PAYMENT, Act(1, transient))
        return block, hand.state.get_transient_storage(transient, 0)

    (block, left), _ = same(deed, options, "cancun")
    assert block[1][1].logs[0].data == (1).to_bytes(32, "big")
    assert left == b""


def test_transient_storage_comes_with_cancun(options: dict[str, Any]) -> None:
    for name, comes in (("shanghai", False), ("cancun", True)):
        found, _ = same(lambda hand: hand.state.get_transient_storage(EMPTY, 1), options, name)
        assert (found == b"") is comes


def test_headers_with_fields_of_ones_own(options: dict[str, Any]) -> None:
    found, _ = same(lambda hand: hand.chain.mine_all([], withdrawals_root=b"\x02" * 32), options)
    assert found[0].__name__ == "BlockNotFound"
    withdrawals: Any = [None]
    same(lambda hand: hand.chain.mine_all([], withdrawals=withdrawals), options, "paris")


@pytest.mark.parametrize("name", ["frontier", "homestead", "spurious-dragon", "byzantium"])
def test_the_database_holds_the_same(name: str, options: dict[str, Any]) -> None:
    """Before Byzantium, where every transaction makes a state root, as well."""

    def deed(hand: Hand) -> Any:
        code = assemble(1, 0, "SLOAD", "ADD", 0, "SSTORE")
        head = assemble(code, 0, "MSTORE", len(code), 32 - len(code), "RETURN")
        acts = [Act(0, b"", data=head), Act(1, GHOST, value=ETHER), Act(2, EMPTY, value=3)]
        for number in (1, 2):
            signed = hand.sign(*acts)
            hand.chain.mine_all(signed, timestamp=GENESIS_TIMESTAMP + 9 * number)
        return hand.database.kv_store

    same(deed, options, name)


def test_what_slots_held_before_the_last_transaction() -> None:
    """Where a receipt has made a state root, that is what they hold."""
    code = assemble(1, 0, "SLOAD", "ADD", 0, "SSTORE")

    def deed(hand: Hand) -> Any:
        hand.state.set_code(GHOST, code)
        hand.block(*[Act(sender, GHOST) for sender in range(3)])
        return [hand.state.get_storage(GHOST, 0, from_journal=now) for now in (True, False)]

    assert same(deed, WAYS[0], "homestead")[0] == [3, 3]
