"""The one question that state answers downwards: what does this key hold?

Views are stacked: a transaction's own writes lie on a recorder, the recorder on what earlier
transactions of its lane wrote, that on the state before the block. Each layer is a `Source` for
the layer above it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from eth.constants import EMPTY_SHA3 as EMPTY_CODE_HASH

from parallel_evm.state.keys import NO_WIPE


class Account(NamedTuple):
    """The part of an account that execution can see (its storage is asked slot by slot)."""

    nonce: int
    balance: int
    """In wei."""
    code_hash: bytes


class Source(Protocol):
    """Reads of chain state at one moment. Addresses are 20 bytes, values Python integers.

    Reads of what does not exist give zero, the empty code hash, or False; a database that lacks
    the data raises py-evm's `EVMMissingData`.
    """

    def balance(self, address: bytes) -> int: ...

    def nonce(self, address: bytes) -> int: ...

    def code_hash(self, address: bytes) -> bytes: ...

    def exists(self, address: bytes) -> bool: ...

    def slot(self, address: bytes, slot: int) -> int: ...

    def epoch(self, address: bytes) -> int: ...

    def code(self, code_hash: bytes) -> bytes: ...

    def at_least(self, address: bytes, needed: int) -> bool:
        """Is the balance ``needed`` wei or more? Observes the inequality, not the balance."""
        ...

    def below(self, address: bytes, limit: int) -> bool:
        """Is the balance under ``limit`` wei? Observes nothing while it is.

        Only overflow is asked this way, and whoever adds balances up afterwards checks again.
        """
        ...


class AccountSource:
    """A `Source` over whole accounts: what the bottom layers have in common.

    Subclasses give `account`, `slot` and `code`. Nothing was wiped below the block, so the
    epoch is always `NO_WIPE`.
    """

    def account(self, address: bytes) -> Account | None:
        raise NotImplementedError

    def slot(self, address: bytes, slot: int) -> int:
        raise NotImplementedError

    def code(self, code_hash: bytes) -> bytes:
        raise NotImplementedError

    def balance(self, address: bytes) -> int:
        account = self.account(address)
        return 0 if account is None else account.balance

    def nonce(self, address: bytes) -> int:
        account = self.account(address)
        return 0 if account is None else account.nonce

    def code_hash(self, address: bytes) -> bytes:
        account = self.account(address)
        return EMPTY_CODE_HASH if account is None else account.code_hash

    def exists(self, address: bytes) -> bool:
        return self.account(address) is not None

    def epoch(self, address: bytes) -> int:
        return NO_WIPE

    def at_least(self, address: bytes, needed: int) -> bool:
        return self.balance(address) >= needed

    def below(self, address: bytes, limit: int) -> bool:
        return self.balance(address) < limit
