"""What a transaction offers for its gas when its sender names no price.

Responsible for: a price that suffices when the transaction's turn comes, after all that waits.
Talks to: nobody.
Never: changes a price that somebody named.

eth-tester and web3 offer one gwei, always. Full blocks raise the base fee by an eighth each
(EIP-1559), so after a few of them that is not enough. Where it is, it stays what is offered:
transactions then hash as they do with eth-tester's own backend.
"""

from __future__ import annotations

from typing import Any, Final

from eth.abc import BlockHeaderAPI
from eth_tester.constants import DYNAMIC_FEE_TRANSACTION_PARAMS

GWEI: Final = 10**9
_RISE: Final = (9, 8)
"""By which the base fee rises after a full block."""


def names_fees(transaction: dict[str, Any]) -> bool:
    """Does it say what it pays?"""
    return any(name in transaction for name in (*DYNAMIC_FEE_TRANSACTION_PARAMS, "gas_price"))


def base_fee_of(header: BlockHeaderAPI) -> int:
    """In wei per gas; 0 before London."""
    return getattr(header, "base_fee_per_gas", None) or 0


def offer(header: BlockHeaderAPI, waiting: int) -> int:
    """What to offer at most, in wei per gas, for one of the blocks from ``header`` on, where
    transactions with ``waiting`` gas come first."""
    full_blocks = waiting // header.gas_limit + 1
    base_fee = base_fee_of(header)
    highest = base_fee * _RISE[0] ** full_blocks // _RISE[1] ** full_blocks + 1
    return GWEI if highest <= GWEI else max(2 * base_fee, highest) + GWEI
