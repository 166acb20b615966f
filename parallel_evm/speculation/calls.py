"""Message calls on a `FlatState`, without the layers that py-evm has between them.

Responsible for: the parts of py-evm's state and computation classes that every call goes through
(checkpoint, transfer, commit; the message itself; transient storage), done directly.
Talks to: `FlatState`, whose one log undoes accounts and transient storage together.
Never: fails by itself. What py-evm would refuse is handed to py-evm, before anything was done.

Both classes are mixed in by `rules.speculative_state`, and only where every rule is py-evm's own.
"""

from __future__ import annotations

from typing import Any

from eth.constants import STACK_DEPTH_LIMIT
from eth.typing import JournalDBCheckpoint
from eth.vm.message import Message


class DirectState:
    """Mixed into a state class over a `FlatState`."""

    _account_db: Any

    def snapshot(self) -> JournalDBCheckpoint:
        checkpoint: JournalDBCheckpoint = self._account_db.record()
        return checkpoint

    def revert(self, snapshot: JournalDBCheckpoint) -> None:
        self._account_db.discard(snapshot)

    def commit(self, snapshot: JournalDBCheckpoint) -> None:
        self._account_db.commit(snapshot)

    def get_transient_storage(self, address: bytes, slot: int) -> bytes:
        value: bytes = self._account_db.get_transient_storage(address, slot)
        return value

    def set_transient_storage(self, address: bytes, slot: int, value: bytes) -> None:
        self._account_db.set_transient_storage(address, slot, value)

    def clear_transient_storage(self) -> None:
        self._account_db.clear_transient_storage()


class DirectCalls:
    """Mixed into a computation class whose state is a `DirectState`."""

    msg: Any

    @classmethod
    def apply_message(
        cls: Any,
        state: Any,
        message: Any,
        transaction_context: Any,
        parent_computation: Any = None,
    ) -> Any:
        """Transfer the value and run the code; what failed is undone."""
        accounts = state._account_db
        value = message.value if message.should_transfer_value else 0
        if (
            message.depth > STACK_DEPTH_LIMIT
            or (value and not accounts.at_least(message.sender, value))
            or cls.logger.show_debug2  # somebody wants to read of every transfer
        ):
            return super().apply_message(  # type: ignore[misc]
                state, message, transaction_context, parent_computation
            )
        checkpoint = accounts.record()
        recipient = message.storage_address
        if value:
            accounts.delta_balance(message.sender, -value)
            accounts.delta_balance(recipient, value)
        accounts.touch_account(recipient)
        computation = cls.apply_computation(state, message, transaction_context, parent_computation)
        if computation.is_error:
            accounts.discard(checkpoint)
        else:
            accounts.commit(checkpoint)
        return computation

    def prepare_child_message(
        self, gas: int, to: Any, value: int, data: Any, code: bytes, **kwargs: Any
    ) -> Message:
        kwargs.setdefault("sender", self.msg.storage_address)
        return message_of(
            gas, to, kwargs.pop("sender"), value, data, code, self.msg.depth + 1, **kwargs
        )


def message_of(
    gas: int,
    to: Any,
    sender: Any,
    value: int,
    data: Any,
    code: bytes,
    depth: int = 0,
    create_address: Any = None,
    code_address: Any = None,
    should_transfer_value: bool = True,
    is_static: bool = False,
    is_delegation: bool = False,
    refund: int = 0,
) -> Message:
    """py-evm's ``Message(...)``, of parts that are known to be sound, which it need not check."""
    message = Message.__new__(Message)
    message.gas = gas
    message.to = to
    message.sender = sender
    message.value = value
    message.data = data
    message.code = code
    message.depth = depth
    message._storage_address = create_address
    message._code_address = code_address
    message.should_transfer_value = should_transfer_value
    message.is_static = is_static
    message._is_delegation = is_delegation
    message.refund = refund
    return message
