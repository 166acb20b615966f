"""One block's job in the form in which it travels to worker processes.

Responsible for: encoding each part of it, not before somebody needs it.
Talks to: pickle and cloudpickle, which raise anything; here that becomes a `CannotServe` that says
what cannot be sent.
Never: knows a worker.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import cloudpickle

from parallel_evm.rlp_objects import encoded
from parallel_evm.speculation.fields import has_fields
from parallel_evm.workers.session import BlockJob, CannotServe


class Parcel:
    """What is sent of a `BlockJob`."""

    def __init__(self, job: BlockJob) -> None:
        self._job = job

    @cached_property
    def contents(self) -> list[bytes | None]:
        """The transactions as EIP-2718 has them; None where workers do not know their kind."""
        return contents_of(self._job.transactions)

    def to_list(self) -> list[bytes] | None:
        """What a worker is to list; None where it is not possible."""
        return all_of(self.contents)

    @cached_property
    def context(self) -> bytes:
        """The execution context, without the hashes of ancestors, which workers ask for."""
        context = self._job.execution_context
        with _sending("the execution context"):
            fields = {k: v for k, v in vars(context).items() if k != "_prev_hashes"}
            return _by_value((type(context), fields))

    @cached_property
    def rules(self) -> bytes:
        """State class and liberties."""
        job = self._job
        with _sending(job.state_class.__name__):
            return _by_value((job.state_class, job.liberties))

    def transactions(self, indices: Sequence[int]) -> bytes:
        """These transactions, as objects."""
        transactions = [self._job.transactions[index] for index in indices]
        try:
            return pickle.dumps(transactions, protocol=5)
        except Exception:
            with _sending("the transactions"):
                return _by_value(transactions)


@contextmanager
def _sending(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise CannotServe(f"{what} cannot be sent to worker processes: {error}") from error


def _by_value(content: Any) -> bytes:
    """Classes and functions included, where nobody over there could import them."""
    data: bytes = cloudpickle.dumps(content)  # type: ignore[no-untyped-call]
    return data


def contents_of(transactions: Sequence[Any]) -> list[bytes | None]:
    """Transactions as EIP-2718 has them; None where other processes do not know their kind."""
    return list(map(_content, transactions))


def all_of(contents: Sequence[bytes | None]) -> list[bytes] | None:
    """None where there is one that other processes do not know."""
    known = [content for content in contents if content is not None]
    return known if len(known) == len(contents) else None


def _content(transaction: Any) -> bytes | None:
    try:
        return encoded(transaction) if has_fields(transaction) else None
    except Exception:  # it has never seen a network: nobody checked its fields
        return None
