"""A transaction from its checks to its fee, done once and directly.

Responsible for: what py-evm's transaction executors do in layers, for the forks from Byzantium to
Prague: validation, buying gas, authorisations (EIP-7702), warm addresses, the message, refunds
(EIP-3529), the floor price of data (EIP-7623), fees, self-destructs and clearing (EIP-161).
Talks to: a py-evm state over a fresh `FlatState`, whose computation class runs the code.
Never: refuses a transaction. At anything irregular it raises `Irregular`, and py-evm's own
executor, on another fresh view, says what is wrong, or that nothing is.

Prices and limits are py-evm's constants and functions. A transfer to an account without code,
which is most of what can happen, makes no computation at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from eth._utils.address import generate_contract_address
from eth._utils.state import code_is_delegation_designation
from eth.constants import (
    CREATE_CONTRACT_ADDRESS,
    EMPTY_SHA3,
    SECPK1_N,
    UINT_64_MAX,
    UINT_256_MAX,
)
from eth.vm.forks.berlin.constants import ACCESS_LIST_TRANSACTION_TYPE
from eth.vm.forks.berlin.state import BerlinState
from eth.vm.forks.berlin.transactions import AccessListTransaction
from eth.vm.forks.byzantium.state import ByzantiumState
from eth.vm.forks.cancun.constants import (
    BLOB_TX_TYPE,
    GAS_PER_BLOB,
    VERSIONED_HASH_VERSION_KZG,
)
from eth.vm.forks.cancun.state import CancunState
from eth.vm.forks.cancun.transactions import BlobTransaction
from eth.vm.forks.frontier.constants import MAX_REFUND_QUOTIENT, REFUND_SELFDESTRUCT
from eth.vm.forks.london.constants import (
    DYNAMIC_FEE_TRANSACTION_TYPE,
    EIP3529_MAX_REFUND_QUOTIENT,
)
from eth.vm.forks.london.state import LondonState
from eth.vm.forks.london.transactions import DynamicFeeTransaction
from eth.vm.forks.prague.constants import SET_CODE_TRANSACTION_TYPE
from eth.vm.forks.prague.state import PragueState
from eth.vm.forks.prague.transactions import SetCodeTransaction
from eth.vm.forks.shanghai.computation import ShanghaiComputation
from eth.vm.forks.spurious_dragon._utils import THREE
from eth.vm.opcode_values import STOP

from parallel_evm.speculation.calls import context_of, message_of
from parallel_evm.speculation.fields import Fields, fields_of
from parallel_evm.speculation.logs import LogEntry, bloom_and_rlp
from parallel_evm.speculation.result import Outcome, outcome_of_transfer
from parallel_evm.speculation.stock import (
    STOCK_VMS,
    state_runs_stock_rules,
    stock_base,
)
from parallel_evm.state.flat import FlatState

_HIGHEST_S = SECPK1_N // 2


class Irregular(Exception):
    """This transaction is not for the direct path. Whatever was done to the view is void."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Where the forks from Byzantium to Prague differ in what they do around a message."""

    types: dict[type, int]
    """Typed transactions (EIP-2718) that the fork knows, and their numbers."""
    warms: bool
    """EIP-2929."""
    has_base_fee: bool
    """EIP-1559."""
    refund_quotient: int
    """At most one part in so many of the gas used is refunded (EIP-3529)."""
    refund_for_destroying: int
    """Gas, for each account that is deleted (until EIP-3529)."""
    warms_coinbase: bool
    """EIP-3651. py-evm's computations see to it; what needs no computation does so itself."""
    checks_highest_fee: bool
    """The sender must have what the gas may cost at most, not only what it does cost."""
    delegates: bool
    """EIP-7702."""
    extra_gas_for_data: Callable[[Any, int, int], int]
    """py-evm's ``calc_data_floor_gas(transaction, gas used, gas refunded)``."""


