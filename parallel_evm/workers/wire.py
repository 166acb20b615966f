"""What travels between coordinator and worker processes, and how it is encoded.

Messages are tuples whose first item is one of the tags below, pickled as a whole: pickle
remembers repeated objects, so an address that occurs fifty times in a speculation is sent once.
Speculations are flattened into tuples, which encodes five times faster than their dataclasses.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from itertools import repeat
from typing import Any, Final

from eth.exceptions import VMError

from parallel_evm.speculation.result import Outcome, Speculation
from parallel_evm.state.base import Changes
from parallel_evm.state.flat import Effects
from parallel_evm.state.keys import BALANCE, CODE, EPOCH, LIFE, NONCE
from parallel_evm.state.recorder import Observations

# coordinator to worker
BEGIN: Final = 6
"""(BEGIN,): a new block"""
OPEN: Final = 0
"""(OPEN, the block's transactions, rules token, state class and liberties or None, execution
context, written effects, lineage, changes since the worker's last block or None to start afresh):
they are going to run"""
SENDERS: Final = 1
"""(SENDERS, transactions as encoded, None for those that are not to be looked at, and all of the
block as encoded, if they are to be listed, or None)"""
RUN: Final = 2
"""(RUN, indices, senders, hints, whether each runs by itself, hot slots by index, indices of those
that need not say what was hashed)"""
ANSWER: Final = 3
"""(ANSWER, answers) or (ANSWER, None) when the state lacks the data"""
CANCEL: Final = 4
STOP: Final = 5

# worker to coordinator
RECOVERED: Final = 10
"""(RECOVERED, the next senders, None or at the last ones CPU seconds since BEGIN, seconds since
SENDERS)"""
LISTED: Final = 14
"""(LISTED, the transactions' hashes, root of their trie, its nodes, CPU seconds since BEGIN)"""
RESULTS: Final = 11
"""(RESULTS, flattened speculations)"""
FETCH: Final = 12
"""(FETCH, wants)"""
DONE: Final = 13
"""(DONE, None or why the rest of the lane was not run, CPU seconds since BEGIN, and those of this
RUN)"""

ANCESTORS: Final = "ancestors"
"""A want of its own: (ANCESTORS, first depth, count)."""


_NONE: Final = type(None)
_SPECULATION: Final[tuple[Any, ...]] = (
    int, *[dict] * 7, (tuple, _NONE), float, (tuple, _NONE), (dict, _NONE), dict, dict
)  # fmt: skip
"""What `flatten` makes of a speculation."""
_WITH_OUTCOME: Final = 8
_OUTCOME: Final[tuple[Any, ...]] = (
    (VMError, _NONE), bytes, bytes, tuple, *[int] * 5, tuple, tuple, tuple, (bytes, _NONE), int,
    bytes,
)  # fmt: skip
"""The fields of an `Outcome`, in their order."""
_LOGS: Final = 3
_ADDRESSES: Final = slice(9, 12)
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


def flatten(speculation: Speculation) -> tuple[Any, ...]:
    observed, effects = speculation.observations, speculation.effects
    outcome = speculation.outcome
    return (
        speculation.index,
        observed.cells,
        observed.slots,
        observed.bounds,
        effects.cells,
        effects.slots,
        effects.deltas,
        effects.codes,
        None if outcome is None else tuple(getattr(outcome, name) for name in Outcome.__slots__),
        speculation.seconds,
        speculation.traces,
        speculation.preimages,
        observed.ranges,
        effects.increments,
    )


def without_outcome(flat: tuple[Any, ...]) -> tuple[Any, ...]:
    """What was observed and written, as of a run whose end is not known."""
    return (*flat[:_WITH_OUTCOME], None, *flat[_WITH_OUTCOME + 1 :])


def unflatten(flat: tuple[Any, ...], worker: int) -> Speculation:
    """Raises ValueError when ``flat`` does not have the shape of a speculation.

    Whatever passes can be judged, folded and entered into receipts without an error: a worker's
    nonsense ends here.
    """
    try:
        (
            index, cells, slots, bounds, new_cells, new_slots, deltas, codes,
            outcome, seconds, traces, preimages, ranges, increments,
        ) = flat  # fmt: skip
        sound = (
            all(map(isinstance, flat, _SPECULATION))
            and _are_cells(cells)
            and _are_slots(slots)
            and _map(bounds, bytes, int)
            and _are_cells(new_cells)
            and _are_slots(new_slots)
            and _map(deltas, bytes, int)
            and _map(codes, bytes, bytes)
            and (outcome is None or _is_outcome(outcome))
            and (traces is None or _are_traces(*traces))
            and (preimages is None or _map(preimages, bytes, bytes))
            and (not ranges or _are_ranges(ranges))
            and (not increments or _are_increments(increments, new_slots))
        )
        if not sound:
            raise ValueError("not a speculation: its parts have the wrong types")
        return Speculation(
            index=index,
            observations=Observations(cells, slots, bounds, ranges),
            effects=Effects(new_cells, new_slots, deltas, codes, increments),
            outcome=None if outcome is None else Outcome(*outcome),
            seconds=seconds,
            worker=worker,
            traces=traces,
            preimages=preimages,
        )
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a speculation: {error}") from error


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
    return both and _all(originals, tuple) and _all(originals.values(), int | None)


def _is_outcome(outcome: tuple[Any, ...]) -> bool:
    if not all(map(isinstance, outcome, _OUTCOME)):
        return False
    for position, address, topics, data in outcome[_LOGS]:
        if not (
            isinstance(position, int)
            and isinstance(address, bytes)
            and isinstance(topics, tuple | list)
            and _all(topics, int)
            and isinstance(data, bytes)
        ):
            return False
    return all(not addresses or _all(addresses, bytes) for addresses in outcome[_ADDRESSES])


def flatten_effects(effects: Effects) -> tuple[Any, ...]:
    return (effects.cells, effects.slots, effects.deltas, effects.codes, effects.increments)


def flatten_changes(changes: Changes) -> tuple[Any, ...]:
    accounts = {
        address: None if account is None else tuple(account)
        for address, account in changes.accounts.items()
    }
    return (accounts, changes.slots, changes.wiped)
