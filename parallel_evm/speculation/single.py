"""Transactions outside of blocks: calls, gas estimates, and blocks that are built one by one.

Responsible for: `SingleState`, mixed into the state of a parallelized VM. What is asked of that
state directly (``apply_transaction``, ``costless_execute_transaction``, ``estimate_gas``, which
runs a transaction a dozen times) goes py-evm's way, but its contracts run translated.
Talks to: the computation class that `rules.speculative_state` derived, which blocks run on, too.
Never: has the last word. Whatever goes wrong is undone and run again as py-evm has it; where
py-evm finds nothing wrong, the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, cast

from eth.abc import ComputationAPI, SignedTransactionAPI

from parallel_evm.speculation.calls import DirectCalls, transient_storage_of
from parallel_evm.speculation.senders import recover_sender
from parallel_evm.speculation.stock import STOCK_LEGACY_TRANSACTIONS, STOCK_TYPED_TRANSACTIONS

_LOGGER: Final = logging.getLogger(__name__)
_STOCK_TRANSACTIONS: Final = STOCK_LEGACY_TRANSACTIONS | STOCK_TYPED_TRANSACTIONS


class _Forgotten(dict[bytes, bytes]):
    """Nobody forecasts anything from what is hashed here."""

    def __setitem__(self, digest: bytes, preimage: bytes) -> None:
        pass


class SingleState:
    """Mixed into a state class over a `MerkleState`. Its snapshots are py-evm's, whose callers may
    make a state root in between."""

    snapshot: Any
    revert: Any
    commit: Any
    computation_class: Any
    native_computation_class: ClassVar[Any]
    """py-evm's own."""
    translated_computation_class: ClassVar[Any]
    """What `computation_class` is, unless somebody sets another one."""
    preimages: ClassVar[dict[bytes, bytes]] = _Forgotten()

    def apply_transaction(self, transaction: SignedTransactionAPI) -> ComputationAPI:
        """``apply_transaction`` of py-evm: the same computation, and the same errors."""
        run: Any = super().apply_transaction  # type: ignore[misc]
        if not _is_translated(self):
            return cast(ComputationAPI, run(transaction))
        if type(transaction) in _STOCK_TRANSACTIONS:
            recover_sender(transaction)  # py-evm would do it twice
        before = self.snapshot()
        try:
            computation: ComputationAPI = run(transaction)
        except Exception as error:  # whatever it was: py-evm says what is wrong, or that nothing is
            self.revert(before)
            with natively(self):
                computation = run(transaction)
            _LOGGER.warning(
                "Translated code failed where py-evm does not, which ran the transaction again: %r "
                "(a bug of parallel-evm; ParallelConfig(translate=False) avoids it)",
                error,
            )
        else:
            self.commit(before)
        return computation


@contextmanager
def natively(state: Any) -> Iterator[None]:
    """Inside, ``state`` runs code in py-evm's own computations, or in those that somebody gave it
    in their place."""
    if not _is_translated(state):
        yield
        return
    given = vars(state).get("computation_class")
    state.computation_class = state.native_computation_class
    try:
        yield
    finally:
        if given is None:
            del state.computation_class
        else:
            state.computation_class = given


def _is_translated(state: Any) -> bool:
    """Does it run the very class that was made for it, and nothing that was made of that?"""
    return isinstance(state, SingleState) and (
        state.computation_class is state.translated_computation_class
    )


def single_state_bases(
    state_class: Any, speculative: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Bases and namespace of ``state_class`` for use outside of blocks. ``speculative``: the class
    that was derived from it for speculations. Where it runs plain py-evm, so does this."""
    computation = speculative.computation_class
    if not issubclass(computation, DirectCalls):
        return (state_class,), {}
    return (SingleState, *transient_storage_of(state_class), state_class), {
        "computation_class": computation,
        "native_computation_class": state_class.computation_class,
        "translated_computation_class": computation,
    }
