"""Many blocks after one another: the next one is read while the present one is imported.

Responsible for: `import_blocks`.
Talks to: the chain, whose own ``import_block`` imports; the engine, which is told what comes next.
Never: imports a block before the one in front of it, or changes what becomes of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from eth.abc import BlockAPI, BlockImportResult, ChainAPI, SignedTransactionAPI

from parallel_evm.engine import Engine, engines_of

_END: Final = object()


def import_blocks(
    chain: ChainAPI, blocks: Iterable[BlockAPI], perform_validation: bool = True
) -> Iterator[BlockImportResult]:
    """Import ``blocks`` in order: ``chain.import_block(block, perform_validation)`` for each.

    While one of them is imported, another process recovers the senders of the next one and makes
    its transaction trie, which takes a third to a half of the time of blocks of plain transfers.
    So ``blocks`` is read one block ahead. Nothing else differs from a loop of one's own: results
    come one by one (a block is imported when its result is asked for), and exceptions are those of
    ``import_block`` or of the iterable, each in its turn.

    With one worker, the backends ``serial`` and ``thread``, or ``overlap=False``, nobody reads
    ahead. Raises `ConfigurationError` for a chain whose class was not parallelized.

    >>> for imported in import_blocks(chain, blocks):  # doctest: +SKIP
    ...     print(imported.imported_block)
    """
    return _imports(chain, iter(blocks), perform_validation, engines_of(chain))


def _imports(
    chain: ChainAPI, blocks: Iterator[BlockAPI], perform_validation: bool, engines: list[Engine]
) -> Iterator[BlockImportResult]:
    def announce(transactions: Sequence[SignedTransactionAPI]) -> None:
        for engine in engines:
            engine.announce(transactions)

    try:
        for block, following in _with_the_next(blocks):
            announce(_transactions_of(following))
            yield chain.import_block(block, perform_validation)
    finally:  # whatever comes now, nobody knows what comes after it
        announce(())


def _transactions_of(block: object) -> Sequence[SignedTransactionAPI]:
    """None for what is no block: that is refused in its turn."""
    transactions = block.transactions if isinstance(block, BlockAPI) else ()
    return transactions if isinstance(transactions, Sequence) else ()


def _with_the_next(blocks: Iterator[BlockAPI]) -> Iterator[tuple[BlockAPI, object]]:
    """Each with the one that follows it, `_END` after the last. What ``blocks`` raises is raised
    when its turn has come."""
    block: Any = next(blocks, _END)
    while block is not _END:
        following: object = _END
        failure: Exception | None = None
        try:
            following = next(blocks, _END)
        except Exception as error:
            failure = error
        yield block, following
        if failure is not None:
            raise failure
        block = following
