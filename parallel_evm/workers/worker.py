"""The program of a worker process: receive a block, run lanes of it, send speculations back.

It talks to the coordinator through one pipe and never starts a conversation except to fetch state
that it lacks. It gives a sign of life a few times a second, and ends when its parent does.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Container, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
from eth._utils.generator import CachedIterable

from parallel_evm.hashing import use_fast_keccak
from parallel_evm.merkle.index import listed
from parallel_evm.speculation.result import Speculation
from parallel_evm.speculation.rules import speculative_state
from parallel_evm.speculation.run import Speculator, ancestors
from parallel_evm.speculation.senders import recover_encoded, remember_sender
from parallel_evm.state.base import Changes
from parallel_evm.state.flat import Effects
from parallel_evm.state.guarded import HotSlots
from parallel_evm.state.lane import Lane
from parallel_evm.state.replica import Replica, Told, Want, account_of
from parallel_evm.translator.cache import EXIT_SECONDS, Cache, cache_at
from parallel_evm.workers import wire
from parallel_evm.workers.pipes import set_up
from parallel_evm.workers.session import FLUSH_SECONDS, SENDERS_AT_ONCE

SIGN_OF_LIFE_SECONDS = 0.25
IDLE_SECONDS = 0.02
"""A worker that nobody has called for so long has time to save its translations."""
FIRST_FLUSH_SECONDS = 0.0005
"""The first ones are waited for: they are not held back for as long."""
FIRST_SENDERS = 2
"""They are waited for: so few are sent together at first, then ever more."""
REPLICAS = 4
"""Chains whose state a worker remembers at the same time. The coordinator counts along."""
CODES = 1024
"""Contracts whose bytecode it is not given again for another state. The same."""
RULES = 64
"""VM classes that a worker remembers, oldest forgotten first. The same."""
OUT_OF_STEP = 70
"""Exit status of a worker that lost track of its conversation (memory ran out, most likely)."""


class Unanswered(Exception):
    """The coordinator could not answer a fetch: its database lacks the data."""


def main(conn: Connection, life: Any, wanted: Any, inherited: Sequence[Connection] = ()) -> None:
    """Serve blocks until told to stop, or until the coordinator is gone.

    Shared memory: ``life``, time of the last sign of life, in seconds of the monotonic clock, for
    the coordinator to read; ``wanted``, how many of the senders that it asked for last it does not
    find itself meanwhile.
    """
    set_up(inherited)
    use_fast_keccak()
    cache_at.cache_clear()  # what the coordinator has not saved yet is the coordinator's to save
    threading.Thread(target=_live, args=(life, os.getppid()), daemon=True).start()
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        Worker(conn, wanted).serve()


def _live(life: Any, parent: int) -> None:
    while True:
        life.value = time.monotonic()
        if os.getppid() != parent:
            os._exit(1)
        time.sleep(SIGN_OF_LIFE_SECONDS)


class Worker:
    """State of one worker: what it knows of rules, of chains, and of the block at hand."""

    def __init__(self, conn: Connection, wanted: Any) -> None:
        """``wanted``: as for `main`."""
        self._conn = conn
        self._wanted = wanted
        self._rules: dict[int, Any] = {}
        self._caches: set[Cache] = set()
        """Where this worker's translations are kept."""
        self._replicas: OrderedDict[bytes, Replica] = OrderedDict()
        self._replica: Replica
        self._codes: dict[bytes, bytes] = {}
        """Bytecode that it was given, of whatever state, by its hash."""
        self._speculator: Speculator | None = None
        self._lane: Lane
        self._block: tuple[int, Any, Effects]
        """Rules token, execution context, and what the block at hand wrote before it began."""
        self._count = 0
        """Of the block's transactions."""
        self._cancelled = False
        self._failure: str | None = None
        self._cpu = 0.0
        self._deferred: deque[tuple[Any, ...]] = deque()
        """Requests that arrived while an answer was waited for."""

    def serve(self) -> None:
        while True:
            message = self._next()
            tag = message[0]
            if tag == wire.BEGIN:
                self._begin()
            elif tag == wire.OPEN:
                self._open(*message[1:])
            elif tag == wire.SENDERS:
                self._recover(*message[1:])
            elif tag == wire.RUN:
                self._run(*message[1:])
            elif tag == wire.STOP:
                for cache in self._caches:
                    cache.save(EXIT_SECONDS, last=True)
                return

    def _next(self) -> tuple[Any, ...]:
        if self._deferred:
            return self._deferred.popleft()
        self._save_until_called()
        return self._receive()

    def _receive(self) -> tuple[Any, ...]:
        """The next message. Ends the process when there is one that cannot be read: what follows
        half a message would be taken for something else."""
        try:
            return wire.decode(self._conn.recv_bytes())
        except (EOFError, OSError):
            raise
        except Exception as error:
            raise SystemExit(OUT_OF_STEP) from error

    def _save_until_called(self) -> None:
        """Keep new translations while there is nothing else to do, one program at a time."""
        while True:
            pauses = [pause for cache in self._caches if (pause := cache.pause()) is not None]
            if not pauses or self._conn.poll(max(IDLE_SECONDS, min(pauses))):
                return
            for cache in self._caches:
                cache.save(0)

    def _send(self, message: tuple[Any, ...]) -> None:
        self._conn.send_bytes(wire.encode(message))

    def _begin(self) -> None:
        self._cpu = time.process_time()
        self._cancelled = False
        self._failure = None
        self._speculator = None

    def _open(
        self,
        count: int,
        token: int,
        rules: bytes | None,
        context: bytes,
        written: tuple[Any, ...],
        lineage: bytes,
        changes: list[tuple[Any, ...]] | None,
    ) -> None:
        # It comes back when it has moved on. One that failed to would be a block behind what the
        # coordinator takes it for; without it, the next block starts afresh.
        replica = self._replicas.pop(lineage, None)
        try:
            self._count = count
            if rules is not None:
                state_class, liberties = cloudpickle.loads(rules)
                self._rules[token] = speculative_state(state_class, liberties)
                if liberties.translation_cache is not None:
                    self._caches.add(cache_at(liberties.translation_cache))
                while len(self._rules) > RULES:
                    del self._rules[next(iter(self._rules))]
            if replica is None or changes is None:
                replica = Replica(self._fetch)
                changes = []
            for accounts, slots, wiped in changes:
                replica.advance(
                    Changes(
                        {address: account_of(parts) for address, parts in accounts.items()},
                        slots,
                        wiped,
                    )
                )
            self._replica = self._replicas[lineage] = replica
            while len(self._replicas) > REPLICAS:
                self._replicas.popitem(last=False)
            context_class, fields = cloudpickle.loads(context)
            execution_context = context_class.__new__(context_class)
            execution_context.__dict__.update(fields)
            execution_context._prev_hashes = CachedIterable(ancestors(self._fetch_ancestors))
            # Building the state reads from it, and we may only fetch while we owe an answer.
            self._block = (token, execution_context, Effects(*written))
        except Exception as error:
            # The coordinator learns of it at the next request; the block does not depend on us.
            self._failure = f"could not take the block: {error!r}"

    def _recover(self, transactions: Sequence[bytes | None], block: list[bytes] | None) -> None:
        done, at_once, cpu = 0, FIRST_SENDERS, None
        while cpu is None:
            senders = [
                None if encoded is None else recover_encoded(encoded)
                for encoded in transactions[done : min(done + at_once, self._wanted.value)]
            ]
            done += len(senders)
            at_once = min(2 * at_once, SENDERS_AT_ONCE)
            if done >= min(len(transactions), self._wanted.value):
                cpu = time.process_time() - self._cpu
            self._send((wire.RECOVERED, senders, cpu))
        self._list(block)

    def _list(self, block: list[bytes] | None) -> None:
        if block is None:
            return
        made = listed(block)
        cpu = time.process_time() - self._cpu
        self._send((wire.LISTED, made.hashes, made.trie.root, made.trie.nodes, cpu))

    def _run(
        self,
        indices: Sequence[int],
        transactions: bytes,
        senders: Sequence[bytes | None],
        told: Told,
        apart: bool,
        hot: Mapping[int, HotSlots],
        silent: Container[int],
        whole: bool,
        block: list[bytes] | None,
    ) -> None:
        started = time.process_time()
        reason = self._failure
        pending: list[Speculation] = []
        refused = False
        flushed = time.perf_counter()
        patience = FIRST_FLUSH_SECONDS
        if reason is None:
            try:
                self._learn(told)
                if self._speculator is None or apart:
                    self._speculator = self._new_speculator()
                its = pickle.loads(transactions)
                for index, transaction, sender in zip(indices, its, senders, strict=True):
                    if self._conn.poll(0):
                        self._take_cancel()
                    if self._cancelled:
                        break
                    if sender is not None:
                        remember_sender(transaction, sender)
                    speculation = self._speculator.run(index, transaction, hot.get(index))
                    if apart:
                        self._speculator = self._new_speculator()
                    refused = refused or speculation.outcome is None
                    pending.append(speculation)
                    now = time.perf_counter()
                    if now - flushed > patience:
                        self._flush(pending, silent)
                        flushed = now
                        patience = min(2 * patience, FLUSH_SECONDS)
            except (EOFError, OSError):
                raise
            except Exception as error:  # ours, not the transaction's: those are caught in run()
                reason = f"failed: {error!r}"
                self._speculator = None  # its lane may hold what was never delivered
        self._flush(pending, silent)
        total = None
        if whole and reason is None and not (refused or self._cancelled):
            total = wire.flatten(self._lane.observations, self._lane.effects)
        now = time.process_time()
        self._send((wire.DONE, reason, now - self._cpu, now - started, total))
        self._list(block)

    def _learn(self, told: Told) -> None:
        """What is told of the state: bytecode that it got for another one is not sent again."""
        accounts, slots, codes = told
        given = {name: code for name, code in codes.items() if code is not None}
        if len(self._codes) + len(given) > CODES:
            self._codes.clear()
        self._codes |= given
        held = {name: self._codes[name] for name in codes if name in self._codes}
        self._replica.learn(accounts, slots, held)

    def _new_speculator(self) -> Speculator:
        """On a new lane: the state before the block's first transaction."""
        token, execution_context, written = self._block
        lane = self._lane = Lane(self._replica, written)
        return Speculator(self._rules[token], execution_context, lane, self._count - 1)

    def _flush(self, pending: list[Speculation], silent: Container[int]) -> None:
        if pending:
            heads = list(map(wire.head_of, pending))
            details = [wire.details_of(found, found.index in silent) for found in pending]
            try:
                data = wire.encode((wire.RESULTS, heads, details))
            except Exception:  # an error or output of somebody's own that cannot travel
                data = wire.encode((wire.RESULTS, list(map(_portable, heads)), details))
            self._conn.send_bytes(data)
            pending.clear()

    def _take_cancel(self) -> None:
        message = self._receive()
        if message[0] == wire.CANCEL:
            self._cancelled = True
        else:
            self._deferred.append(message)

    def _fetch(self, wants: Sequence[Want]) -> Sequence[Any]:
        question = wire.encode((wire.FETCH, list(wants)))
        try:
            self._conn.send_bytes(question)
            return self._answers()
        except Unanswered:
            raise
        except Exception as error:
            # Whoever runs the transaction would survive this, and the next question would get
            # this one's answer.
            raise SystemExit(OUT_OF_STEP) from error

    def _answers(self) -> Sequence[Any]:
        while True:
            message = self._receive()
            if message[0] == wire.ANSWER:
                if message[1] is None:
                    raise Unanswered
                answers: Sequence[Any] = message[1]
                return answers
            if message[0] == wire.CANCEL:
                self._cancelled = True
            else:
                self._deferred.append(message)

    def _fetch_ancestors(self, depth: int, count: int) -> Sequence[bytes]:
        (answer,) = self._fetch([(wire.ANCESTORS, depth, count)])
        hashes: Sequence[bytes] = answer
        return hashes


def _portable(head: tuple[Any, ...]) -> tuple[Any, ...]:
    """The head of a speculation, without its outcome where that cannot travel.

    What it wrote has to be told all the same: later transactions of the lane saw it.
    """
    try:
        wire.encode(head)
    except Exception:
        return wire.without_outcome(head)
    return head
