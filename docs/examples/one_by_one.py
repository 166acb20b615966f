"""A test as it is written with web3.py and eth-tester, by PyEVMBackend and by ParallelTester.

    python docs/examples/one_by_one.py [--times 5]

Every transaction is estimated, sent and mined at once, as web3 does it unless told otherwise:
two tokens, a factory and a router are deployed, a pool is made, and somebody swaps three times.
Both testers must arrive at the same balances; what each took is printed, and the ratio.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from eth_tester import EthereumTester, PyEVMBackend
from web3 import EthereumTesterProvider, Web3
from web3.contract import Contract

from parallel_evm.hashing import use_fast_keccak
from parallel_evm.web3 import ParallelTester

ARTIFACTS = Path(__file__).parents[2] / "fixtures" / "artifacts"
UNIT = 10**18
NEVER = 2**256 - 1


def swapped(tester: EthereumTester) -> list[int]:
    """What the owner has of either token after the test."""
    w3 = Web3(EthereumTesterProvider(tester))
    owner = w3.eth.accounts[0]

    def deploy(name: str, *arguments: Any) -> Contract:
        artifact = json.loads((ARTIFACTS / f"{name}.json").read_text())
        factory = w3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
        sent = factory.constructor(*arguments).transact({"from": owner})
        receipt = w3.eth.get_transaction_receipt(sent)
        return w3.eth.contract(address=receipt["contractAddress"], abi=artifact["abi"])

    router = deploy("Router", deploy("Factory").address)
    tokens = [deploy("Stablecoin", name, name[:3].upper(), 18) for name in ("Dollar", "Euro")]
    path = [token.address for token in tokens]
    for token in tokens:
        token.functions.mint(owner, 10_000 * UNIT).transact({"from": owner})
        token.functions.approve(router.address, NEVER).transact({"from": owner})
    deposit = 1_000 * UNIT
    router.functions.addLiquidity(*path, deposit, deposit, 0, 0, owner, NEVER).transact(
        {"from": owner}
    )
    for amount in (5, 7, 11):
        router.functions.swapExactTokensForTokens(amount * UNIT, 0, path, owner, NEVER).transact(
            {"from": owner}
        )
    return [token.functions.balanceOf(owner).call() for token in tokens]


def main(
    times: Annotated[int, typer.Option(min=1, help="How often each tester runs the test.")] = 5,
) -> None:
    """Run the test with both testers, in turn, each time on a new chain."""
    use_fast_keccak()  # for both
    testers: dict[str, Callable[[], EthereumTester]] = {
        "PyEVMBackend": lambda: EthereumTester(PyEVMBackend()),
        "ParallelTester": ParallelTester,
    }
    seconds: dict[str, list[float]] = {name: [] for name in testers}
    for _ in range(times):
        balances = []
        for name, make in testers.items():
            started = time.perf_counter()
            balances.append(swapped(make()))
            seconds[name].append(time.perf_counter() - started)
        if balances[0] != balances[1]:
            raise SystemExit(f"different balances: {balances}")
    stock, ours = (statistics.median(taken) for taken in seconds.values())
    typer.echo("the same balances")
    typer.echo(f"PyEVMBackend {stock * 1e3:.0f} ms, ParallelTester {ours * 1e3:.0f} ms")
    typer.echo(f"ratio {stock / ours:.1f}")


if __name__ == "__main__":
    typer.run(main)
