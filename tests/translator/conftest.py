"""Runs the same code in py-evm's own loop and translated, and says everything that differs."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from eth.vm import forks
from eth.vm.execution_context import ExecutionContext
from eth.vm.message import Message

from parallel_evm.conformance.programs import Programs, Rules
from parallel_evm.hashing import keccak
from parallel_evm.state.flat import View
from parallel_evm.state.keys import BALANCE
from parallel_evm.state.recorder import Observations, Recorder
from parallel_evm.state.source import Account, AccountSource
from parallel_evm.translator import translating

FORKS = (
    "frontier",
    "homestead",
    "tangerine-whistle",
    "spurious-dragon",
    "byzantium",
    "constantinople",
    "petersburg",
    "istanbul",
    "berlin",
    "london",
    "shanghai",
    "cancun",
    "prague",
)

SENDER = b"\x5e" * 20
ADDRESSES = tuple(bytes([number]) * 20 for number in range(0xA1, 0xA5))
COINBASE = b"\xcb" * 20


def state_class_of(fork: str) -> Any:
    vm: Any = getattr(forks, fork.title().replace("-", "") + "VM")
    return vm.get_state_class()


class World(AccountSource):
    """The state before the run: a few contracts with money and storage."""

    def __init__(self, codes: dict[bytes, bytes], storage: dict[tuple[bytes, int], int]) -> None:
        self._codes = {keccak(code): code for code in codes.values()}
        self._accounts = {
            address: Account(1, 10**18, keccak(code)) for address, code in codes.items()
        }
        self._accounts[SENDER] = Account(7, 10**20, EMPTY_SHA3)
        self._storage = storage

    def account(self, address: bytes) -> Account | None:
        return self._accounts.get(address)

    def slot(self, address: bytes, slot: int) -> int:
        return self._storage.get((address, slot), 0)

    def code(self, code_hash: bytes) -> bytes:
        return self._codes[code_hash]


MANY_CALLS = 64
"""Programs that call each other in circles as long as there is gas would take most of the time of
all, and do the same a thousand times."""


@dataclass
class Run:
    """All that anybody can observe of a finished computation and its state."""

    facts: dict[str, Any] = field(default_factory=dict)
    observations: Observations = field(default_factory=Observations)

    @property
    def gas_used(self) -> int:
        return int(self.facts["gas used"])


def facts_of(computation: Any) -> dict[str, Any]:
    return {
        "gas refund": computation.get_gas_refund(),
        "logs": computation.get_raw_log_entries(),
        "deleted": sorted(computation.get_accounts_for_deletion()),
        "beneficiaries": sorted(computation.get_self_destruct_beneficiaries()),
        **facts_of_call(computation),
    }


def facts_of_call(computation: Any) -> dict[str, Any]:
    """Without what py-evm gathers from all calls below at every level anew."""
    meter = computation._gas_meter
    error = computation._error
    return {
        "error": (type(error), error.args) if error is not None else None,
        "output": bytes(computation.output),
        "raw output": bytes(computation._output),
        "return data": bytes(computation.return_data),
        "gas remaining": meter.gas_remaining,
        "gas refunded": meter.gas_refunded,
        "gas used": computation.get_gas_used(),
        "own logs": list(computation._log_entries),
        "deletes": list(computation.accounts_to_delete),
        "enriches": list(computation.beneficiaries),
        # Homestead's children append to a list of the class, which belongs to no run.
        "created": computation.__dict__.get("contracts_created"),
        "message": (computation.msg.depth, computation.msg.gas, bytes(computation.msg.data)),
        "children": list(map(facts_of_call, computation.children)),
    }


def calls_in(facts: dict[str, Any]) -> int:
    """How many computations a run took, as far as its `facts_of` tell."""
    return 1 + sum(map(calls_in, facts.get("children", ())))


class Twins:
    """A fork's rules, once as they are and once translated."""

    def __init__(self, fork: str, threshold: int, paths: bool = True) -> None:
        """``paths``: whether whole calls are translated, or blocks only."""
        stock = state_class_of(fork)
        self.fork = fork
        self.plain = type("Plain", (stock,), {"account_db_class": View})
        computation = translating(stock.computation_class, threshold=threshold)
        self.programs = computation.programs
        if not paths:
            self.programs.dialect.patience = 10**9
        self.fast = type(
            "Fast", (stock,), {"account_db_class": View, "computation_class": computation}
        )

    def run(
        self,
        state_class: Any,
        world: World,
        data: bytes = b"",
        gas: int = 1_000_000,
        value: int = 0,
        static: bool = False,
        depth: int = 0,
        initcode: bytes | None = None,
        target: bytes = ADDRESSES[0],
    ) -> Run:
        recorder = Recorder(world)
        context = ExecutionContext(
            coinbase=COINBASE,
            timestamp=1_700_000_000,
            block_number=300,
            difficulty=0x20000,
            mix_hash=b"\x77" * 32,
            gas_limit=30_000_000,
            prev_hashes=[bytes([number]) * 32 for number in range(256)],
            chain_id=1337,
            base_fee_per_gas=7,
            excess_blob_gas=10**6,
        )
        state = state_class(recorder, context, BLANK_ROOT_HASH)
        state.lock_changes()
        extra = {}
        if self.fork in ("cancun", "prague"):
            extra["blob_versioned_hashes"] = [b"\x01" * 32]
        transaction = state.get_transaction_context_class()(gas_price=10, origin=SENDER, **extra)
        rules = state.computation_class
        if initcode is None:
            message = Message(
                gas=gas,
                to=target,
                sender=SENDER,
                value=value,
                data=data,
                code=state.get_code(target),
                is_static=static,
                depth=depth,
            )
            computation = rules.apply_message(state, message, transaction)
        else:
            message = Message(
                gas=gas,
                to=b"",
                sender=SENDER,
                value=value,
                data=b"",
                code=initcode,
                create_address=b"\xce" * 20,
            )
            computation = rules.apply_create_message(state, message, transaction)
        accounts = state._account_db
        return Run(
            {
                **facts_of(computation),
                "effects": accounts.effects,
                "warm": set(accounts.warm),
            },
            recorder.observations,
        )

    def differences(self, world: World, **arguments: Any) -> dict[str, tuple[Any, Any]]:
        """What differs: {fact: (py-evm, translated)}."""
        plain = outcome(self.run, self.plain, world, **arguments)
        fast = outcome(self.run, self.fast, world, **arguments)
        found = {
            name: (fact, fast.facts.get(name))
            for name, fact in plain.facts.items()
            if fact != fast.facts.get(name)
        }
        # Less may be observed (a call that sends nothing need not know if anybody is there), but
        # nothing else.
        for address, slots in fast.observations.slots.items():
            if slots != plain.observations.slots.get(address):
                found["observed storage"] = (plain.observations, fast.observations)
        if not fast.observations.cells.items() <= plain.observations.cells.items():
            found["observed"] = (plain.observations, fast.observations)
        for address, bound in fast.observations.bounds.items():
            exact = (address, BALANCE) in plain.observations.cells
            if bound > plain.observations.bounds.get(address, 0) and not exact:
                found["observed bounds"] = (plain.observations, fast.observations)
        return found

    @property
    def translated(self) -> int:
        """How many traces there are."""
        return sum(len(program.functions) + len(program.calls) for program in self.programs)


