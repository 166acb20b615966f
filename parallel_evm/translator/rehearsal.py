"""Calls one function of a contract in a made-up world, so that its path can be recorded.

Nobody tells what arguments and what storage a function needs to get anywhere, so they are searched
for: starting from zeros, one argument, one storage slot that was read, or the answer of the other
contracts is changed at a time, and what got further is kept: an end without an error first, then
more gas. Then the same call is made once more and recorded.

Talks to: the translator, py-evm's rules, a `FlatState`. Never: touches a chain or a database. The
same input gives the same call.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from eth.vm.execution_context import ExecutionContext
from eth.vm.message import Message
from eth_abi import grammar
from eth_abi.abi import encode
from eth_abi.exceptions import ABITypeError, ParseError
from eth_typing import Address, BlockNumber, Hash32

from parallel_evm.hashing import keccak
from parallel_evm.state.flat import View
from parallel_evm.state.recorder import Recorder
from parallel_evm.state.source import Account, AccountSource
from parallel_evm.translator.computation import translating
from parallel_evm.translator.program import Program
from parallel_evm.translator.recording import Recording

NOW: Final = 1_700_000_000
GAS: Final = 2_000_000
WORDS_OF_UNKNOWN: Final = 6
"""How many argument words a function gets whose types are not known."""
ATTEMPTS: Final = 1200
GAS_OF_SEARCH: Final = 60_000_000
"""The search ends when so much gas is used: long functions are not tried as often."""

_CONTRACT: Final = Address(b"\xc0" * 20)
# As a number it is an amount that most functions can do something with: storage that holds it is
# the caller's address to one function, and a balance to another.
_CALLER: Final = Address((10**18).to_bytes(20, "big"))
_OTHERS: Final = (b"\xa1" * 20, b"\xa2" * 20)
_NUMBERS: Final = (0, 1, 2, 10**6, 10**18, 10**24, NOW - 1000, NOW + 1000, 2**112 - 1)
_STORED: Final = (
    *_NUMBERS,
    int.from_bytes(_CALLER, "big"),
    int.from_bytes(_OTHERS[0], "big"),
    10**24 << 112 | 10**24,  # two numbers in one slot, as an AMM keeps its reserves
    1 << 160 | int.from_bytes(_CALLER, "big"),  # an address and a flag behind it
    2 << 160 | int.from_bytes(_CALLER, "big"),
)
_QUESTION: Final = 36
"""Call data of a selector and one word, or less: that asks something."""


@dataclass(frozen=True)
class _Scene:
    """What a call meets: everything that the search may change."""

    arguments: tuple[Any, ...]
    value: int = 0
    storage: dict[int, int] = field(default_factory=dict)
    answer: int = 1
    """What other contracts return to a question (calls with one argument or none)."""


@dataclass(frozen=True)
class _Take:
    """How a call went."""

    scene: _Scene
    error: str
    gas: int
    burnt: bool
    """All gas is gone, as after an invalid opcode: no sign of having come far."""
    slots: tuple[int, ...]
    """What it read of its own storage."""

    @property
    def score(self) -> tuple[bool, int]:
        return not self.error, 0 if self.burnt else self.gas


@dataclass(frozen=True)
class Rehearsal:
    """A call of a function."""

    program: Program
    recording: Recording | None
    """What the call did; None where it failed in a way that is not recorded (out of gas, say)."""
    error: str
    """What the call ended with; empty if it did what it is meant to do."""


def rehearse(
    code: bytes, state_class: Any, selector: bytes, inputs: Sequence[str] | None
) -> Rehearsal:
    """Run the function of the contract ``code`` (runtime bytecode) that ``selector`` calls.

    ``state_class``: py-evm's, of the fork. ``inputs``: ABI types of its arguments, None: unknown.

    Raises ValueError for types that are none.
    """
    chance = random.Random(selector)
    stage = _Stage(code, state_class, selector, inputs)
    best = stage.play(_Scene(stage.arguments(lambda kind: kind.zero())))
    spent = attempts = 0
    while attempts < ATTEMPTS and spent < GAS_OF_SEARCH:
        found = stage.play(stage.changed(best, chance))
        if found.score >= best.score:
            best = found
        attempts += 1
        spent += found.gas
    # On a stage of its own: the program has seen nothing but this one call.
    stage = _Stage(code, state_class, selector, inputs, recording=True)
    stage.play(best.scene)
    return Rehearsal(stage.program, stage.program.recorded(selector), best.error)


class _Stage:
    """A place to run one function of one contract."""

    def __init__(
        self,
        code: bytes,
        state_class: Any,
        selector: bytes,
        inputs: Sequence[str] | None,
        recording: bool = False,
    ) -> None:
        self._code = code
        self._selector = selector
        self._types = ["uint256"] * WORDS_OF_UNKNOWN if inputs is None else list(inputs)
        computation = translating(state_class.computation_class, threshold=2)
        computation.programs.dialect.patience = 1 if recording else 10**9
        self.program: Program = computation.programs[code]
        self._state_class = type(
            state_class.__name__,
            (state_class,),
            {"account_db_class": View, "computation_class": computation},
        )

    def arguments(self, draw: Callable[[_Kind], Any]) -> tuple[Any, ...]:
        return tuple(draw(_Kind.of(text)) for text in self._types)

    def changed(self, take: _Take, chance: random.Random) -> _Scene:
        """The scene with one thing changed."""
        scene = take.scene
        turn = chance.randrange(len(scene.arguments) + len(take.slots) + 2)
        if turn == 0:
            return replace(scene, answer=chance.choice(_STORED))
        if turn == 1:
            return replace(scene, value=chance.choice((0, 1, 10**18)))
        if turn < 2 + len(take.slots):
            slot = take.slots[turn - 2]
            return replace(scene, storage={**scene.storage, slot: chance.choice(_STORED)})
        arguments = list(scene.arguments)
        drawn = self.arguments(lambda kind: kind.draw(chance))
        place = turn - 2 - len(take.slots)
        arguments[place] = drawn[place]
        return replace(scene, arguments=tuple(arguments))

    def play(self, scene: _Scene) -> _Take:
        recorder = Recorder(_World(self._code, scene))
        state = self._state_class(recorder, _CONTEXT, BLANK_ROOT_HASH)
        state.lock_changes()
        transaction = state.get_transaction_context_class()(gas_price=10**9, origin=_CALLER)
        message = Message(
            gas=GAS,
            to=_CONTRACT,
            sender=_CALLER,
            value=scene.value,
            data=self._selector + encode(self._types, scene.arguments),
            code=self._code,
        )
        try:
            computation = state.computation_class.apply_message(state, message, transaction)
        except Exception as problem:  # odd code brings even py-evm's own loop to raise
            return _Take(scene, type(problem).__name__, GAS, True, ())
        error = computation._error
        gas = GAS - computation._gas_meter.gas_remaining
        return _Take(
            scene,
            "" if error is None else type(error).__name__,
            gas,
            error is not None and error.burns_gas,
            tuple(recorder.observations.slots.get(_CONTRACT, ())),
        )


class _Kind:
    """An ABI type: which values to try."""

    def __init__(self, parsed: Any) -> None:
        self._parsed = parsed

    @classmethod
    def of(cls, text: str) -> _Kind:
        try:
            parsed = grammar.parse(text)
            parsed.validate()
        except (ABITypeError, ParseError) as problem:
            raise ValueError(f"{text!r} is no type of the ABI") from problem
        return cls(parsed)

    def zero(self) -> Any:
        return self._value(lambda choices: choices[0])

    def draw(self, chance: random.Random) -> Any:
        return self._value(chance.choice)

    def _value(self, choose: Callable[[Sequence[Any]], Any]) -> Any:
        parsed = self._parsed
        if parsed.is_array:
            size = parsed.arrlist[-1]
            count = size[0] if size else choose((1, 2))
            return [_Kind(parsed.item_type)._value(choose) for _ in range(count)]
        if isinstance(parsed, grammar.TupleType):
            return tuple(_Kind(part)._value(choose) for part in parsed.components)
        if parsed.base == "address":
            return choose((_OTHERS[0], _OTHERS[1], _CALLER, _CONTRACT))
        if parsed.base == "bool":
            return choose((True, False))
        if parsed.base == "string":
            return choose(("", "a name"))
        if parsed.base == "bytes":
            content = choose((b"", b"\x01" * 32))
            return content if parsed.sub is None else content[: parsed.sub]
        if parsed.base == "function":
            return bytes(24)
        if parsed.base not in ("uint", "int"):
            raise ValueError(f"no values are known of the type {parsed.to_type_str()}")
        bits = parsed.sub if parsed.base == "uint" else parsed.sub - 1
        return choose([number for number in _NUMBERS if number < 2**bits])


class _World(AccountSource):
    """The contract, the caller, and at every other address somebody who agrees to everything."""

    def __init__(self, code: bytes, scene: _Scene) -> None:
        other = _obliging(scene.answer)
        self._scene = scene
        self._codes = {keccak(code): code, keccak(other): other, EMPTY_SHA3: b""}
        self._code_hash = keccak(code)
        self._other = keccak(other)

    def account(self, address: bytes) -> Account | None:
        if address == _CONTRACT:
            return Account(1, 10**24, self._code_hash)
        if address == _CALLER:
            return Account(1, 10**24, EMPTY_SHA3)
        return Account(1, 10**24, self._other)

    def slot(self, address: bytes, slot: int) -> int:
        return self._scene.storage.get(slot, 0) if address == _CONTRACT else 0

    def code(self, code_hash: bytes) -> bytes:
        return self._codes[code_hash]


def _obliging(answer: int) -> bytes:
    """Code that returns four words: ``answer`` to a question, a yes to whoever asks for a deed."""
    number = answer.to_bytes(32, "big").hex()
    words = "".join(f"8060{place:02x}52" for place in (0, 32, 64, 96))
    # CALLDATASIZE > 36 ? 1 : answer; 0x2b and 0x2e are the positions of the two JUMPDESTs.
    choice = f"60{_QUESTION:02x}3611602b577f{number}602e565b60015b"
    return bytes.fromhex(f"{choice}{words}60806000f3")


_CONTEXT: Final = ExecutionContext(
    coinbase=Address(b"\xcb" * 20),
    timestamp=NOW,
    block_number=BlockNumber(20_000_000),
    difficulty=0x20000,
    mix_hash=Hash32(b"\x77" * 32),
    gas_limit=30_000_000,
    prev_hashes=[Hash32(bytes([number]) * 32) for number in range(256)],
    chain_id=1,
    base_fee_per_gas=10**9,
    excess_blob_gas=0,
)
