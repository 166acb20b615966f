"""Deploy an exchange with web3.py, and let a hundred people trade on it in one block.

    python docs/examples/deploy_amm.py [--traders 100] [--workers 2]

Nothing but this process is needed. The contracts are in `solidity/`; they are deployed one by one,
as a deployment script would do it. Then whole batches are mined, each in one block that is executed
in parallel: the deposits (many transactions of one sender), the approvals, and the swaps.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from web3 import Web3
from web3.contract import Contract

from parallel_evm import ParallelConfig
from parallel_evm.report import BlockReport
from parallel_evm.web3 import ParallelTesterProvider

ARTIFACTS = Path(__file__).parents[2] / "fixtures" / "artifacts"
CURRENCIES = ("US Dollar", "Euro", "Pound", "Franc", "Yen", "Krona")
UNIT = 10**18
NEVER = 2**256 - 1  # a deadline, and an approval without limit


class Exchange:
    """The contracts, and the account that deployed them."""

    def __init__(self, w3: Web3) -> None:
        self.w3 = w3
        self.owner = w3.eth.accounts[0]
        self.factory = self.deploy("Factory")
        self.router = self.deploy("Router", self.factory.address)
        self.dollar, *self.others = (
            self.deploy("Stablecoin", name, name[:3].upper(), 18) for name in CURRENCIES
        )

    def deploy(self, name: str, *arguments: Any) -> Contract:
        artifact = json.loads((ARTIFACTS / f"{name}.json").read_text())
        factory = self.w3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
        transaction = factory.constructor(*arguments).transact({"from": self.owner})
        receipt = self.w3.eth.get_transaction_receipt(transaction)
        return self.w3.eth.contract(address=receipt["contractAddress"], abi=artifact["abi"])

    def make_pools(self, holders: list[str]) -> None:
        """Give everybody money, and deposit a million of each currency against the dollar.

        All of this is queued before any of it is mined, so web3 cannot estimate the gas of a step
        that needs the one before it: the limits are given.
        """
        for token in (self.dollar, *self.others):
            gas = 100_000 + 30_000 * len(holders)
            token.functions.mintBatch(holders, 10_000_000 * UNIT).transact(
                {"from": self.owner, "gas": gas}
            )
            self.approve(token, self.owner)
        for token in self.others:
            pair, deposit = (self.dollar.address, token.address), 1_000_000 * UNIT
            self.router.functions.addLiquidity(
                *pair, deposit, deposit, 0, 0, self.owner, NEVER
            ).transact({"from": self.owner, "gas": 3_000_000})

    def approve(self, token: Contract, holder: str) -> None:
        token.functions.approve(self.router.address, NEVER).transact(
            {"from": holder, "gas": 60_000}
        )

    def swap(self, paid: Contract, received: Contract, amount: int, trader: str) -> None:
        self.router.functions.swapExactTokensForTokens(
            amount, 0, [paid.address, received.address], trader, NEVER
        ).transact({"from": trader, "gas": 250_000})


def main(
    traders: Annotated[int, typer.Option(min=1, max=100, help="As many as a block holds.")] = 100,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 2,
) -> None:
    """Deploy, deposit, and swap from TRADERS accounts in one block."""
    console = Console()
    # Every block in parallel, also where `auto`, the default, finds it faster not to.
    config = ParallelConfig(workers=workers, backend="process")
    provider = ParallelTesterProvider(config=config, num_accounts=traders + 1)
    w3 = Web3(provider)
    owner, *people = w3.eth.accounts

    exchange = Exchange(w3)
    with provider.one_block():
        exchange.make_pools([owner, *people])
    console.print(f"{exchange.factory.functions.allPairsLength().call()} pools, with liquidity")

    with provider.one_block():
        for number, person in enumerate(people):
            exchange.approve(exchange.others[number % len(exchange.others)], person)

    with provider.one_block():
        for number, person in enumerate(people):
            paid = exchange.others[number % len(exchange.others)]
            exchange.swap(paid, exchange.dollar, (number + 1) * UNIT, person)

    block = w3.eth.get_block("latest")
    receipts = [w3.eth.get_transaction_receipt(key) for key in block["transactions"]]
    succeeded = sum(receipt["status"] for receipt in receipts)
    console.print(f"block {block['number']}: {succeeded} of {len(people)} swaps succeeded")
    report = provider.last_report
    if report is not None:
        console.print(table_of(report))


def table_of(report: BlockReport) -> Table:
    """What happened in the block, for people."""
    table = Table("", "", title=f"Block {report.block_number}", show_header=False)
    table.add_row("transactions", str(report.transaction_count))
    table.add_row("executed by", f"{report.workers} workers ({report.backend})")
    table.add_row("executions", f"{report.executions}, of them again {report.reexecutions}")
    table.add_row("milliseconds", f"{1000 * report.seconds:.0f}")
    for phase, seconds in report.phases.to_dict().items():
        table.add_row(f"  {phase}", f"{1000 * seconds:.0f}")
    if report.fallback is not None:
        table.add_row("ran sequentially", report.fallback)
    slots = Counter(
        key
        for transaction in report.transactions
        for key in transaction.writes
        if key.slot is not None
    )
    for key, times in slots.most_common(5):
        slot = str(key.slot) if key.slot < 1000 else f"{key.slot:#066x}"[:12] + "..."
        where = f"0x{key.address.hex()[:10]}..."
        table.add_row(f"written {times} times", f"slot {slot} of {where}")
    return table


if __name__ == "__main__":
    typer.run(main)