def outcome(run: Any, *arguments: Any, **options: Any) -> Run:
    """The run, or what it raised where even py-evm's loop lets an exception through."""
    try:
        result: Run = run(*arguments, **options)
    except Exception as error:
        return Run({"raised": (type(error), str(error)), "gas used": options.get("gas", 0)})
    return result


def check(
    twins: Twins, code: bytes, chance: random.Random, others: Any = (), **options: Any
) -> None:
    """Run ``code`` with plenty of gas and with less, up to all of it, and compare each time."""
    delegation = b"\xef\x01\x00" + ADDRESSES[1]  # means something since Prague (EIP-7702)
    codes = dict(zip(ADDRESSES, (code, *others, delegation), strict=False))
    storage = {(ADDRESSES[0], slot): chance.choice((0, 1, 2**255)) for slot in range(4)}
    world = World(codes, storage)
    data = chance.choice((b"", chance.randbytes(4), chance.randbytes(68), bytes(100)))
    plenty = 400_000
    plain = outcome(twins.run, twins.plain, world, data=data, gas=plenty, **options)
    if calls_in(plain.facts) > MANY_CALLS:
        plenty = 40_000
        plain = outcome(twins.run, twins.plain, world, data=data, gas=plenty, **options)
    used = plain.gas_used
    limits = [plenty, plenty, used, used - 1, *(chance.randint(0, used) for _ in range(4))]
    for gas in limits:
        found = twins.differences(world, data=data, gas=max(gas, 0), **options)
        assert not found, f"{twins.fork}: {code.hex()} data {data.hex()} gas {gas}: {found}"


