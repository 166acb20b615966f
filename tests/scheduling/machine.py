"""A little machine, and a trivial sequential interpreter that is right about it.

Programs read and write a few keys; what they do depends on what they read. `interpret` runs one on
`Plain`, which is plain dictionaries, or through `Flat` on the package's own state.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from eth.constants import EMPTY_SHA3
from hypothesis import strategies as st

from parallel_evm.hashing import keccak
from parallel_evm.state.flat import FlatState
from parallel_evm.state.source import Account, AccountSource

ADDRESSES = [bytes([number]) * 20 for number in range(2)]
SLOTS = range(2)
CODES = [b"", b"\x00", b"\x60"]

Program = Sequence[tuple[Any, ...]]


class Refused(Exception):
    """The program cannot go on: its transaction would be refused."""


class Plain:
    """The interpreter's state: plain dictionaries."""

    def __init__(self, accounts: dict[bytes, dict[str, Any]]) -> None:
        self.accounts = copy.deepcopy(accounts)
        self.saved: list[Any] = []

    def _read(self, address: bytes) -> dict[str, Any]:
        return self.accounts.get(address, {"balance": 0, "nonce": 0, "code": b"", "storage": {}})

    def _write(self, address: bytes) -> dict[str, Any]:
        return self.accounts.setdefault(
            address, {"balance": 0, "nonce": 0, "code": b"", "storage": {}}
        )

    def slot(self, address: bytes, slot: int) -> int:
        return int(self._read(address)["storage"].get(slot, 0))

    def put(self, address: bytes, slot: int, value: int) -> None:
        # Writing storage does not by itself make an account: the programs touch it, too.
        self._write(address)["storage"][slot] = value

    def balance(self, address: bytes) -> int:
        return int(self._read(address)["balance"])

    def at_least(self, address: bytes, amount: int) -> bool:
        return self.balance(address) >= amount

    def add(self, address: bytes, amount: int) -> None:
        self._write(address)["balance"] += amount

    def nonce(self, address: bytes) -> int:
        return int(self._read(address)["nonce"])

    def bump(self, address: bytes) -> None:
        self._write(address)["nonce"] += 1

    def code(self, address: bytes) -> int:
        return CODES.index(self._read(address)["code"])

    def become(self, address: bytes, code: bytes) -> None:
        self._write(address)["code"] = code

    def alive(self, address: bytes) -> bool:
        return address in self.accounts

    def empty(self, address: bytes) -> bool:
        found = self._read(address)
        return not (found["balance"] or found["nonce"] or found["code"])

    def touch(self, address: bytes) -> None:
        self._write(address)

    def die(self, address: bytes) -> None:
        self.accounts.pop(address, None)

    def wipe(self, address: bytes) -> None:
        self._write(address)["storage"] = {}

    def save(self) -> None:
        self.saved.append(copy.deepcopy(self.accounts))

    def restore(self) -> None:
        self.accounts = self.saved.pop()

    def keep(self) -> None:
        self.saved.pop()


class Flat:
    """The same operations on a `FlatState`, by the methods that py-evm's rules call."""

    def __init__(self, state: FlatState) -> None:
        self.state = state
        self.saved: list[Any] = []

    def slot(self, address: bytes, slot: int) -> int:
        return self.state.get_storage(address, slot)

    def put(self, address: bytes, slot: int, value: int) -> None:
        self.state.touch_account(address)
        self.state.set_storage(address, slot, value)

    def balance(self, address: bytes) -> int:
        return self.state.get_balance(address)

    def at_least(self, address: bytes, amount: int) -> bool:
        return self.state.at_least(address, amount)

    def add(self, address: bytes, amount: int) -> None:
        self.state.delta_balance(address, amount)

    def nonce(self, address: bytes) -> int:
        return self.state.get_nonce(address)

    def bump(self, address: bytes) -> None:
        self.state.increment_nonce(address)

    def code(self, address: bytes) -> int:
        return CODES.index(self.state.get_code(address))

    def become(self, address: bytes, code: bytes) -> None:
        self.state.set_code(address, code)

    def alive(self, address: bytes) -> bool:
        return self.state.account_exists(address)

    def empty(self, address: bytes) -> bool:
        return self.state.account_is_empty(address)

    def touch(self, address: bytes) -> None:
        self.state.touch_account(address)

    def die(self, address: bytes) -> None:
        self.state.delete_account(address)

    def wipe(self, address: bytes) -> None:
        self.state.delete_storage(address)

    def save(self) -> None:
        self.saved.append(self.state.record())

    def restore(self) -> None:
        self.state.discard(self.saved.pop())

    def keep(self) -> None:
        self.state.commit(self.saved.pop())


