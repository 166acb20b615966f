"""Message calls on a `FlatState`, without the layers that py-evm has between them.

Responsible for: the parts of py-evm's state and computation classes that every call goes through
(checkpoint, transfer, commit; the message and its transaction's context; transient storage), done
directly.
Talks to: `FlatState`, whose one log undoes accounts and transient storage together.
Never: fails by itself. What py-evm would refuse is handed to py-evm, before anything was done.

`rules.speculative_state` mixes `DirectState` and `DirectCalls` in, and only where every rule is
py-evm's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import count
from types import SimpleNamespace
from typing import Any

from eth.constants import CREATE_CONTRACT_ADDRESS, STACK_DEPTH_LIMIT
from eth.typing import JournalDBCheckpoint
from eth.vm.code_stream import CodeStream
from eth.vm.forks.cancun.state import CancunState
from eth.vm.forks.shanghai.computation import ShanghaiComputation
from eth.vm.gas_meter import GasMeter
from eth.vm.memory import Memory
from eth.vm.message import Message
from eth.vm.stack import Stack

from parallel_evm.state.flat import FlatState


class FlatTransientStorage:
    """Mixed into a state class over a `FlatState` since Cancun: its log undoes transient storage,
    too."""

    _account_db: Any

    def get_transient_storage(self, address: bytes, slot: int) -> bytes:
        value: bytes = self._storage().get_transient_storage(address, slot)
        return value

    def set_transient_storage(self, address: bytes, slot: int, value: bytes) -> None:
        self._storage().set_transient_storage(address, slot, value)

    def clear_transient_storage(self) -> None:
        self._storage().clear_transient_storage()

    def _storage(self) -> Any:
        accounts = self._account_db
        # py-evm's own, where somebody has put another account database in its place
        return accounts if isinstance(accounts, FlatState) else super()


def transient_storage_of(state_class: Any) -> tuple[type, ...]:
    """What to mix into this class for its transient storage, where it has any (EIP-1153)."""
    return (FlatTransientStorage,) if issubclass(state_class, CancunState) else ()


class DirectState:
    """Mixed into a state class over a `FlatState` on which nobody makes a state root."""

    _account_db: Any

    def snapshot(self) -> JournalDBCheckpoint:
        checkpoint: JournalDBCheckpoint = self._account_db.record()
        return checkpoint

    def revert(self, snapshot: JournalDBCheckpoint) -> None:
        self._account_db.discard(snapshot)

    def commit(self, snapshot: JournalDBCheckpoint) -> None:
        self._account_db.commit(snapshot)


class DirectMessage(Message):
    """py-evm's message, with what it works out whenever it is asked worked out once."""

    __slots__ = ("code_address", "data_as_bytes", "is_create", "storage_address")


class DirectStack(Stack):
    """py-evm's stack, whose short cuts are made when its opcodes ask for them: translated code,
    which is nearly all, works on ``values``."""

    __slots__ = ()

    def __init__(self) -> None:
        self.values = []

    def __len__(self) -> int:
        return len(self.values)

    _append: Any = property(lambda self: self.values.append)
    _pop: Any = property(lambda self: self.values.pop)


class DirectCalls:
    """Mixed into a computation class whose state is a `DirectState`."""

    msg: Any
    state: Any
    children: Any
    transaction_context: Any
    return_data: bytes
    refund_strategy: Callable[[int, int], int]
    """How the fork's gas meter adds up refunds."""

    def __init__(self, state: Any, message: Any, transaction_context: Any) -> None:
        """What py-evm's computation is made of, without asking again whether it is sound."""
        self.state = state
        self.msg = message
        self.transaction_context = transaction_context
        meter = self._gas_meter = GasMeter.__new__(GasMeter)
        meter.refund_strategy = self.refund_strategy
        meter.start_gas = meter.gas_remaining = message.gas
        meter.gas_refunded = 0
        self.children = []
        self.accounts_to_delete: list[Any] = []
        self.beneficiaries: list[Any] = []
        self._stack = DirectStack()
        self._memory = Memory()
        self._log_entries: list[Any] = []
        self.data_floor_cost = 0
        if message.depth == 0 and isinstance(self, ShanghaiComputation):
            state.mark_address_warm(state.coinbase)  # EIP-3651; it stays warm in all that follows

    @cached_property
    def code(self) -> CodeStream:
        """Made when py-evm's loop asks for it: most calls run translated from end to end."""
        code = CodeStream.__new__(CodeStream)
        code.program_counter = 0
        code._raw_code_bytes = self.msg.code
        code._length_cache = len(self.msg.code)
        code.invalid_positions = set()
        code.valid_positions = set()
        return code

    def apply_child_computation(self, child_msg: Any) -> Any:
        if child_msg.is_create:
            return super().apply_child_computation(child_msg)  # type: ignore[misc]
        child = type(self).apply_message(self.state, child_msg, self.transaction_context, self)
        error = child._error
        self.return_data = b"" if error is not None and error.burns_gas else child.output
        self.children.append(child)
        return child

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
            not isinstance(accounts, FlatState)  # somebody has put another one in its place
            or message.depth > STACK_DEPTH_LIMIT
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
        if computation._error is None:
            accounts.commit(checkpoint)
        else:
            accounts.discard(checkpoint)
        return computation

    def prepare_child_message(
        self,
        gas: int,
        to: Any,
        value: int,
        data: Any,
        code: bytes,
        sender: Any = None,
        create_address: Any = None,
        code_address: Any = None,
        should_transfer_value: bool = True,
        is_static: bool = False,
        is_delegation: bool = False,
        refund: int = 0,
    ) -> Message:
        message = self.msg
        return message_of(
            gas,
            to,
            message.storage_address if sender is None else sender,
            value,
            data,
            code,
            message.depth + 1,
            create_address,
            code_address,
            should_transfer_value,
            is_static,
            is_delegation,
            refund,
        )


def refund_strategy_of(computation_class: Any) -> Callable[[int, int], int]:
    """How this class's gas meters add up refunds (negative ones came with EIP-1283)."""
    meter: Any = computation_class._configure_gas_meter(SimpleNamespace(msg=SimpleNamespace(gas=0)))
    strategy: Callable[[int, int], int] = meter.refund_strategy
    return strategy


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
    message: Any = DirectMessage.__new__(DirectMessage)
    message.gas = gas
    message.to = to
    message.sender = sender
    message.value = value
    message.data = data
    message.data_as_bytes = bytes(data)
    message.code = code
    message.depth = depth
    message.is_create = to == CREATE_CONTRACT_ADDRESS
    message.storage_address = to if create_address is None else create_address
    message.code_address = to if code_address is None else code_address
    message.should_transfer_value = should_transfer_value
    message.is_static = is_static
    message._is_delegation = is_delegation
    message.refund = refund
    made: Message = message
    return made


def context_of(kind: Any, gas_price: int, origin: bytes, blob_hashes: Sequence[bytes] = ()) -> Any:
    """py-evm's ``kind(...)``, a transaction context, of parts that are known to be sound."""
    context = kind.__new__(kind)
    context._gas_price = gas_price
    context._origin = origin
    context._log_counter = count()
    context._blob_versioned_hashes = blob_hashes or []
    context._authorization_list = []
    return context
