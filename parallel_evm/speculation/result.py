"""What comes out of running one transaction: plain data that travels between processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth.abc import ComputationAPI
from eth.exceptions import VMError

from parallel_evm.speculation.logs import NO_LOGS, LogEntry, bloom_and_rlp
from parallel_evm.state.flat import Effects, Traces
from parallel_evm.state.recorder import Observations


@dataclass(slots=True)
class Outcome:
    """The answers of a finished computation, without the machine that computed them.

    It stands in for py-evm's computation wherever a block's results are read: success, error,
    output, logs, gas. The call tree, stack and memory stay where the transaction ran.
    """

    _error: VMError | None
    output: bytes
    return_data: bytes
    raw_log_entries: tuple[LogEntry, ...]
    gas_remaining: int
    """What `get_gas_remaining` answers: zero when the error burned it."""
    gas_used: int
    gas_refund: int
    data_floor_gas: int
    accounts_for_deletion: tuple[bytes, ...]
    self_destruct_beneficiaries: tuple[bytes, ...]
    contracts_created: tuple[bytes, ...]
    create_address: bytes | None
    """Where a creating transaction put its contract."""
    bloom: int
    encoded_logs: bytes = NO_LOGS
    """The logs' RLP, for the receipt."""

    @property
    def is_success(self) -> bool:
        return self._error is None

    @property
    def is_error(self) -> bool:
        return self._error is not None

    @property
    def error(self) -> VMError:
        """The error that ended the transaction. Raises AttributeError when there is none."""
        if self._error is None:
            raise AttributeError  # Python asks `__getattr__` then, which says why
        return self._error

    def raise_if_error(self) -> None:
        if self._error is not None:
            raise self._error

    @property
    def should_burn_gas(self) -> bool:
        return self._error is not None and self._error.burns_gas

    @property
    def should_return_gas(self) -> bool:
        return not self.should_burn_gas

    @property
    def should_erase_return_data(self) -> bool:
        return self._error is not None and self._error.erases_return_data

    def get_gas_used(self) -> int:
        return self.gas_used

    def get_gas_remaining(self) -> int:
        return self.gas_remaining

    def get_gas_refund(self) -> int:
        return self.gas_refund

    def get_raw_log_entries(self) -> tuple[LogEntry, ...]:
        return self.raw_log_entries

    def get_log_entries(self) -> tuple[tuple[bytes, tuple[int, ...], bytes], ...]:
        return tuple(entry[1:] for entry in self.raw_log_entries)

    def get_accounts_for_deletion(self) -> list[bytes]:
        return list(self.accounts_for_deletion)

    def get_self_destruct_beneficiaries(self) -> list[bytes]:
        return list(self.self_destruct_beneficiaries)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "error":
            raise AttributeError("Computation does not have an error")
        raise AttributeError(
            f"{name!r} is not kept for transactions that ran in parallel: only their outcome "
            "travels (is_success, error, output, logs, gas). Blocks below "
            "ParallelConfig.min_transactions return py-evm's own computations."
        )


def outcome_of_transfer(gas_remaining: int, gas_refund: int, data_floor_gas: int) -> Outcome:
    """Of a transaction for which no code ran. By position, as keywords take twice as long."""
    # error, output, return data, logs; gas; accounts that are deleted, enriched, created; bloom
    return Outcome(
        None, b"", b"", (), gas_remaining, 0, gas_refund, data_floor_gas, (), (), (), None, 0
    )


def outcome_of(computation: ComputationAPI) -> Outcome:
    """Reduce a finished computation to its outcome."""
    is_error = computation.is_error
    logs = computation.get_raw_log_entries()
    message = computation.msg
    bloom, encoded_logs = bloom_and_rlp(logs)
    return Outcome(
        _error=computation.error if is_error else None,
        output=bytes(computation.output),
        return_data=bytes(computation.return_data),
        raw_log_entries=logs,
        gas_remaining=computation.get_gas_remaining(),
        gas_used=computation.get_gas_used(),
        gas_refund=computation.get_gas_refund(),
        data_floor_gas=computation.data_floor_gas,
        accounts_for_deletion=tuple(computation.get_accounts_for_deletion()),
        self_destruct_beneficiaries=tuple(computation.get_self_destruct_beneficiaries()),
        contracts_created=tuple(computation.contracts_created),
        create_address=message.storage_address if message.is_create else None,
        bloom=bloom,
        encoded_logs=encoded_logs,
    )


@dataclass(slots=True)
class Speculation:
    """One run of one transaction on a view."""

    index: int
    observations: Observations
    effects: Effects
    outcome: Outcome | None
    """None when py-evm refused the transaction or the run failed in any other way: then only a
    run on the committed state can tell, and raise, what sequential py-evm would."""
    seconds: float
    worker: int | None = None
    traces: Traces | None = None
    """Warm sets and original values, of a block's last transaction: py-evm runs Prague's system
    calls on top of them."""
    preimages: dict[bytes, bytes] | None = None
    """What was hashed to make storage slots (hash -> its 64 bytes), for forecasts; None when it
    was not recorded."""


@dataclass(frozen=True, slots=True)
class WholeLane:
    """All transactions of a lane, none of them refused, as if they were one."""

    observations: Observations
    """Of the state before the block."""
    effects: Effects
    speculations: Sequence[Speculation]
    """One for each transaction, in their order."""