def interpret(program: Program, state: Any) -> tuple[int, ...]:
    """Run a program; returns every value it read."""
    register, trace = 0, []
    skip = 0
    for operation, *operands in program:
        if skip:
            skip -= 1
            continue
        if operation == "skip if odd":
            skip = operands[0] if register % 2 else 0
        elif operation == "refuse if":
            if register == operands[0]:
                raise Refused
        elif operation == "put":
            address, slot, addend = operands
            state.put(address, slot, (register + addend) % 4)
        elif operation == "become":
            state.become(operands[0], CODES[(register + operands[1]) % len(CODES)])
        elif operation == "pay":
            payer, payee, amount = operands
            if state.at_least(payer, amount):
                state.add(payer, -amount)
                state.add(payee, amount)
                trace.append(-1)
            else:
                trace.append(state.balance(payer))  # as py-evm's error texts do
        elif operation == "save":
            state.save()
        elif operation == "restore or keep":
            if state.saved:
                state.restore() if register % 2 else state.keep()
        elif operation == "wipe":
            if not state.saved:  # whether it can be undone depends on what was touched before
                state.wipe(*operands)
        elif operation in ("add", "bump", "touch", "die"):
            getattr(state, operation)(*operands)
        else:
            register = int(getattr(state, operation)(*operands))
            trace.append(register)
    while state.saved:
        state.keep()
    return tuple(trace)


class Below(AccountSource):
    """The state before the block."""

    def __init__(self, accounts: dict[bytes, dict[str, Any]]) -> None:
        self._accounts = accounts

    def account(self, address: bytes) -> Account | None:
        found = self._accounts.get(address)
        if found is None:
            return None
        code_hash = keccak(found["code"]) if found["code"] else EMPTY_SHA3
        return Account(found["nonce"], found["balance"], code_hash)

    def slot(self, address: bytes, slot: int) -> int:
        found = self._accounts.get(address)
        return 0 if found is None else int(found["storage"].get(slot, 0))

    def code(self, code_hash: bytes) -> bytes:
        return {keccak(code): code for code in CODES}[code_hash]


address = st.sampled_from(ADDRESSES)
slot = st.sampled_from(SLOTS)
amount = st.sampled_from([0, 1, 1, 2, 5])
reads = st.one_of(
    st.tuples(st.just("slot"), address, slot),
    st.tuples(st.sampled_from(["balance", "nonce", "code", "alive", "empty"]), address),
    st.tuples(st.just("at_least"), address, amount),
)
writes = st.one_of(
    st.tuples(st.just("put"), address, slot, st.integers(0, 3)),
    st.tuples(st.just("pay"), address, address, amount),
    st.tuples(st.just("add"), address, amount),
    st.tuples(st.sampled_from(["bump", "touch", "die", "wipe"]), address),
    st.tuples(st.just("become"), address, st.integers(0, 2)),
)
controls = st.one_of(
    st.tuples(st.just("skip if odd"), st.integers(1, 2)),
    st.tuples(st.sampled_from(["save", "restore or keep"])),
    st.tuples(st.just("refuse if"), st.integers(0, 5)),
)


@st.composite
def programs(draw: Any) -> Program:
    """Half of them read something and, depending on what it is, write something else."""
    if draw(st.booleans()):
        return [draw(reads), ("skip if odd", 1), draw(writes)]
    return draw(st.lists(st.one_of(reads, writes, controls), min_size=1, max_size=6))


accounts = st.fixed_dictionaries(
    {
        "balance": st.integers(0, 5),
        "nonce": st.integers(0, 2),
        "code": st.sampled_from(CODES),
        "storage": st.dictionaries(slot, st.integers(1, 3)),
    }
)


def assert_same_state(flat: Flat, model: Plain) -> None:
    for place in ADDRESSES:
        assert flat.alive(place) == model.alive(place)
        assert flat.balance(place) == model.balance(place)
        assert flat.nonce(place) == model.nonce(place)
        assert flat.code(place) == model.code(place)
        for number in SLOTS:
            assert flat.slot(place, number) == model.slot(place, number)
