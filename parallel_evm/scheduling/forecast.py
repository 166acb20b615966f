"""Forecasts: which keys will a transaction touch, said before it runs?

A `Forecaster` lives as long as a chain. It learns from accepted speculations what each function of
each contract touches (`scheduling.templates`), and adds what every transaction touches by the
rules: nonces, declared access lists, addresses it creates. Forecasts are hints; a wrong one costs
a re-execution or a worker's idle time, never correctness.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple

from eth._utils.address import generate_contract_address
from eth.constants import EMPTY_SHA3, GAS_TX
from eth.vm.forks.prague.constants import MAGIC, SET_CODE_TRANSACTION_TYPE
from eth.vm.interrupt import EVMMissingData
from eth_typing import Address
from rlp.codec import encode

from parallel_evm.hashing import keccak
from parallel_evm.recovery import signature_of, signer
from parallel_evm.scheduling.expressions import Call, call_of
from parallel_evm.scheduling.templates import Expected, Template
from parallel_evm.speculation.fields import fields_of
from parallel_evm.speculation.result import Speculation
from parallel_evm.state.keys import BALANCE, CODE, NONCE, Key
from parallel_evm.state.source import Account, AccountSource, Source

_UNKNOWN_GAS: Final = 250_000
"""Gas limits are far above what is used; an unknown call counts for this much at most."""
_AVERAGED: Final = 4

_MAX_SIZE: Final = 1 << 16
"""Templates and the accesses in them, all together; about half a kilobyte each."""
_MAX_FUNCTIONS: Final = 8
"""Other functions of a contract that are asked about an unfamiliar argument."""
_MAX_DIGESTS: Final = 1 << 16
"""Hashes remembered; about a quarter of a kilobyte each."""
_MAX_TOUCHED: Final = 256
"""Reads, and writes, learned from one transaction."""

_PARTS: Final = frozenset({NONCE, CODE})
_NOTHING: Final[dict[int, int]] = {}


class _Nowhere(AccountSource):
    """The state before the first block that anybody began."""

    def account(self, address: bytes) -> Account | None:
        return None

    def slot(self, address: bytes, slot: int) -> int:
        return 0


@dataclass(slots=True)
class Forecast:
    """What one transaction is expected to touch. Nobody changes it; to make one that is frozen
    takes several times as long, and each transaction has one."""

    index: int
    reads: frozenset[Key]
    """Keys whose value it will observe."""
    writes: frozenset[Key]
    """Keys that it will change.

    Some stand for what is not known yet and are no state: their "address" is longer than 20
    bytes. Transactions that share one may touch the same things and belong in one lane.
    """
    gas: int
    """Expected cost."""
    puzzle: bytes | None = None
    """Names what is not known of it, a function or what an argument stands for; None where nothing
    is amiss. One transaction that has run answers for all that share it."""
    call: Call | None = None
    """The transaction taken apart, where this function has been seen."""
    teaches: bool = True
    """Will anything be learned from it, should it run as expected?"""


class Forecaster:
    """Learns what transactions touch. Bounded in memory; not for use by two threads at once.

    The same calls in the same order always give the same forecasts.
    """

    def __init__(self) -> None:
        # By contract and selector; least recently called contract first.
        self._contracts: dict[bytes, dict[bytes, Template]] = {}
        # By code hash and selector: the contract with this code that was called last for the first
        # time.
        self._kin: dict[tuple[bytes, bytes], bytes] = {}
        self._size = 0
        self._before: Source = _Nowhere()
        # Slots that transactions forecast so far count up, and where that gets them.
        self._ahead: dict[Key, int] = {}
        self._digests: dict[bytes, bytes] = {}
        # By index, of the block at hand: mostly nothing else happens than what was expected.
        self._asked: dict[int, _Asked] = {}

    def templates(self) -> Iterable[tuple[bytes, Mapping[bytes, Template]]]:
        """What was learned, by contract and selector; least recently called contract first."""
        return self._contracts.items()

    def kin(self) -> Iterable[tuple[tuple[bytes, bytes], bytes]]:
        """Code hash and selector, and the contract that others with this code are taken after."""
        return self._kin.items()

    def adopt(
        self, to: bytes, selector: bytes, template: Template, code_hash: bytes | None
    ) -> None:
        """Take over what was learned elsewhere, of a function that nothing is known of."""
        functions = self._contracts.setdefault(to, {})
        if selector not in functions:
            functions[selector] = template
            self._size += 1 + len(template)
            self._introduce(code_hash, selector, to)
            self._forget()

    def begin(self, before: Source) -> None:
        """A new block, on this state. Its transactions are to be asked about in their order."""
        self._asked = {}
        self._ahead = {}
        self._before = before

    def forecast(self, index: int, transaction: Any, sender: bytes | None) -> Forecast:
        """What ``transaction`` will touch.

        One that has no sender, or is malformed, will be refused: it touches nothing.
        """
        said = None if sender is None else _said(transaction)
        if said is None or sender is None:
            return Forecast(index, frozenset(), frozenset(), GAS_TX)
        to, data = said.to, said.data
        reads: list[Key] = [(sender, NONCE), *said.declared]
        writes: list[Key] = [(sender, NONCE), (sender, BALANCE)]
        for authority in said.authorities:
            writes += (authority, NONCE), (authority, CODE)

        functions = self._recall(to)
        template = functions.get(data[:4])
        if template is None and to and data:
            template = self._like_its_kin(sender, said)
            functions = self._contracts.get(to, functions)
        if template is not None:
            call = self._call(sender, to, data)
            expected = template.expect(call)
            for key in expected.counted:
                self._ahead[key] = (self._holds(key) or 0) + 1
            teaches = template.is_curious()
            self._asked[index] = _Asked(
                transaction, to, functions, template, call, expected, teaches
            )
            words = template.unfamiliar(call, expected)
            if words:
                # Another function may know what these arguments stand for; else nobody does, and
                # the calls that share one of them stay together.
                for function in islice(functions.values(), _MAX_FUNCTIONS):
                    more_reads, more_writes, words = function.near(words, call)
                    reads += more_reads
                    writes += more_writes
                writes.extend((to + word, CODE) for word in words)
            return Forecast(
                index,
                expected.reads(reads),
                expected.writes(writes),
                GAS_TX + template.gas,
                call.function + b"".join(sorted(words)) if words else None,
                call,
                teaches,
            )
        gas = GAS_TX
        if not to:
            gas += min(said.gas, _UNKNOWN_GAS)
            created = generate_contract_address(Address(sender), said.nonce)
            writes += (created, NONCE), (created, CODE)
        else:
            reads.append((to, CODE))
            writes.append((to, BALANCE))
            if data:
                gas += min(said.gas, _UNKNOWN_GAS)
                writes.append((to + data[:4], CODE))
        puzzle = b"".join(self._kind(to, data[:4])) if to and data else None
        pays = bool(to) and not data and self._code_hash(to) == EMPTY_SHA3
        return Forecast(index, frozenset(reads), frozenset(writes), gas, puzzle, teaches=not pays)

    def learn(
        self,
        transaction: Any,
        sender: bytes | None,
        speculation: Speculation,
        conflicted: bool = False,
    ) -> None:
        """Take note of what an accepted transaction really touched.

        ``conflicted``: it had to run again, so something about it was not as expected.
        """
        outcome = speculation.outcome
        if sender is None or outcome is None:
            return
        asked = self._asked.get(speculation.index)
        if (
            asked is None
            or asked.transaction is not transaction
            or self._contracts.get(asked.to) is not asked.functions  # forgotten since
        ):
            asked = self._ask(transaction, sender, speculation)
            if asked is None:
                return
        template = asked.template
        if not (asked.teaches or conflicted):
            return
        template.gas += (outcome.gas_used - template.gas) // _AVERAGED
        self._size -= len(template)
        held = speculation.observations.slots
        template.learn(
            # Whatever was forecast, this is what it found.
            asked.call.holding(lambda key: held.get(key[0], _NOTHING).get(key[1])),
            reads=_reads(speculation, sender),
            writes=_writes(speculation, sender),
            preimages=speculation.preimages or {},
            success=outcome.is_success,
            expected=asked.expected,
            held=held,
            counted=_counted(speculation),
            conflicted=conflicted,
        )
        self._size += len(template)
        self._forget()

    def _forget(self) -> None:
        """The contracts that were not called for longest, if it is too much."""
        while self._size > _MAX_SIZE:
            forgotten = self._contracts.pop(next(iter(self._contracts)))
            self._size -= sum(1 + len(template) for template in forgotten.values())

    def _ask(self, transaction: Any, sender: bytes, speculation: Speculation) -> _Asked | None:
        """Which template learns from a transaction that none was asked about."""
        said = _said(transaction)
        if said is None or not said.to:
            return None
        to, data = said.to, said.data
        functions = self._recall(to)
        template = functions.get(data[:4])
        if template is None:
            observed = speculation.observations
            if not (data or observed.slots or observed.ranges):
                return None  # a plain transfer: the rules say all there is
            self._contracts[to] = functions
            template = functions[data[:4]] = Template()
            assert speculation.outcome is not None
            template.gas = speculation.outcome.gas_used
            self._size += 1
            self._introduce(observed.cells.get((to, CODE)), data[:4], to)
        call = self._call(sender, to, data)
        return _Asked(transaction, to, functions, template, call, None, True)

    def _introduce(self, code_hash: bytes | None, selector: bytes, to: bytes) -> None:
        if code_hash is not None and code_hash != EMPTY_SHA3:
            if len(self._kin) >= _MAX_SIZE:
                self._kin.clear()
            self._kin[code_hash, selector] = to

    def _kind(self, to: bytes, selector: bytes) -> tuple[bytes, bytes]:
        """Names what a call runs: of contracts with the same code, the same."""
        code_hash = self._code_hash(to)
        return to if code_hash == EMPTY_SHA3 else code_hash, selector

    def _code_hash(self, address: bytes) -> bytes:
        try:
            return self._before.code_hash(address)
        except EVMMissingData:  # whoever runs the transaction will say so
            return EMPTY_SHA3

    def _like_its_kin(self, sender: bytes, said: _Said) -> Template | None:
        """A template for a function that was learned from another contract with the same code."""
        to, selector = said.to, said.data[:4]
        other = self._kin.get(self._kind(to, selector))
        known = None if other is None else self._contracts.get(other, {}).get(selector)
        if known is None:
            return None
        template = known.for_kin(self._call(sender, to, said.data))
        self._contracts.setdefault(to, {})[selector] = template
        self._size += 1 + len(template)
        self._forget()
        return template

    def _holds(self, key: Key) -> int | None:
        """What a slot will hold when it is the turn of the transaction asked about."""
        value = self._ahead.get(key)
        if value is None:
            try:
                value = self._before.slot(*key)
            except EVMMissingData:  # whoever runs the transaction will say so
                return None
        return value

    def _recall(self, to: bytes) -> dict[bytes, Template]:
        """The functions of a contract, which becomes the one called most recently."""
        functions = self._contracts.pop(to, None)
        if functions is None:
            return {}
        self._contracts[to] = functions
        return functions

    def _call(self, sender: bytes, to: bytes, data: bytes) -> Call:
        if len(self._digests) > _MAX_DIGESTS:
            self._digests.clear()
        return call_of(sender, to, data, self._digests, self._holds)


class Unforeseen:
    """In the place of a `Forecaster` where nothing is to be forecast."""

    def begin(self, before: Source) -> None:
        """Another block."""

    def forecast(self, index: int, transaction: Any, sender: bytes | None) -> Forecast:
        """Every transaction is expected to cost the same and to touch nothing."""
        return Forecast(index, frozenset(), frozenset(), GAS_TX, teaches=False)

    def learn(
        self,
        transaction: Any,
        sender: bytes | None,
        speculation: Speculation,
        conflicted: bool = False,
    ) -> None:
        """Nothing."""


class _Asked(NamedTuple):
    """A transaction that a template was asked about, and what it said."""

    transaction: Any
    to: bytes
    functions: dict[bytes, Template]
    template: Template
    call: Call
    expected: Expected | None
    teaches: bool


class _Said(NamedTuple):
    """What a transaction says about itself."""

    to: bytes
    data: bytes
    gas: int
    nonce: int
    declared: list[Key]
    """The slots of its EIP-2930 access list."""
    authorities: Sequence[bytes]
    """Accounts that it delegates (EIP-7702)."""


def _said(transaction: Any) -> _Said | None:
    # One that is not py-evm's own has the same names, most likely.
    fields: Any = fields_of(transaction) or transaction
    try:
        to, data = fields.to, fields.data
        if not (isinstance(to, bytes) and isinstance(data, bytes)):
            return None
        return _Said(
            to,
            data,
            max(0, int(fields.gas)),
            max(0, int(fields.nonce)),
            _declared(fields.access_list),
            _authorities(transaction, fields),
        )
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return None  # malformed: py-evm will say how


def _declared(access_list: Any) -> list[Key]:
    if not access_list:
        return []
    return [(bytes(account), int(slot)) for account, slots in access_list for slot in slots]


def _authorities(transaction: Any, fields: Any) -> Sequence[bytes]:
    """Accounts that an EIP-7702 transaction delegates, as far as the signatures are good."""
    found: list[bytes] = []
    if getattr(fields, "type_id", None) != SET_CODE_TRANSACTION_TYPE:
        return found
    for authorization in transaction.authorization_list:
        try:
            signed = [authorization.chain_id, authorization.address, authorization.nonce]
            message = MAGIC + encode(signed)  # type: ignore[no-untyped-call]
            signature = signature_of(authorization.r, authorization.s, authorization.y_parity)
            found.append(signer(signature, keccak(message)))
        except Exception:  # a bad authorization is skipped by the protocol, too
            continue
    return found


def _reads(speculation: Speculation, sender: bytes) -> frozenset[Key]:
    """The observed keys that other transactions may change."""
    observed = speculation.observations
    keys: list[Key] = [
        (address, slot) for address, slots in observed.slots.items() for slot in slots
    ]
    if observed.ranges:
        keys += [(address, slot) for address, known in observed.ranges.items() for slot in known]
    # Life is nearly always a mere touch, and wiped storage shows in the code that goes too.
    keys += [
        key
        for key in observed.cells
        if key[1] == BALANCE or (key[0] != sender and key[1] in _PARTS)
    ]
    return frozenset(keys[:_MAX_TOUCHED])


def _writes(speculation: Speculation, sender: bytes) -> frozenset[Key]:
    """The keys that hold another value afterwards: judging is by value."""
    observed, effects = speculation.observations, speculation.effects
    keys: list[Key] = []
    for address, slots in effects.slots.items():
        before = observed.slots.get(address, _NOTHING)
        keys += [(address, slot) for slot, value in slots.items() if before.get(slot) != value]
    keys += [
        key
        for key, value in effects.cells.items()
        if key[0] != sender and key[1] in _PARTS and observed.cells.get(key) != value
    ]
    # Whoever received value was called. The fee's recipient was not, and changes with the block;
    # nobody reads its balance.
    keys += [
        (address, BALANCE)
        for address, delta in effects.deltas.items()
        if delta and address != sender and (address, CODE) in observed.cells
    ]
    return frozenset(keys[:_MAX_TOUCHED])


def _counted(speculation: Speculation) -> frozenset[Key]:
    """The slots that hold one more afterwards."""
    effects = speculation.effects.slots
    return frozenset(
        (address, slot)
        for address, held in speculation.observations.slots.items()
        if address in effects
        for slot in effects[address].keys() & held.keys()
        if effects[address][slot] == held[slot] + 1
    )
