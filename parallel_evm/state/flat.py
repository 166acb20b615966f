"""FlatState: chain state as dictionaries with an undo log.

It implements py-evm's `AccountDatabaseAPI`, so that py-evm's own fork rules run over it
unmodified. It holds only what was written; whatever was not, it asks of its `Source`. One class
serves as a transaction's view (over a recorder), as a lane (`state.lane`) and, with roots added by
`merkle.account_db`, as the committed state of a block.

Balances are kept as differences to the source. An account that is only credited (the coinbase's
fee, a transfer received) is thereby never read, and such transactions do not conflict.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from eth.abc import AccountDatabaseAPI, MetaWitnessAPI
from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3, UINT_256_MAX
from eth.db.journal import get_next_checkpoint
from eth.typing import JournalDBCheckpoint
from eth.validation import (
    validate_canonical_address,
    validate_is_bytes,
    validate_uint64,
    validate_uint256,
)
from eth_typing import Address, Hash32
from eth_utils.exceptions import ValidationError

from parallel_evm.hashing import keccak
from parallel_evm.state.keys import CODE, EPOCH, LIFE, NO_WIPE, NONCE, Key
from parallel_evm.state.source import Source

_ABSENT: Any = object()
_UINT64_MAX = 2**64 - 1


Log = list[tuple[dict[Any, Any], Any, Any]]
"""Dictionary, key, previous value: applied backwards, it undoes everything."""

Traces = tuple[tuple[Any, ...], dict[Key, int | None]]
"""Warm addresses and slots, and the original values of the slots that were written; None where
only what was added is known (`Effects.increments`)."""


@dataclass(slots=True)
class Effects:
    """What was written: the difference between two moments of a `FlatState`."""

    cells: dict[Key, Any] = field(default_factory=dict)
    """Nonce, code hash, life and storage epoch, as they are now."""
    slots: dict[bytes, dict[int, int]] = field(default_factory=dict)
    """Storage by address and slot, as it is now (also where it equals what it was)."""
    deltas: dict[bytes, int] = field(default_factory=dict)
    """Change of balance (wei) by address."""
    codes: dict[bytes, bytes] = field(default_factory=dict)
    """New bytecode by its hash."""
    increments: dict[bytes, dict[int, int]] = field(default_factory=dict)
    """Those of ``slots`` that were only added to, and how much. Until the judge makes up the sum,
    ``slots`` holds what they became where the transaction ran."""


class FlatState(AccountDatabaseAPI):
    """Writes over a `Source`, with checkpoints."""

    linear: ClassVar[bool] = False
    """Can what is loaded be a `state.linear.Linear`?"""

    __slots__ = (
        "_checkpoints",
        "_lasting",
        "_locked_below",
        "_log",
        "_originals",
        "_transient",
        "effects",
        "index",
        "source",
        "warm",
    )

    def __init__(self, source: Source, index: int = NO_WIPE) -> None:
        self.source = source
        self.index = index
        """The transaction that writes; it names the epoch when storage is wiped."""
        self.effects = Effects()
        self._originals: dict[Key, int] = {}
        self.warm: dict[Any, None] = {}
        """Addresses, and (address, slot) (EIP-2929)."""
        self._transient: dict[Key, bytes] = {}
        self._log: Log = []
        self._lasting: Log = []
        """Of what no checkpoint brings back."""
        self._checkpoints: list[tuple[JournalDBCheckpoint, int]] = []
        self._locked_below = 0

    #
    # Source: what the layer above asks
    #
    def balance(self, address: bytes) -> int:
        delta = self.effects.deltas.get(address)
        below = self.source.balance(address)
        return below if delta is None else below + delta

    def at_least(self, address: bytes, needed: int) -> bool:
        return self.source.at_least(address, needed - self.effects.deltas.get(address, 0))

    def below(self, address: bytes, limit: int) -> bool:
        return self.source.below(address, limit - self.effects.deltas.get(address, 0))

    def nonce(self, address: bytes) -> int:
        value: int | None = self.effects.cells.get((address, NONCE))
        return self.source.nonce(address) if value is None else value

    def code_hash(self, address: bytes) -> bytes:
        value: bytes | None = self.effects.cells.get((address, CODE))
        return self.source.code_hash(address) if value is None else value

    def exists(self, address: bytes) -> bool:
        value: bool | None = self.effects.cells.get((address, LIFE))
        return self.source.exists(address) if value is None else value

    def epoch(self, address: bytes) -> int:
        value: int | None = self.effects.cells.get((address, EPOCH))
        return self.source.epoch(address) if value is None else value

    def slot(self, address: bytes, slot: int) -> int:
        written = self.effects.slots.get(address)
        if written is not None:
            value = written.get(slot)
            if value is not None:
                return value
            if (address, EPOCH) in self.effects.cells:
                return 0
        return self.source.slot(address, slot)

    load = slot
    """The same for code that can go on with linear values, where there are any."""

    def code(self, code_hash: bytes) -> bytes:
        codes = self.effects.codes
        code = codes.get(code_hash) if codes else None
        return self.source.code(code_hash) if code is None else code

    #
    # Storage
    #
    def get_storage(self, address: Address, slot: int, from_journal: bool = True) -> int:
        """The value now, or, without ``from_journal``, at the start of the transaction."""
        return self.load(address, slot) if from_journal else self.original(address, slot)

    def original(self, address: bytes, slot: int) -> int:
        """What the slot held at the start of the transaction; like `load`."""
        value = self._originals.get((address, slot))
        return self.load(address, slot) if value is None else value

    def standing(self, address: bytes, slot: int) -> tuple[int, int, bool]:
        """What a slot holds, what it held at the start of the transaction, and is it warm?"""
        key = (address, slot)
        now = self.load(address, slot)
        original = self._originals.get(key)  # none: nobody has written it since
        return now, now if original is None else original, key in self.warm

    def set_storage(self, address: Address, slot: int, value: int) -> None:
        if type(value) is not int or value < 0 or value > UINT_256_MAX:
            value = self._checked(value, (address, slot))
        if address not in self.effects.slots:
            validate_canonical_address(address, title="Storage Address")
        if (address, slot) not in self._originals:
            validate_uint256(slot, title="Storage Slot")
        self.store(address, slot, value, self.load(address, slot))

    def store(self, address: bytes, slot: int, value: int, current: int) -> None:
        """`set_storage` by who has looked already (`standing`): the slot holds ``current``."""
        key = (address, slot)
        if type(value) is not int or value < 0 or value > UINT_256_MAX:
            value = self._checked(value, key)
        written = self.effects.slots.get(address)
        if written is None:
            written = self.effects.slots[address] = {}
        if key not in self._originals:
            self._originals[key] = current
        self._log.append((written, slot, written.get(slot, _ABSENT)))
        written[slot] = value

    def _checked(self, value: Any, key: Key) -> Any:
        """What to store for ``value``, which is no word. Raises py-evm's `ValidationError`."""
        validate_uint256(value, title="Storage Value")
        return int(value)

    def delete_storage(self, address: Address) -> None:
        """Empty the account's storage (CREATE2 does, before a contract is made).

        Where nobody has touched that storage before, not even a revert brings it back: py-evm
        loads it only after it has blanked the account's storage root.
        """
        validate_canonical_address(address, title="Storage Address")
        self._set_cell((address, LIFE), True)
        if address not in self.effects.slots and self.source.epoch(address) == NO_WIPE:
            slots, cells = self.effects.slots, self.effects.cells
            self._lasting += ((slots, address, _ABSENT), (cells, (address, EPOCH), _ABSENT))
            slots[address] = {}
            cells[address, EPOCH] = self.index
        else:
            self._wipe(address)

    def _wipe(self, address: Address) -> None:
        slots = self.effects.slots
        self._log.append((slots, address, slots.get(address, _ABSENT)))
        slots[address] = {}
        self._set_cell((address, EPOCH), self.index)

    #
    # Balance
    #
    def get_balance(self, address: Address) -> int:
        return self.balance(address)

    def set_balance(self, address: Address, balance: int) -> None:
        validate_uint256(balance, title="Account Balance")
        self._set_delta(address, balance - self.source.balance(address))

    def delta_balance(self, address: Address, delta: int) -> None:
        """Add ``delta`` wei, observing no more of the balance than that it stays in range.

        Raises py-evm's `ValidationError` when it does not.
        """
        self._set_delta(address, self._total(address, delta))

    def charge(self, sender: Address, cost: int, nonce: int) -> None:
        """Take ``cost`` wei, which ``sender`` has, and let its next nonce be ``nonce``: the first
        that a transaction writes to a view of its own. Nothing goes back to before that."""
        effects = self.effects
        effects.deltas[sender] = -cost
        effects.cells[sender, NONCE] = nonce
        effects.cells[sender, LIFE] = True

    def settle_balance(self, address: Address, delta: int) -> None:
        """`delta_balance` to which no checkpoint goes back any more."""
        self.effects.deltas[address] = self._total(address, delta)
        self.effects.cells[address, LIFE] = True

    def _total(self, address: Address, delta: int) -> int:
        """What the account gained in all with ``delta``, which leaves it in range."""
        total = self.effects.deltas.get(address, 0) + delta
        if delta < 0:
            in_range = self.source.at_least(address, -total)
        else:
            in_range = self.source.below(address, UINT_256_MAX + 1 - total)
        if not in_range:
            validate_uint256(self.source.balance(address) + total, title="Account Balance")
        return total

    def _set_delta(self, address: Address, total: int) -> None:
        deltas = self.effects.deltas
        self._log.append((deltas, address, deltas.get(address, _ABSENT)))
        deltas[address] = total
        key = address, LIFE
        if self.effects.cells.get(key) is not True:
            self._set_cell(key, True)

    #
    # Nonce
    #
    def get_nonce(self, address: Address) -> int:
        return self.nonce(address)

    def set_nonce(self, address: Address, nonce: int) -> None:
        if type(nonce) is not int or nonce < 0 or nonce > _UINT64_MAX:
            validate_uint64(nonce, title="Nonce")
        self._set_cell((address, NONCE), nonce)
        self._set_cell((address, LIFE), True)

    def increment_nonce(self, address: Address) -> None:
        self.set_nonce(address, self.nonce(address) + 1)

    #
    # Code
    #
    def get_code(self, address: Address) -> bytes:
        code_hash = self.code_hash(address)
        return b"" if code_hash == EMPTY_SHA3 else self.code(code_hash)

    def get_code_hash(self, address: Address) -> Hash32:
        return Hash32(self.code_hash(address))

    def set_code(self, address: Address, code: bytes) -> None:
        validate_canonical_address(address, title="Storage Address")
        validate_is_bytes(code, title="Code")
        code_hash = keccak(code)
        self.effects.codes[code_hash] = code
        self._set_cell((address, CODE), code_hash)
        self._set_cell((address, LIFE), True)

    def delete_code(self, address: Address) -> None:
        self._set_cell((address, CODE), EMPTY_SHA3)
        self._set_cell((address, LIFE), True)

    #
    # Account
    #
    def account_has_code_or_nonce(self, address: Address) -> bool:
        return self.nonce(address) != 0 or self.code_hash(address) != EMPTY_SHA3

    def account_exists(self, address: Address) -> bool:
        return self.exists(address)

    def account_is_empty(self, address: Address) -> bool:
        """EIP-161's "empty", asked in the order that observes least."""
        delta = self.effects.deltas.get(address, 0)
        if delta > 0 or self.code_hash(address) != EMPTY_SHA3:
            return False
        return not self.source.at_least(address, 1 - delta) and self.nonce(address) == 0

    def touch_account(self, address: Address) -> None:
        self._set_cell((address, LIFE), True)

    def forget_touch(self, address: Address) -> bool:
        """Let an empty account that was not there before be as if it had never been touched, for
        good. False where there is more to undo than a touch (`delete_account` does it)."""
        cells = self.effects.cells
        if (address, EPOCH) in cells or (address, NONCE) in cells or (address, CODE) in cells:
            return False
        if address in self.effects.slots or self.source.exists(address):
            return False
        deltas = self.effects.deltas
        self._log.append((cells, (address, LIFE), cells.pop((address, LIFE), _ABSENT)))
        self._log.append((deltas, address, deltas.pop(address, _ABSENT)))
        return True

    def ghosts(self) -> frozenset[bytes]:
        """Accounts that do not exist and hold storage all the same. No transaction makes them;
        somebody has written to the state by hand."""
        slots = self.effects.slots
        return frozenset(
            address for address, held in slots.items() if held and not self.exists(address)
        )

    def delete_account(self, address: Address) -> None:
        validate_canonical_address(address, title="Storage Address")
        self._wipe(address)
        # The balance is read before the account is gone from this view.
        self._set_delta(address, -self.source.balance(address))
        self._set_cell((address, NONCE), 0)
        self._set_cell((address, CODE), EMPTY_SHA3)
        self._set_cell((address, LIFE), False)

    def _set_cell(self, key: Key, value: Any) -> None:
        cells = self.effects.cells
        previous = cells.get(key, _ABSENT)
        if previous is not value:
            self._log.append((cells, key, previous))
            cells[key] = value

    #
    # EIP-2929 warm sets
    #
    def is_storage_warm(self, address: Address, slot: int) -> bool:
        return (address, slot) in self.warm

    def mark_storage_warm(self, address: Address, slot: int) -> None:
        self.mark_warm((address, slot))

    def is_address_warm(self, address: Address) -> bool:
        return address in self.warm

    def mark_address_warm(self, address: Address) -> None:
        self.mark_warm(address)

    def begin_warm(self, *addresses: Address) -> None:
        """These are warm from the beginning, and will be until the end."""
        warm = self.warm
        for address in addresses:
            warm[address] = None

    def mark_warm(self, key: Any) -> None:
        """An address, or (address, slot)."""
        if key not in self.warm:
            self._log.append((self.warm, key, _ABSENT))
            self.warm[key] = None

    #
    # EIP-1153 transient storage: py-evm keeps it beside the database; here one log undoes both
    #
    def get_transient_storage(self, address: Address, slot: int) -> bytes:
        return self._transient.get((address, slot), b"")

    def set_transient_storage(self, address: Address, slot: int, value: bytes) -> None:
        key = (address, slot)
        self._log.append((self._transient, key, self._transient.get(key, _ABSENT)))
        self._transient[key] = value

    def clear_transient_storage(self) -> None:
        if self._transient:
            self._transient = {}

    #
    # Checkpoints
    #
    def record(self) -> JournalDBCheckpoint:
        # py-evm's own counter: the same number also marks its transient storage's journal.
        checkpoint = get_next_checkpoint()
        self._checkpoints.append((checkpoint, len(self._log)))
        return checkpoint

    def discard(self, checkpoint: JournalDBCheckpoint) -> None:
        position = self._pop_through(checkpoint)
        self._undo(self._log, position)

    def _undo(self, log: Log, position: int) -> None:
        while len(log) > position:
            dictionary, key, previous = log.pop()
            if previous is _ABSENT:
                dictionary.pop(key, None)
            else:
                dictionary[key] = previous

    def commit(self, checkpoint: JournalDBCheckpoint) -> None:
        self._pop_through(checkpoint)

    def _pop_through(self, checkpoint: JournalDBCheckpoint) -> int:
        checkpoints = self._checkpoints
        while len(checkpoints) > self._locked_below:
            number, position = checkpoints.pop()
            if number == checkpoint:
                return position
        raise ValidationError(f"No checkpoint {checkpoint} was found")

    def lock_changes(self) -> None:
        """A new transaction starts: what was written so far is "original", nothing is warm.

        Checkpoints from before can no longer be discarded, as in py-evm.
        """
        self._originals.clear()
        self.warm = {}
        self.clear_transient_storage()
        self._log.clear()
        self._lasting.clear()
        self._locked_below = len(self._checkpoints)

    def transaction_traces(self) -> Traces:
        """What the transaction leaves behind that the next `lock_changes` removes."""
        return tuple(self.warm), dict(self._originals)

    def resume(self, traces: Traces, increments: dict[bytes, dict[int, int]]) -> None:
        """Go on as if the transaction that left ``traces`` had just run here.

        ``increments``: what it added, which is in this state already.
        """
        warm, originals = traces
        self.warm = dict.fromkeys(warm)
        self._originals = {
            key: self.slot(*key) - increments.get(key[0], {}).get(key[1], 0)
            if value is None
            else value
            for key, value in originals.items()
        }

    #
    # Folding in what a speculation wrote
    #
    def fold(self, effects: Effects) -> None:
        """Take over another state's effects, in their order in the block. Cannot be undone."""
        mine = self.effects
        cells = effects.cells
        slots = mine.slots
        for address, written in effects.slots.items():
            held = slots.get(address)
            if held is None or (address, EPOCH) in cells:
                slots[address] = dict(written)
            else:
                held.update(written)
        mine.cells.update(cells)
        deltas = mine.deltas
        for address, delta in effects.deltas.items():
            deltas[address] = deltas.get(address, 0) + delta
        if effects.codes:
            mine.codes.update(effects.codes)

    #
    # Roots: only the committed state has them
    #
    @property
    def state_root(self) -> Hash32:
        return BLANK_ROOT_HASH

    @state_root.setter
    def state_root(self, value: Hash32) -> None:
        if value != BLANK_ROOT_HASH:
            raise ValidationError("A view of the state has no root that could be changed")

    def has_root(self, state_root: bytes) -> bool:
        return False

    def make_state_root(self) -> Hash32:
        raise NotImplementedError("A view of the state has no root; commit its effects first")

    def persist(self) -> MetaWitnessAPI:
        raise NotImplementedError("A view of the state is not persisted; commit its effects first")


class View(FlatState):
    """A `FlatState` in the form in which py-evm's states build their account database."""

    __slots__ = ()

    def __init__(self, db: Source, state_root: bytes) -> None:
        super().__init__(db)
