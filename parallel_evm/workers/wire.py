"""What travels between coordinator and worker processes, and how it is encoded.

Messages are tuples whose first item is one of the tags below, pickled as a whole: pickle
remembers repeated objects, so an address that occurs fifty times in a speculation is sent once.
Speculations are flattened into tuples, which encodes five times faster than their dataclasses, and
in two parts: of a transaction in a lane that is right as a whole, nobody need ever look at what it
observed and wrote, so that is unpacked by whoever looks first (`Delivered`).
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Final

from eth.exceptions import VMError

from parallel_evm.merkle.index import Listed
from parallel_evm.merkle.update import TrieUpdate
from parallel_evm.speculation.result import Outcome, Speculation
from parallel_evm.state.base import Changes
from parallel_evm.state.flat import Effects
from parallel_evm.state.keys import BALANCE, CODE, EPOCH, LIFE, NONCE
from parallel_evm.state.recorder import Observations

# Tags are plain numbers: one of an IntEnum takes four times as long to pickle, and as to unpickle.

# coordinator to worker
BEGIN: Final = 0
"""(BEGIN,): a new block"""
OPEN: Final = 1
"""(OPEN, how many transactions the block has, rules token, state class and liberties or None,
execution context, written effects, lineage, changes since the worker's last block or None to start
afresh): they are going to run"""
SENDERS: Final = 2
"""(SENDERS, transactions as encoded, None for those that are not to be looked at, and all of the
block as encoded, if they are to be listed afterwards, or None)"""
RUN: Final = 3
"""(RUN, indices, transactions, senders, what it is told of the state, whether each runs by itself,
hot slots by index, indices of those that need not say what was hashed, whether to sum the lane up,
what to list afterwards or None)"""
ANSWER: Final = 4
"""(ANSWER, answers) or (ANSWER, None) when the state lacks the data"""
CANCEL: Final = 5
"""(CANCEL,): what has not run yet is not wanted any more"""
STOP: Final = 6
"""(STOP,): end"""

# worker to coordinator
RECOVERED: Final = 10
"""(RECOVERED, the next senders, None or at the last ones CPU seconds since BEGIN)"""
LISTED: Final = 11
"""(LISTED, the transactions' hashes, root of their trie, its nodes, CPU seconds since BEGIN)"""
FETCH: Final = 12
"""(FETCH, wants)"""
RESULTS: Final = 13
"""(RESULTS, heads of speculations, the details of each, encoded)"""
DONE: Final = 14
"""(DONE, None or why the rest of the lane was not run, CPU seconds since BEGIN, those of this RUN,
and the lane's sum, if it was wanted and nothing in it was refused, or None)"""

ANCESTORS: Final = "ancestors"
"""A want of its own: (ANCESTORS, first depth, count)."""


_NONE: Final = type(None)
_HEAD: Final[tuple[Any, ...]] = (int, (tuple, _NONE), float, (tuple, _NONE))
_TOUCHED: Final[tuple[Any, ...]] = (dict,) * 9
"""What `flatten` makes of what was observed and written."""
_FIELDS: Final = tuple(Outcome.__slots__)
"""An outcome travels as a tuple of these."""
_KINDS: Final[dict[str, Any]] = {
    "_error": (VMError, _NONE),
    "output": bytes,
    "return_data": bytes,
    "raw_log_entries": tuple,
    "gas_remaining": int,
    "gas_used": int,
    "gas_refund": int,
    "data_floor_gas": int,
    "accounts_for_deletion": tuple,
    "self_destruct_beneficiaries": tuple,
    "contracts_created": tuple,
    "create_address": (bytes, _NONE),
    "bloom": int,
    "encoded_logs": bytes,
}
_OUTCOME: Final[tuple[Any, ...]] = tuple(_KINDS[name] for name in _FIELDS)
_LOGS: Final = _FIELDS.index("raw_log_entries")
_BLOOM: Final = _FIELDS.index("bloom")
_ADDRESSES: Final = tuple(
    _FIELDS.index(name)
    for name in ("accounts_for_deletion", "self_destruct_beneficiaries", "contracts_created")
)
_BLOOMS: Final = 1 << 2048
_SEEN: Final[set[tuple[type, ...]]] = set()
"""Types of all fields, as sound outcomes were found to have them: nearly all are alike."""
_MAX_SEEN: Final = 256
_INTEGER: Final = frozenset({int})
_CELLS: Final = {BALANCE: int, NONCE: int, CODE: bytes, LIFE: bool, EPOCH: int}


def encode(message: tuple[Any, ...]) -> bytes:
    return pickle.dumps(message, protocol=5)


def decode(data: bytes) -> tuple[Any, ...]:
    """Raises ValueError for anything that is not a message."""
    try:
        message = pickle.loads(data)
    except (Exception, SystemExit) as error:  # a pickle can raise anything
        raise ValueError(f"undecodable message: {error!r}") from error
    if not isinstance(message, tuple) or not message or not isinstance(message[0], int):
        raise ValueError(f"not a message: {message!r:.100}")
    return message


class Delivered(Speculation):
    """A speculation whose details are packed until the first look at any of them.

    Its observations, effects and preimages are no attributes before; looking for one raises
    ValueError where they do not have the shape of such.
    """

    __slots__ = ("_packed",)

    def __init__(self, head: Any, details: Any, worker: int) -> None:
        """Raises ValueError for anything but a head, or details that are not encoded.

        Whatever passes can be entered into receipts without an error.
        """
        try:
            self.index, outcome, self.seconds, self.traces = head
            sound = (
                all(map(isinstance, head, _HEAD))
                and (outcome is None or _is_outcome(outcome))
                and (self.traces is None or _are_traces(*self.traces))
            )
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a speculation: {error}") from error
        if not sound or not isinstance(details, bytes):
            raise ValueError("not a speculation: its head has the wrong types")
        self.outcome = None if outcome is None else Outcome(*outcome)
        self.worker = worker
        self._packed: bytes | None = details

    def __getattr__(self, name: str) -> Any:  # of what has no value yet
        if name not in ("observations", "effects", "preimages"):
            raise AttributeError(name)
        self.unpack()
        return getattr(self, name)

    def unpack(self) -> None:
        """Raises ValueError; whatever passes can be judged and folded without an error."""
        if self._packed is None:
            return
        try:
            touched, preimages = pickle.loads(self._packed)
            sound = preimages is None or (type(preimages) is dict and _map(preimages, bytes, bytes))
        except (Exception, SystemExit) as error:  # a pickle can raise anything
            raise ValueError(f"undecodable details: {error!r}") from error
        if not sound:
            raise ValueError("not a speculation: its preimages have the wrong types")
        self.observations, self.effects = unflatten(touched)
        self.preimages = preimages
        self._packed = None


def addresses(senders: Any) -> Sequence[bytes | None]:
    """What a message of RECOVERED brings. Raises ValueError or TypeError for anything else."""
    for sender in senders:
        if sender is not None and not (isinstance(sender, bytes) and len(sender) == 20):
            raise ValueError("senders that are no addresses")
    found: Sequence[bytes | None] = senders
    return found


def listed(contents: list[bytes], hashes: Any, root: Any, nodes: Any) -> Listed:
    """What a message of LISTED brings, of these transactions. Raises ValueError for anything but
    hashes and nodes."""
    made = hashes_and_trie(hashes, root, nodes)
    if len(hashes) != len(contents):
        raise ValueError("no list")
    return Listed(contents, *made)


def hashes_and_trie(hashes: Any, root: Any, nodes: Any) -> tuple[list[bytes], TrieUpdate]:
    """The same of whatever transactions."""
    if not isinstance(hashes, list) or not isinstance(nodes, dict):
        raise ValueError("no list")
    digests = [root, *hashes, *nodes]
    if {*map(type, digests), *map(type, nodes.values())} != {bytes} or {*map(len, digests)} != {32}:
        raise ValueError("no list")
    return hashes, TrieUpdate(root, nodes)


def results(heads: Any, details: Any, worker: int) -> list[Delivered]:
    """What a message of RESULTS brings. Raises ValueError for anything else."""
    if not isinstance(heads, list) or not isinstance(details, list) or len(heads) != len(details):
        raise ValueError("no results")
    return [Delivered(*parts, worker) for parts in zip(heads, details, strict=True)]


def head_of(speculation: Speculation) -> tuple[Any, ...]:
    """What is needed of it at once."""
    outcome = speculation.outcome
    return (
        speculation.index,
        None if outcome is None else tuple(getattr(outcome, name) for name in _FIELDS),
        speculation.seconds,
        speculation.traces,
    )


def without_outcome(head: tuple[Any, ...]) -> tuple[Any, ...]:
    """As of a run whose end is not known."""
    return (head[0], None, *head[2:])


def details_of(speculation: Speculation, silent: bool) -> bytes:
    """What may be needed of it. ``silent``: what was hashed is not."""
    touched = flatten(speculation.observations, speculation.effects)
    return pickle.dumps((touched, None if silent else speculation.preimages), protocol=5)


def flatten(observed: Observations, effects: Effects) -> tuple[Any, ...]:
    return (
        observed.cells,
        observed.slots,
        observed.bounds,
        observed.ranges,
        *flatten_effects(effects),
    )


def unflatten(flat: Any) -> tuple[Observations, Effects]:
    """Raises ValueError when ``flat`` is not what `flatten` makes."""
    try:
        cells, slots, bounds, ranges, new_cells, new_slots, deltas, codes, increments = flat
        sound = (
            all(map(isinstance, flat, _TOUCHED))
            and _are_cells(cells)
            and _are_slots(slots)
            and _map(bounds, bytes, int)
            and (not ranges or _are_ranges(ranges))
            and _are_cells(new_cells)
            and _are_slots(new_slots)
            and _map(deltas, bytes, int)
            and _map(codes, bytes, bytes)
            and (not increments or _are_increments(increments, new_slots))
        )
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a speculation: {error}") from error
    if not sound:
        raise ValueError("not a speculation: its parts have the wrong types")
    return (
        Observations(cells, slots, bounds, ranges),
        Effects(new_cells, new_slots, deltas, codes, increments),
    )


# The coordinator does this for every transaction: `all`, `map` and `isinstance` run without a line
# of Python in between.
def _all(items: Iterable[Any], kind: Any) -> bool:
    return all(map(isinstance, items, repeat(kind)))


def _map(part: dict[Any, Any], keys: type, values: type) -> bool:
    return not part or (_all(part, keys) and _all(part.values(), values))


def _are_slots(part: dict[Any, Any]) -> bool:
    for address, written in part.items():
        if not (isinstance(address, bytes) and isinstance(written, dict)):
            return False
        for slot, value in written.items():
            if not (isinstance(slot, int) and isinstance(value, int)):
                return False
    return True


def _are_ranges(part: dict[Any, Any]) -> bool:
    for address, ranges in part.items():
        if not (isinstance(address, bytes) and isinstance(ranges, dict)):
            return False
        if not _map(ranges, int, tuple):
            return False
        if not all(len(span) == 2 and _all(span, int) for span in ranges.values()):
            return False
    return True


def _are_increments(part: dict[Any, Any], slots: dict[Any, Any]) -> bool:
    return _are_slots(part) and all(
        added.keys() <= slots.get(address, {}).keys() for address, added in part.items()
    )


def _are_cells(part: dict[Any, Any]) -> bool:
    for (address, field), value in part.items():
        if not (isinstance(address, bytes) and isinstance(value, _CELLS[field])):
            return False
    return True


def _are_traces(warm: Any, originals: Any) -> bool:
    set(warm)  # raises TypeError for what can be no member of a set
    both = isinstance(warm, tuple) and isinstance(originals, dict)
    return (
        both
        and all(len(key) == 2 and isinstance(key[0], bytes) for key in originals)
        and _all(originals.values(), int | None)
    )


def _is_outcome(outcome: tuple[Any, ...]) -> bool:
    kinds = tuple(map(type, outcome))
    if kinds not in _SEEN:
        if not all(map(isinstance, outcome, _OUTCOME)):
            return False
        if len(_SEEN) < _MAX_SEEN:
            _SEEN.add(kinds)
    for position, address, topics, data in outcome[_LOGS]:
        if not (
            isinstance(position, int)
            and isinstance(address, bytes)
            and isinstance(topics, tuple | list)
            and isinstance(data, bytes)
            and _INTEGER.issuperset(map(type, topics))
        ):
            return False
    return 0 <= outcome[_BLOOM] < _BLOOMS and all(
        not outcome[place] or _all(outcome[place], bytes) for place in _ADDRESSES
    )


def flatten_effects(effects: Effects) -> tuple[Any, ...]:
    return (effects.cells, effects.slots, effects.deltas, effects.codes, effects.increments)


def flatten_changes(changes: Changes) -> tuple[Any, ...]:
    accounts = {
        address: None if account is None else tuple(account)
        for address, account in changes.accounts.items()
    }
    return (accounts, changes.slots, changes.wiped)
