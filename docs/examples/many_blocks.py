"""Blocks that stock py-evm made, imported one after another; the next one is read meanwhile."""

import rlp

from parallel_evm import BlockReport, ParallelConfig, close, import_blocks, parallelize
from parallel_evm.workloads import build


def main() -> None:
    workload = build("transfers", transactions=100, blocks=4)
    stock = workload.open()
    made = [stock.mine_all(sent)[0].imported_block for sent in workload.blocks]
    # As they come from a file or from a peer: nobody knows who sent what.
    blocks = [rlp.decode(rlp.encode(block), sedes=type(block)) for block in made]

    reports: list[BlockReport] = []
    config = ParallelConfig(workers=2, on_block=reports.append)
    chain = workload.open(parallelize(workload.chain_class, config=config))
    for imported in import_blocks(chain, blocks):
        read = "senders read ahead" if reports[-1].read_ahead else "senders found when it came"
        print(f"block 0x{imported.imported_block.hash.hex()}: {read}")
    print("the same chain:", chain.get_canonical_head() == stock.get_canonical_head())


if __name__ == "__main__":
    main()
    close()