def fork_of(state_class: Any) -> Fork | None:
    """What to know of a state class's fork; None where py-evm's executor has to be used.

    That is where any rule is customised, where the parts belong to different forks, and before
    Byzantium.
    """
    stock = stock_base(state_class)
    computation, executor = state_class.computation_class, state_class.transaction_executor_class
    if (
        not state_runs_stock_rules(state_class)
        or not any(stock is vm.get_state_class() for vm in STOCK_VMS)
        or not issubclass(stock, ByzantiumState)
        or stock_base(computation) is not stock.computation_class
        or stock_base(executor) is not stock.transaction_executor_class
        or computation.opcodes[STOP] is not stock.computation_class.opcodes[STOP]
    ):
        return None
    types: dict[type, int] = {}
    if issubclass(stock, BerlinState):
        types[AccessListTransaction] = ACCESS_LIST_TRANSACTION_TYPE
    has_base_fee = issubclass(stock, LondonState)
    if has_base_fee:
        types[DynamicFeeTransaction] = DYNAMIC_FEE_TRANSACTION_TYPE
    if issubclass(stock, CancunState):
        types[BlobTransaction] = BLOB_TX_TYPE
    if issubclass(stock, PragueState):
        types[SetCodeTransaction] = SET_CODE_TRANSACTION_TYPE
    return Fork(
        types=types,
        warms=issubclass(stock, BerlinState),
        has_base_fee=has_base_fee,
        refund_quotient=EIP3529_MAX_REFUND_QUOTIENT if has_base_fee else MAX_REFUND_QUOTIENT,
        refund_for_destroying=0 if has_base_fee else REFUND_SELFDESTRUCT,
        warms_coinbase=issubclass(computation, ShanghaiComputation),
        checks_highest_fee=issubclass(stock, CancunState),
        delegates=issubclass(stock, PragueState),
        extra_gas_for_data=executor.calc_data_floor_gas,
    )


@dataclass(slots=True)
class _Order:
    """A transaction whose fields have been checked, as far as they can be without a state."""

    fields: Fields
    sender: Any
    gas_for_message: int
    price: int
    """Wei per gas that the sender pays."""
    tip: int
    """Wei per gas of it that goes to the coinbase."""


