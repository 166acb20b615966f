"""ParallelTester: an `EthereumTester` that leaves queueing to the backend.

Responsible for: sending without eth-tester's own queue, and errors at the send that caused them.
Talks to: eth-tester's `EthereumTester`, of which it changes only that; `ParallelEVMBackend`.
Never: executes anything because something was sent, when auto-mining is off.

`EthereumTester` itself works with `ParallelEVMBackend` as it does with any backend. With
auto-mining off it keeps pending transactions as dictionaries, and sends each again from those when
it mines; that way raw legacy transactions with a chain id (EIP-155), blob transactions and set-code
transactions are lost. Here they are queued once, as they are, in the backend.
"""

# eth-tester has no annotations: what it is asked is untyped, and what it answers is Any.
# mypy: disable-error-code="no-untyped-call, no-any-return"

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from eth_tester.exceptions import SnapshotNotFound, TransactionNotFound
from eth_tester.main import EthereumTester
from eth_tester.validation.default import DefaultValidator
from eth_typing import Hash32
from eth_utils.hexadecimal import decode_hex, encode_hex

from parallel_evm.errors import ParallelEVMError
from parallel_evm.web3.backend import ParallelEVMBackend

# The methods without eth-tester's decorator, which mines, or keeps pending transactions.
_SEND: Final = EthereumTester.send_transaction.__wrapped__
_SEND_RAW: Final = EthereumTester.send_raw_transaction.__wrapped__


VALIDATOR: Final = "ETHEREUM_TESTER_VALIDATOR"
"""The environment variable by which eth-tester is given another validator."""


class AnyBlock(DefaultValidator):
    """eth-tester's validator, but for blocks with transactions of several types in full, and with
    those of EIP-7702, which it does not know in blocks."""

    @staticmethod
    def validate_outbound_block(block: dict[str, Any]) -> None:
        transactions = block["transactions"]
        if not all(isinstance(transaction, dict) for transaction in transactions):
            DefaultValidator.validate_outbound_block(block)
            return
        for transaction in transactions:
            DefaultValidator.validate_outbound_transaction(transaction)
        block["transactions"] = ()  # it completes what it is given
        try:
            DefaultValidator.validate_outbound_block(block)
        finally:
            block["transactions"] = transactions


class BlockIncomplete(ParallelEVMError):
    """`ParallelTester.one_block` mined a block that lacks some of what was sent."""


class ParallelTester(EthereumTester):
    """An `EthereumTester` over a `ParallelEVMBackend` (if none is given, one with all defaults).

    With ``auto_mine_transactions=False`` any number of transactions is queued, of one sender too;
    ``mine_block()`` executes them in one block. Receipts and logs exist once they are mined:
    ``pending``, as a bound of a log filter, means ``latest``.
    """

    backend: ParallelEVMBackend
    validator: Any

    def __init__(
        self,
        backend: ParallelEVMBackend | None = None,
        validator: Any = None,
        normalizer: Any = None,
        auto_mine_transactions: bool = True,
    ) -> None:
        if backend is None:
            backend = ParallelEVMBackend()
        elif not isinstance(backend, ParallelEVMBackend):
            raise TypeError(f"ParallelTester needs a ParallelEVMBackend, not {backend!r}")
        if validator is None and VALIDATOR not in os.environ:
            validator = AnyBlock()
        super().__init__(backend, validator, normalizer, auto_mine_transactions)

    # ---------------------------------------------------------------- sending and mining

    def send_transaction(self, transaction: dict[str, Any]) -> str:
        return self._sent(_SEND(self, transaction))

    def send_raw_transaction(self, raw_transaction_hex: str) -> str:
        return self._sent(_SEND_RAW(self, raw_transaction_hex))

    def _sent(self, transaction_hash: str) -> str:
        if self.auto_mine_transactions:
            key, queue = _raw(transaction_hash), self.backend.queue
            self.mine_block()
            while queue.find(key) is not None and self._has_mined_something():
                self.mine_block()  # what was queued before filled a block
            reason = self.backend.dropped.get(key)
            if reason is not None:
                raise reason
        return transaction_hash

    @contextmanager
    def one_block(self) -> Iterator[None]:
        """Mine what is sent inside, and what was queued before, in one block at the end.

        If the body or the mining raises, it is as if nothing had been sent: chain and queue are
        what they were. Raises
        `BlockIncomplete`, after mining, if some of the transactions are not in the block: they did
        not fit and are still queued, or they were invalid when it was their turn.
        """
        auto_mine, before = self.auto_mine_transactions, self.take_snapshot()
        self.disable_auto_mine_transactions()
        try:
            yield
            sent = [transaction.hash for transaction in self.backend.queue.for_next_block()]
            self.mine_block()
        except BaseException:
            with suppress(SnapshotNotFound):  # the body has begun a chain of its own
                self.revert_to_snapshot(before)
            raise
        finally:
            self.auto_mine_transactions = auto_mine
        self._require_mined(sent)

    def _has_mined_something(self) -> bool:
        head = self.backend.chain.get_canonical_head()
        return head.gas_used > 0

    def _require_mined(self, sent: list[Hash32]) -> None:
        backend = self.backend
        queued = [key for key in sent if backend.queue.find(key) is not None]
        dropped = [key for key in sent if key in backend.dropped]
        if queued or dropped:
            raise BlockIncomplete(
                f"Of {len(sent)} transactions, {len(queued)} found no room in the block and are "
                f"still queued, {len(dropped)} were invalid and dropped"
                + "".join(f"\n  {encode_hex(key)}: {backend.dropped[key]}" for key in dropped)
            )

    def _pop_pending_transactions_to_pending_block(self) -> list[str]:
        # Called before mining, for the hashes of what is sent by it. Nothing is left to be sent.
        return [encode_hex(transaction.hash) for transaction in self.backend.queue.for_next_block()]

    # ---------------------------------------------------------------- receipts and logs

    def _handle_filtering_for_transaction(self, transaction_hash: str) -> None:
        for pending_filter in self._pending_transaction_filters.values():
            pending_filter.add(_raw(transaction_hash))

    def get_transaction_receipt(self, transaction_hash: str) -> dict[str, Any]:
        self.validator.validate_inbound_transaction_hash(transaction_hash)
        if self.backend.queue.find(_raw(transaction_hash)) is not None:
            raise TransactionNotFound(
                f"Transaction {transaction_hash} is queued; it has a receipt when it is mined"
            )
        return super().get_transaction_receipt(transaction_hash)

    def create_log_filter(
        self,
        from_block: int | str | None = None,
        to_block: int | str | None = None,
        address: Any = None,
        topics: Any = None,
    ) -> int:
        return super().create_log_filter(_mined(from_block), _mined(to_block), address, topics)

    def get_logs(
        self,
        from_block: int | str | None = None,
        to_block: int | str | None = None,
        address: Any = None,
        topics: Any = None,
    ) -> tuple[dict[str, Any], ...]:
        return super().get_logs(_mined(from_block), _mined(to_block), address, topics)

    # ---------------------------------------------------------------- snapshots

    def revert_to_snapshot(self, snapshot_id: int) -> None:
        """Return to the snapshot's block and to what was queued then."""
        if snapshot_id in self._snapshots:
            self.backend.restore(self._snapshots[snapshot_id])
        super().revert_to_snapshot(snapshot_id)


def _raw(transaction_hash: str) -> Hash32:
    return Hash32(decode_hex(transaction_hash))


def _mined(block_number: int | str | None) -> int | str | None:
    return "latest" if block_number == "pending" else block_number
