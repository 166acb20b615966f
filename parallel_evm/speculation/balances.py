"""Balances that observe little.

Responsible for: `LazyBalance`, which a state hands out where py-evm reads a balance, and credits
that read nothing.
Talks to: `FlatState`, which can tell bounds from values.
Never: asks whether rules are py-evm's own; who uses these has (`rules`).

py-evm reads whole balances where it only compares them (can the sender pay? can the caller
transfer?). Recorded as they are, such reads would make every transfer conflict with every other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth.vm.state import BaseState
from eth_typing import Address

from parallel_evm.speculation.stock import is_stock_method
from parallel_evm.state.flat import FlatState


class LazyBalance:
    """A balance (wei) that observes a bound when compared and itself when used.

    It stays what it was when it was read, also after the transaction changes the account: what
    the transaction itself had added by then is kept, and only the rest is asked for later.

    It is not an int on purpose: a use that is not foreseen here fails loudly, and the transaction
    is then run on the committed state.
    """

    __slots__ = ("_address", "_delta", "_source")

    def __init__(self, state: FlatState, address: bytes) -> None:
        self._source = state.source
        self._delta = state.effects.deltas.get(address, 0)
        self._address = address

    def _at_least(self, needed: int) -> bool:
        return self._source.at_least(self._address, needed - self._delta)

    def __int__(self) -> int:
        return self._source.balance(self._address) + self._delta

    __index__ = __int__

    def __lt__(self, other: Any) -> bool:
        return not self._at_least(int(other))

    def __ge__(self, other: Any) -> bool:
        return self._at_least(int(other))

    def __le__(self, other: Any) -> bool:
        return not self._at_least(int(other) + 1)

    def __gt__(self, other: Any) -> bool:
        return self._at_least(int(other) + 1)

    def __eq__(self, other: object) -> bool:
        return int(self) == other

    def __hash__(self) -> int:
        return hash(int(self))

    def __bool__(self) -> bool:
        return self._at_least(1)

    def __add__(self, other: Any) -> int:
        return int(self) + int(other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> int:
        return int(self) - int(other)

    def __rsub__(self, other: Any) -> int:
        return int(other) - int(self)

    def __mul__(self, other: Any) -> int:
        return int(self) * int(other)

    __rmul__ = __mul__

    def __neg__(self) -> int:
        return -int(self)

    def __str__(self) -> str:
        return str(int(self))

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(int(self), spec)


def credit(self: Any, address: Address, delta: int) -> None:
    """``delta_balance`` that reads the balance only where py-evm's rules need it."""
    accounts = self._account_db
    if isinstance(accounts, FlatState):
        accounts.delta_balance(address, int(delta))
    else:  # somebody has put another one in its place
        BaseState.delta_balance(self, address, delta)


def lean_methods(state_class: type[BaseState]) -> dict[str, Callable[..., Any]]:
    """Overrides that any state over a `FlatState` profits from, as far as they are sound."""
    if is_stock_method(state_class, "delta_balance"):
        return {"delta_balance": credit}
    return {}