class Soup:
    """Programs of every opcode of a fork, with enough words on the stack to get somewhere."""

    def __init__(self, chance: random.Random, fork: str) -> None:
        self._chance = chance
        self._opcodes = sorted(state_class_of(fork).computation_class.opcodes)
        self._cheap = [
            value
            for value in self._opcodes
            if value < 0x20 or 0x30 <= value <= 0x3A or 0x80 <= value <= 0x9F
        ]

    def word(self) -> bytes:
        chance = self._chance
        kind = chance.random()
        if kind < 0.4:
            number = chance.randint(0, 3)
        elif kind < 0.6:
            number = chance.choice((4, 31, 32, 33, 64, 96, 255, 256, 257, 1000))
        elif kind < 0.7:
            number = chance.choice((2**255, 2**256 - 1, 2**255 - 1, 2**160 - 1, 2**64, 2**32))
        elif kind < 0.8:
            return b"\x73" + chance.choice(ADDRESSES)
        else:
            number = chance.getrandbits(chance.choice((8, 64, 128, 160, 256)))
        content = number.to_bytes(max((number.bit_length() + 7) // 8, 1), "big")
        return bytes([0x5F + len(content)]) + content

    def memory(self) -> bytes:
        """Accesses that overlap: what is known of a word must be forgotten in time."""
        chance = self._chance
        at = bytes([0x60, chance.choice((0, 1, 16, 31, 32, 64))])
        kind = chance.random()
        if kind < 0.4:
            return at + b"\x51"
        if kind < 0.8:
            return chance.choice((self.word(), b"\x80")) + at + chance.choice((b"\x52", b"\x53"))
        return bytes([0x60, chance.choice((0, 5, 33))]) + self.word() + at + b"\x37"

    def program(self) -> bytes:
        chance = self._chance
        code = b"".join(self.word() for _ in range(chance.randint(0, 8)))
        starts = []
        for _ in range(chance.randint(5, 60)):
            kind = chance.random()
            if kind < 0.25:
                code += self.word()
            elif kind < 0.35:
                code += self.memory()
            elif kind < 0.65:
                code += bytes([chance.choice(self._cheap)])
            elif kind < 0.85:
                code += bytes([chance.choice(self._opcodes)])
                if 0x60 <= code[-1] <= 0x7F:
                    code += chance.randbytes(code[-1] - 0x5F)
            elif kind < 0.9:
                starts.append(len(code))
                code += b"\x5b"
            elif kind < 0.95 and starts:  # back, perhaps
                code += b"\x61" + chance.choice(starts).to_bytes(2, "big")
                code += chance.choice((b"\x56", b"\x57", b"\x81\x57"))
            elif kind < 0.99:  # over some bytes, perhaps
                skipped = self.word() + bytes([chance.choice(self._cheap)])
                code += b"\x61" + (len(code) + 3 + 1 + len(skipped)).to_bytes(2, "big")
                code += chance.choice((b"\x56", b"\x57")) + skipped + b"\x5b"
            else:
                code += chance.randbytes(2)
        if chance.random() < 0.5:  # show the top of the stack and all of memory
            return code + b"\x59\x52" * chance.randint(1, 8) + b"\x59\x60\x00\xf3"
        endings = ("", "00", "60206000f3", "60406000fd")
        return code + bytes.fromhex(chance.choice(endings))


def some_programs(fork: str, seed: int) -> tuple[list[bytes], random.Random]:
    """Three of one kind, and what goes on with the dice."""
    chance = random.Random(f"{fork} {seed}")
    if chance.random() < 0.5:
        soup = Soup(chance, fork)
        return [soup.program() for _ in range(3)], chance
    programs = Programs(chance, Rules.of(fork), ADDRESSES)
    return [programs.program() for _ in range(3)], chance


class Places:
    """Programs about memory: places, sizes, branches and trip counts come from call data.

    Calls are told apart by the size of their data and its first four bytes, so that the same
    translation meets data that leads elsewhere.
    """

    def __init__(self, chance: random.Random, fork: str) -> None:
        self._chance = chance
        self._opcodes = state_class_of(fork).computation_class.opcodes
        self._words = chance.randint(2, 6)

    def data(self) -> bytes:
        """Call data of the one size; often much the same."""
        chance = self._chance
        words = (
            chance.choice((0, 0, 1, 2, 3, 31, 32, 33, 64, 95, chance.getrandbits(256)))
            for _ in range(self._words)
        )
        return b"\xaa\xbb\xcc\xdd" + b"".join(word.to_bytes(32, "big") for word in words)

    def _argument(self) -> bytes:
        return bytes([0x60, 4 + 32 * self._chance.randrange(self._words), 0x35])

    def _place(self, limit: int = 0x7F) -> bytes:
        """Leaves a small number."""
        chance = self._chance
        kind = chance.random()
        if kind < 0.5:
            return bytes([0x60, chance.choice((0, 1, 16, 31, 32, 33, 64, 70))])
        if kind < 0.85:
            return self._argument() + bytes([0x60, limit, 0x16])
        if kind < 0.95:
            return bytes([0x60, chance.randint(0, 3), 0x54, 0x60, limit, 0x16])
        return self._place() + self._place() + b"\x01"

    def _word(self) -> bytes:
        chance = self._chance
        kind = chance.random()
        if kind < 0.4:
            return self._argument()
        if kind < 0.7:
            return self._place() + b"\x51"
        if kind < 0.8:
            return self._place() + self._place() + b"\x20"  # SHA3
        if kind < 0.9:
            return bytes([chance.choice((0x59, 0x30, 0x33, 0x34, 0x36, 0x5A))])
        number = chance.getrandbits(chance.choice((8, 64, 256)))
        return b"\x7f" + number.to_bytes(32, "big")

    def _has(self, opcode: int) -> bool:
        return opcode in self._opcodes

    def _statement(self, at: int, depth: int) -> bytes:
        """``at``: where it will lie. The stack is as before, afterwards."""
        chance = self._chance
        kind = chance.random()
        if kind < 0.28:
            return self._word() + self._place() + chance.choice((b"\x52", b"\x52", b"\x53"))
        if kind < 0.36:
            copies = [0x37, 0x39] + [code for code in (0x3E, 0x5E) if self._has(code)]
            return self._place() + self._place() + self._place() + bytes([chance.choice(copies)])
        if kind < 0.44:
            return self._word() + bytes([0x60, chance.randint(0, 3), 0x55])
        if kind < 0.49:
            topics = chance.randint(0, 2)
            logged = b"".join(self._word() for _ in range(topics))
            return logged + self._place() + self._place() + bytes([0xA0 + topics])
        if kind < 0.54 and self._has(0x3D):
            return bytes([0x3D]) + self._place() + b"\x52"
        if kind < 0.68:
            return self._call()
        if kind < 0.72:  # CREATE and EXTCODECOPY: what memory holds is not known afterwards
            if chance.random() < 0.5:
                return self._place() + self._place() + b"\x34\xf0\x50"
            spans = self._place() + self._place() + self._place()
            return spans + b"\x73" + chance.choice(ADDRESSES) + b"\x3c"
        if kind < 0.9 and depth:  # if
            test = self._word() + chance.choice((b"", b"\x15", b"\x60\x01\x16"))
            start = at + len(test) + 4
            body = self._statements(start, depth - 1)
            return (
                test + b"\x61" + (start + len(body)).to_bytes(2, "big") + b"\x57" + body + b"\x5b"
            )
        if depth:  # as often as the call data says, at most three times
            count = self._argument() + b"\x60\x03\x16"
            start = at + len(count)
            body = self._statements(start + 7, depth - 1)
            back = b"\x60\x01\x90\x03\x61" + start.to_bytes(2, "big") + b"\x56"
            end = start + 7 + len(body) + len(back)
            head = b"\x5b\x80\x15\x61" + end.to_bytes(2, "big") + b"\x57"
            return count + head + body + back + b"\x5b\x50"
        return self._word() + b"\x50"

    def _call(self) -> bytes:
        """To somebody or to itself, with data from memory and room for what comes back."""
        chance = self._chance
        opcode = chance.choice([code for code in (0xF1, 0xF1, 0xF2, 0xF4, 0xFA) if self._has(code)])
        room, out, size, start = (self._place() for _ in range(4))
        value = bytes([0x60, chance.choice((0, 0, 1))]) if opcode in (0xF1, 0xF2) else b""
        numbers = (1, 2, 3, 4)  # precompiles
        target = chance.choice(
            [b"\x30", b"\x73" + chance.choice(ADDRESSES), bytes([0x60, chance.choice(numbers)])]
        )
        gas = chance.choice((b"\x61\x10\x00", b"\x62\x00\x80\x00", b"\x60\x00"))
        return room + out + size + start + value + target + gas + bytes([opcode, 0x50])

    def _statements(self, at: int, depth: int) -> bytes:
        code = b""
        for _ in range(self._chance.randint(1, 4)):
            code += self._statement(at + len(code), depth)
        return code

    def program(self) -> bytes:
        chance = self._chance
        code = b""
        for _ in range(chance.randint(1, 3)):
            code += self._statements(len(code), 2)
        if chance.random() < 0.5:
            return code + b"\x59\x60\x00\xf3"
        ending = 0xFD if self._has(0xFD) and chance.random() < 0.3 else 0xF3
        return code + self._place() + self._place() + bytes([ending])


@pytest.fixture(scope="session")
def lab() -> Any:
    """This module's tools: tests cannot import them where they lie."""
    return SimpleNamespace(
        ADDRESSES=ADDRESSES,
        FORKS=FORKS,
        MANY_CALLS=MANY_CALLS,
        Places=Places,
        SENDER=SENDER,
        Soup=Soup,
        some_programs=some_programs,
        Twins=Twins,
        World=World,
        calls_in=calls_in,
        check=check,
        outcome=outcome,
        state_class_of=state_class_of,
        twins_of=cache(Twins),
    )
