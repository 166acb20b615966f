"""What travels between coordinator and worker processes, and how it is encoded.

Messages are tuples whose first item is one of the tags below, pickled as a whole: pickle
remembers repeated objects, so an address that occurs fifty times in a speculation is sent once.
Speculations are flattened into tuples, which encodes five times faster than their dataclasses.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any, Final

from eth.exceptions import VMError

from parallel_evm.speculation.result import Outcome, Speculation
from parallel_evm.state.base import Changes
from parallel_evm.state.flat import Effects
from parallel_evm.state.keys import BALANCE, CODE, EPOCH, LIFE, NONCE
from parallel_evm.state.recorder import Observations

# coordinator to worker
OPEN: Final = 0
"""(OPEN, rules token, state class and liberties or None, execution context, transactions, written
effects, lineage, changes since the worker's last block or None to start afresh)"""
SENDERS: Final = 1
"""(SENDERS, indices)"""
RUN: Final = 2
"""(RUN, indices, senders, hints, whether each runs by itself)"""
ANSWER: Final = 3
"""(ANSWER, answers) or (ANSWER, None) when the state lacks the data"""
CANCEL: Final = 4
STOP: Final = 5

# worker to coordinator
RECOVERED: Final = 10
"""(RECOVERED, senders or None where the block could not be taken)"""
RESULTS: Final = 11
"""(RESULTS, flattened speculations)"""
FETCH: Final = 12
"""(FETCH, wants)"""
DONE: Final = 13
"""(DONE, None or why the rest of the lane was not run, CPU seconds since OPEN)"""

ANCESTORS: Final = "ancestors"
"""A want of its own: (ANCESTORS, first depth, count)."""


_OUTCOME: Final = 8
"""Where a flattened speculation has its outcome."""

_CELLS: Final = {BALANCE: int, NONCE: int, CODE: bytes, LIFE: bool, EPOCH: int}

_OUTCOMES: Final = (
    *((name, bytes) for name in ("output", "return_data")),
    *((name, int) for name in ("gas_start", "gas_remaining", "gas_used", "gas_refund")),
    *((name, int) for name in ("data_floor_gas", "bloom")),
    ("raw_log_entries", tuple),
    ("accounts_for_deletion", tuple),
    ("self_destruct_beneficiaries", tuple),
    ("contracts_created", tuple),
)


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
    )


def without_outcome(flat: tuple[Any, ...]) -> tuple[Any, ...]:
    """What was observed and written, as of a run whose end is not known."""
    return (*flat[:_OUTCOME], None, *flat[_OUTCOME + 1 :])


def unflatten(flat: tuple[Any, ...], worker: int) -> Speculation:
    """Raises ValueError when ``flat`` does not have the shape of a speculation.

    Whatever passes can be judged, folded and entered into receipts without an error: a worker's
    nonsense ends here.
    """
    try:
        (
            index, cells, slots, bounds, new_cells, new_slots, deltas, codes,
            outcome, seconds, traces, preimages,
        ) = flat  # fmt: skip
        sound = (
            isinstance(index, int)
            and _are_cells(cells, observed=True)
            and _are_slots(slots)
            and _maps(bounds, bytes, int)
            and _are_cells(new_cells, observed=False)
            and _are_slots(new_slots)
            and _maps(deltas, bytes, int)
            and _maps(codes, bytes, bytes)
            and isinstance(seconds, float)
            and (traces is None or _are_traces(*traces))
            and (preimages is None or _maps(preimages, bytes, bytes))
        )
        result = None if outcome is None else Outcome(*outcome)
        if not sound or not (result is None or _is_outcome(result)):
            raise ValueError("not a speculation: its parts have the wrong types")
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a speculation: {error}") from error
    return Speculation(
        index=index,
        observations=Observations(cells, slots, bounds),
        effects=Effects(new_cells, new_slots, deltas, codes),
        outcome=result,
        seconds=seconds,
        worker=worker,
        traces=traces,
        preimages=preimages,
    )


def _maps(part: Any, keys: type, values: type) -> bool:
    return isinstance(part, dict) and _all(part, keys) and _all(part.values(), values)


def _all(items: Iterable[Any], kind: type) -> bool:
    # All of one type, hundreds of times per block: the set makes this run at the speed of C.
    return all(issubclass(found, kind) for found in set(map(type, items)))


def _are_slots(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and _all(part, bytes)
        and all(_maps(written, int, int) for written in part.values())
    )


def _are_cells(part: Any, observed: bool) -> bool:
    if not isinstance(part, dict):
        return False
    for key, value in part.items():
        address, field = key
        if not isinstance(address, bytes) or not isinstance(value, _CELLS[field]):
            return False
        if field == BALANCE and not observed:  # balances are written as differences
            return False
    return True


def _are_traces(warm: Any, originals: Any) -> bool:
    set(warm)  # raises TypeError for what can be no member of a set
    return isinstance(warm, tuple) and _maps(originals, tuple, int)


def _is_outcome(outcome: Outcome) -> bool:
    return (
        isinstance(outcome._error, VMError | None)
        and all(isinstance(getattr(outcome, name), kind) for name, kind in _OUTCOMES)
        and isinstance(outcome.create_address, bytes | None)
        and all(map(_is_log, outcome.raw_log_entries))
        and _all(outcome.accounts_for_deletion, bytes)
        and _all(outcome.self_destruct_beneficiaries, bytes)
        and _all(outcome.contracts_created, bytes)
    )


def _is_log(entry: Any) -> bool:
    position, address, topics, data = entry
    return (
        isinstance(position, int)
        and isinstance(address, bytes)
        and isinstance(topics, tuple | list)
        and _all(topics, int)
        and isinstance(data, bytes)
    )


def flatten_effects(effects: Effects) -> tuple[Any, ...]:
    return (effects.cells, effects.slots, effects.deltas, effects.codes)


def flatten_changes(changes: Changes) -> tuple[Any, ...]:
    accounts = {
        address: None if account is None else tuple(account)
        for address, account in changes.accounts.items()
    }
    return (accounts, changes.slots, changes.wiped)
