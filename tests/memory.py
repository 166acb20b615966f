"""How much memory a long chain takes: `python -m tests.memory`, from the root of a checkout.

A chain of small mixed DeFi blocks over many accounts, by worker processes. Resident memory of the
coordinator and of its workers is sampled every so many blocks. The database lies on disk (SQLite),
so that what py-evm stores, which grows with every block, is not counted as ours; its size is
reported apart.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import pickle
import random
import re
import sqlite3
import statistics
import tempfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth.db.atomic import AtomicDB
from eth.db.backends.base import BaseDB
from eth.db.chain import ChainDB
from eth.vm.forks.cancun.transactions import CancunTransactionBuilder

from parallel_evm import ParallelConfig, close, parallelize, workloads
from parallel_evm.hashing import keccak
from parallel_evm.merkle.codec import encode_account
from parallel_evm.merkle.update import update
from parallel_evm.workloads.accounts import Account, account
from parallel_evm.workloads.forks import CHAIN_ID, fork

ETHER, GWEI = 10**18, 10**9
_NO_CODE = keccak(b"")
_NO_STORAGE = keccak(b"\x80")


@dataclass(frozen=True)
class Sample:
    """Mebibytes after so many blocks."""

    blocks: int
    coordinator: float
    workers: float
    """All of them together."""
    database: float

    def __str__(self) -> str:
        return (
            f"{self.blocks:6} blocks: coordinator {self.coordinator:7.1f} MiB, "
            f"workers {self.workers:7.1f} MiB, database on disk {self.database:7.1f} MiB"
        )


class OnDisk(BaseDB):
    """A key-value database in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-2000"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID"
        )

    def __getitem__(self, key: bytes) -> bytes:
        row = self._connection.execute("SELECT v FROM kv WHERE k = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return bytes(row[0])

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._connection.execute("REPLACE INTO kv VALUES (?, ?)", (key, value))

    def _exists(self, key: bytes) -> bool:
        found = self._connection.execute("SELECT 1 FROM kv WHERE k = ?", (key,)).fetchone()
        return found is not None

    def __delitem__(self, key: bytes) -> None:
        self._connection.execute("DELETE FROM kv WHERE k = ?", (key,))

    def fill(self, content: Any) -> None:
        self._connection.executemany("REPLACE INTO kv VALUES (?, ?)", content)

    def close(self) -> None:
        self._connection.close()


def run(
    *,
    accounts: int,
    blocks: int,
    every: int = 50,
    mixed: int = 10,
    transfers: int = 6,
    workers: int = 2,
    hear: Callable[[Sample], None] = lambda sample: None,
) -> list[Sample]:
    """Mine ``blocks`` blocks of ``mixed`` workload transactions and ``transfers`` more, which go
    from one of ``accounts`` accounts to another, and sample memory."""
    config = ParallelConfig(workers=workers, backend="process", min_transactions=1)
    chain_class = parallelize(fork("cancun").chain_class, config=config)
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In another process: what is freed here could be filled again unseen.
        preparing = multiprocessing.get_context("fork").Process(
            target=_prepare, args=(folder, accounts, blocks, mixed)
        )
        preparing.start()
        preparing.join()
        assert preparing.exitcode == 0
        database = OnDisk(folder / "chain")
        payments = _payments(accounts)
        try:
            with (folder / "blocks").open("rb") as written:
                chain = chain_class(AtomicDB(database))
                for number in range(1, blocks + 1):
                    transactions = [*map(_decode, pickle.load(written))]
                    transactions += [next(payments) for _ in range(transfers)]
                    _, _, computations = chain.mine_all(transactions)
                    assert not any(computation.is_error for computation in computations)
                    if number % every == 0 or number == 1:
                        samples.append(_sample(number, database))
                        hear(samples[-1])
        finally:
            close()
            database.close()
    return samples


def growth(samples: list[Sample]) -> tuple[float, float]:
    """KiB per block in the second half of a run: coordinator, workers together."""
    second = samples[len(samples) // 2 :]
    numbers = [sample.blocks for sample in second]
    return tuple(  # type: ignore[return-value]
        statistics.linear_regression(numbers, [getattr(s, name) for s in second]).slope * 1024
        for name in ("coordinator", "workers")
    )


def _prepare(folder: Path, accounts: int, blocks: int, mixed: int) -> None:
    """The chain's database, with some ether for everybody, and the workload's transactions."""
    workload = workloads.build("mixed", transactions=mixed, blocks=blocks, accounts=60)
    with (folder / "blocks").open("wb") as file:
        for transactions in workload.blocks:
            pickle.dump([transaction.encode() for transaction in transactions], file)
    database = OnDisk(folder / "chain")
    database.fill(workload.database.items())
    head: Any = workload.open().get_canonical_head()
    rich = encode_account(0, 1000 * ETHER, _NO_STORAGE, _NO_CODE)
    grown = update(
        workload.database.__getitem__,
        head.state_root,
        {keccak(_one_of_many(index).address): rich for index in range(accounts)},
    )
    database.fill(grown.nodes.items())
    chaindb = ChainDB(AtomicDB(database))
    score = chaindb.get_score(head.hash) + 1
    chaindb.persist_checkpoint_header(head.copy(state_root=grown.root), score)
    database.close()


def _one_of_many(index: int) -> Account:
    return account(1, f"one of many {index}")


def _payments(accounts: int) -> Iterator[Any]:
    chance = random.Random("payments")
    nonces = array("H", bytes(2 * accounts))
    while True:
        index = chance.randrange(accounts)
        unsigned = CancunTransactionBuilder.new_unsigned_dynamic_fee_transaction(
            chain_id=CHAIN_ID,
            nonce=nonces[index],
            max_priority_fee_per_gas=GWEI,
            max_fee_per_gas=100 * GWEI,
            gas=21_000,
            to=_one_of_many(chance.randrange(accounts)).address,
            value=chance.randint(1, ETHER),
            data=b"",
            access_list=(),
        )
        nonces[index] += 1
        yield _decode(unsigned.as_signed_transaction(_one_of_many(index).key).encode())


def _decode(encoded: bytes) -> Any:
    return fork("cancun").vm_class.get_transaction_builder().decode(encoded)


def _sample(blocks: int, database: OnDisk) -> Sample:
    gc.collect()
    children = multiprocessing.active_children()
    return Sample(
        blocks,
        _resident("self"),
        sum(_resident(child.pid) for child in children),
        database.file.stat().st_size / 2**20,
    )


def _resident(pid: int | str | None) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--blocks", type=int, default=1000)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    samples = run(**vars(options), hear=lambda sample: print(sample, flush=True))
    coordinator, workers = growth(samples)
    print(
        f"second half: coordinator {coordinator:+.1f} KiB, "
        f"workers {workers:+.1f} KiB a block, together"
    )


if __name__ == "__main__":
    main()