class Executor:
    """Runs transactions of one block, one after another, each on a fresh view, or on a state whose
    changes have just been locked."""

    def __init__(self, state: Any, fork: Fork, ghosts: frozenset[bytes]) -> None:
        """``state``: its account database is what the next transaction runs on. ``ghosts``:
        accounts that hold storage and do not exist."""
        self._state = state
        self._fork = fork
        self._ghosts = ghosts
        self._coinbase = state.coinbase
        self._gas_for_data: dict[tuple[type, int, int, bool], int] = {}
        self._base_fee = state.execution_context.base_fee_per_gas if fork.has_base_fee else 0

    def run(self, transaction: Any, sender: bytes, fields: Fields | None = None) -> Outcome:
        """``state.apply_transaction(transaction)``, reduced to its outcome.

        ``fields``: the transaction's, where somebody has read them.
        Raises `Irregular` where only py-evm can tell what is to be done, and what py-evm raises
        where code fails in ways that it does not catch.
        """
        state = self._state
        view: FlatState = state._account_db
        fields = fields or fields_of(transaction)
        if fields is None:
            raise Irregular
        order = self._checked(fields, sender)
        self._buy(view, order)
        to = fields.to
        refund = 0
        if fields.type_id == SET_CODE_TRANSACTION_TYPE:
            refund = state.process_set_code_authorizations(fields.signed)
        if to == CREATE_CONTRACT_ADDRESS:
            return self._create(view, order)
        code, is_delegated = self._code_at(view, to)
        self._warm_up(view, order, to)
        if not code and to not in state.computation_class.get_precompiles():
            return self._transfer(view, order, refund)
        message = message_of(
            order.gas_for_message,
            to,
            sender,
            fields.value,
            fields.data,
            code,
            is_delegation=is_delegated,
            refund=refund,
        )
        computation = state.computation_class.apply_message(state, message, self._context(order))
        return self._finish(view, order, computation)

    #
    # Checks
    #
    def _checked(self, fields: Fields, sender: bytes) -> _Order:
        """All that ``transaction.validate()`` checks, of any type: rather more than less."""
        signed, type_id, nonce, gas, to, value, data, v, r, s, highest, priority, chain_id, _ = (
            fields
        )
        if not (
            type(data) is bytes
            and type(to) is bytes
            and (len(to) == 20 or to == CREATE_CONTRACT_ADDRESS)
            and int is type(nonce) is type(gas) is type(value) is type(v) is type(r) is type(s)
            and int is type(highest) is type(priority) is type(chain_id)
            and 0 <= nonce < UINT_64_MAX
            and 0 <= gas <= UINT_256_MAX
            and 0 <= value <= UINT_256_MAX
            and 0 <= highest <= UINT_256_MAX
            and 0 <= priority <= UINT_256_MAX
            and 0 <= chain_id <= UINT_256_MAX
            and 0 < r < SECPK1_N
            and 0 < s <= _HIGHEST_S
        ):
            raise Irregular
        if not type_id:
            if not (v == 27 or v == 28 or 35 <= v <= UINT_256_MAX):
                raise Irregular
        else:
            if self._fork.types.get(type(signed)) != type_id or not 0 <= v <= 1:
                raise Irregular
            if type_id == SET_CODE_TRANSACTION_TYPE:
                _must_be_valid(signed)
            if fields.access_list:
                _check_access_list(fields.access_list)
        gas_for_message = gas - self._intrinsic_gas(fields)
        base_fee = self._base_fee
        if gas_for_message < 0 or highest < base_fee:
            raise Irregular
        # EIP-1559: what of the price is left when the base fee is burned goes to the coinbase.
        tip = min(highest - base_fee, priority)
        return _Order(fields, sender, gas_for_message, base_fee + tip, tip)

    def _intrinsic_gas(self, fields: Fields) -> int:
        """``get_intrinsic_gas()``. It depends on how many bytes of data are zeros, and of the rest
        on no more than is asked here."""
        signed, data = fields.signed, fields.data
        if fields.access_list or fields.type_id == SET_CODE_TRANSACTION_TYPE:
            return int(signed.get_intrinsic_gas())
        key = type(signed), len(data), data.count(0), not fields.to
        gas = self._gas_for_data.get(key)
        if gas is None:
            gas = self._gas_for_data[key] = signed.get_intrinsic_gas()
        return gas

    def _buy(self, view: FlatState, order: _Order) -> None:
        """Check that the sender can pay, and take what the gas costs."""
        fields, sender = order.fields, order.sender
        gas = fields.gas
        cost = gas * order.price
        highest_cost = gas * fields.highest_price
        if fields.type_id == BLOB_TX_TYPE:
            blob_gas, blob_price = self._blobs(fields.signed)
            cost += blob_gas * blob_price
            highest_cost += blob_gas * fields.signed.max_fee_per_blob_gas
        needed = cost + fields.value
        if self._fork.checks_highest_fee and highest_cost > needed:
            needed = highest_cost
        if not view.at_least(sender, needed) or view.nonce(sender) != fields.nonce:
            raise Irregular
        view.charge(sender, cost, fields.nonce + 1)

    def _blobs(self, signed: Any) -> tuple[int, int]:
        """Blob gas of a transaction and its price in wei (EIP-4844)."""
        hashes, highest_price = signed.blob_versioned_hashes, signed.max_fee_per_blob_gas
        price: int = self._state.blob_base_fee
        if (
            not hashes
            or not all(type(name) is bytes and len(name) == 32 for name in hashes)
            or not all(name[:1] == VERSIONED_HASH_VERSION_KZG for name in hashes)
            or not _is_word(highest_price)
            or highest_price < price
        ):
            raise Irregular
        return GAS_PER_BLOB * len(hashes), price

    #
    # Before the message
    #
    def _code_at(self, view: FlatState, address: Any) -> tuple[bytes, bool]:
        """The code to run, and whether it is another account's (EIP-7702)."""
        code_hash = view.code_hash(address)
        if code_hash == EMPTY_SHA3:
            return b"", False
        code = view.code(code_hash)
        if self._fork.delegates and code_is_delegation_designation(code):
            delegate: Any = code[3:]
            view.mark_address_warm(delegate)
            return view.get_code(delegate), True
        return code, False

    def _warm_up(self, view: FlatState, order: _Order, recipient: Any) -> None:
        """EIP-2929 and EIP-2930."""
        if not self._fork.warms:
            return
        view.begin_warm(order.sender, recipient)
        for address, slots in order.fields.access_list:
            view.mark_address_warm(address)
            for slot in slots:
                view.mark_storage_warm(address, slot)

    def _context(self, order: _Order) -> Any:
        fields = order.fields
        blobs = fields.signed.blob_versioned_hashes if fields.type_id == BLOB_TX_TYPE else ()
        kind = self._state.transaction_context_class
        return context_of(kind, order.price, order.sender, blobs)

    #
    # The message
    #
    def _transfer(self, view: FlatState, order: _Order, refund: int) -> Outcome:
        """Nothing to run: the value moves, and the recipient has been touched."""
        to, value = order.fields.to, order.fields.value
        if self._fork.warms_coinbase:
            view.begin_warm(self._coinbase)
        if value:
            view.effects.deltas[order.sender] -= value
            view.settle_balance(to, value)
        else:
            view.touch_account(to)
        gas_left = order.gas_for_message
        floor = self._settle(view, order, gas_left, refund)
        self._clear(view, (self._coinbase, to))
        return outcome_of_transfer(gas_left, refund, floor)

    def _create(self, view: FlatState, order: _Order) -> Outcome:
        state = self._state
        fields, sender = order.fields, order.sender
        address = generate_contract_address(sender, fields.nonce)
        self._warm_up(view, order, address)
        if view.account_has_code_or_nonce(address):
            raise Irregular
        message = message_of(
            order.gas_for_message,
            CREATE_CONTRACT_ADDRESS,
            sender,
            fields.value,
            b"",
            fields.data,
            create_address=address,
        )
        computation = state.computation_class.apply_create_message(
            state, message, self._context(order)
        )
        return self._finish(view, order, computation)

    #
    # After the message
    #
    def _settle(self, view: FlatState, order: _Order, gas_left: int, refund: int) -> int:
        """Give back what was not used, pay the coinbase. Returns the extra gas for data."""
        fields = order.fields
        used = fields.gas - gas_left
        refunded = min(refund, used // self._fork.refund_quotient)
        floor = self._fork.extra_gas_for_data(fields.signed, used, refunded)
        back = (refunded + gas_left - floor) * order.price
        if back:
            view.settle_balance(order.sender, back)
        # Also where the fee is zero: the coinbase is touched (EIP-161).
        view.settle_balance(self._coinbase, (used - refunded + floor) * order.tip)
        return floor

    def _finish(self, view: FlatState, order: _Order, computation: Any) -> Outcome:
        tree = _CallTree()
        tree.visit(computation, computation._error is not None)
        tree.logs.sort()
        error = computation._error
        deleted: list[Any] = computation.get_accounts_for_deletion() if tree.destroys else []
        refund = computation.msg.refund + tree.refund
        refund += self._fork.refund_for_destroying * len(deleted)
        burned = error is not None and error.burns_gas
        gas_left = 0 if burned else computation._gas_meter.gas_remaining
        floor = self._settle(view, order, gas_left, refund)
        for account in deleted:
            view.delete_account(account)
        tree.touched[self._coinbase] = None
        self._clear(view, tree.touched)
        message = computation.msg
        # By position, as keywords take twice as long.
        return Outcome(
            error,
            bytes(computation.output),
            bytes(computation.return_data),
            tuple(tree.logs),
            gas_left,
            computation.get_gas_used(),
            refund,
            floor,
            tuple(deleted),
            tuple(computation.get_self_destruct_beneficiaries()) if tree.destroys else (),
            tuple(computation.contracts_created),
            message.storage_address if message.is_create else None,
            *bloom_and_rlp(tree.logs),
        )

    def _clear(self, view: FlatState, touched: Iterable[Any]) -> None:
        """Delete what was touched and is empty (EIP-161)."""
        deltas = view.effects.deltas
        for account in touched:
            if (
                deltas.get(account, 0) <= 0  # else it has a balance
                and view.exists(account)
                and view.account_is_empty(account)
                and (account in self._ghosts or not view.forget_touch(account))
            ):
                view.delete_account(account)


def executor_for(state: Any, below: FlatState) -> Executor | None:
    """For transactions of a speculative ``state`` (`rules`) on what lies ``below``. None where
    py-evm's own has to be used, and where somebody reads its log."""
    fork: Fork | None = state.direct_fork
    if fork is None or state.logger.show_debug2:
        return None
    return Executor(state, fork, below.ghosts())


class _CallTree:
    """What all calls of a transaction leave behind, gathered in one walk.

    py-evm's ``get_gas_refund``, ``get_raw_log_entries`` and ``collect_touched_accounts`` each walk
    for themselves.
    """

    __slots__ = ("destroys", "logs", "refund", "touched")

    def __init__(self) -> None:
        self.refund = 0
        self.logs: list[LogEntry] = []
        self.destroys = False
        """Did SELFDESTRUCT run? Then py-evm may say itself for whom; it hardly ever does."""
        self.touched: dict[Any, None] = {}

    def visit(self, computation: Any, failed: bool) -> None:
        """``failed``: this call, or one that it was made from, was undone."""
        to = computation.msg.to
        if not failed:
            self.refund += computation._gas_meter.gas_refunded
            self.logs += computation._log_entries
            if computation.beneficiaries:
                self.destroys = True
                self.touched.update(dict.fromkeys(computation.beneficiaries))
            if to != CREATE_CONTRACT_ADDRESS:
                self.touched[to] = None
        elif to == THREE or (THREE in computation.beneficiaries and not computation.is_error):
            # Clients once kept this touch when all else was undone, so it is a rule (EIP-716).
            self.touched[THREE] = None
        for child in computation.children:
            self.visit(child, failed or child._error is not None)


def _must_be_valid(signed: Any) -> None:
    try:
        signed.validate()
    except Exception as error:
        raise Irregular from error


def _check_access_list(access_list: Iterable[Any]) -> None:
    try:
        for address, slots in access_list:
            if type(address) is not bytes or len(address) != 20 or not all(map(_is_word, slots)):
                raise Irregular
    except (TypeError, ValueError) as error:
        raise Irregular from error


def _is_word(number: Any) -> bool:
    return type(number) is int and 0 <= number <= UINT_256_MAX
