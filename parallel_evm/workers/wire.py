"""What travels between coordinator and worker processes, and how it is encoded.

Messages are tuples whose first item is one of the tags below, pickled as a whole: pickle
remembers repeated objects, so an address that occurs fifty times in a speculation is sent once.
Speculations are flattened into tuples, which encodes five times faster than their dataclasses.
"""

from __future__ import annotations

import pickle
from typing import Any, Final

from parallel_evm.speculation.result import Outcome, Speculation
from parallel_evm.state.base import Changes
from parallel_evm.state.flat import Effects
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


def unflatten(flat: tuple[Any, ...], worker: int) -> Speculation:
    """Raises ValueError when ``flat`` does not have the shape of a speculation."""
    parts = flat[1:8]
    if not isinstance(flat[0], int) or not all(isinstance(part, dict) for part in parts):
        raise ValueError("not a speculation: its parts have the wrong types")
    try:
        (index, cells, slots, bounds, *effects, outcome, seconds, traces, preimages) = flat
        return Speculation(
            index=index,
            observations=Observations(cells, slots, bounds),
            effects=Effects(*effects),
            outcome=None if outcome is None else Outcome(*outcome),
            seconds=seconds,
            worker=worker,
            traces=traces,
            preimages=preimages,
        )
    except TypeError as error:
        raise ValueError(f"not a speculation: {error}") from error


def flatten_effects(effects: Effects) -> tuple[Any, ...]:
    return (effects.cells, effects.slots, effects.deltas, effects.codes)


def flatten_changes(changes: Changes) -> tuple[Any, ...]:
    accounts = {
        address: None if account is None else tuple(account)
        for address, account in changes.accounts.items()
    }
    return (accounts, changes.slots, changes.wiped)
