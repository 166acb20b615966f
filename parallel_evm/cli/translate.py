"""The command `translate`: the Python that a contract becomes."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.syntax import Syntax

from parallel_evm.cli.contracts import read_contract
from parallel_evm.cli.manners import fail, screen, working
from parallel_evm.translator.show import python_of, python_of_function


def translate(
    source: Annotated[
        str,
        typer.Argument(
            metavar="ARTIFACT|HEX",
            help="Compiled contract (JSON), file of hex, 0x... runtime bytecode, or - for stdin.",
        ),
    ],
    function: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only what this function runs: name, signature or selector.",
        ),
    ] = None,
    fork: Annotated[
        str, typer.Option(metavar="F", help="Whose rules, like london or tangerine-whistle.")
    ] = "cancun",
    contract: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which contract, if the file holds several."),
    ] = None,
) -> None:
    """Show the Python that a contract becomes.

    Hot bytecode is not interpreted opcode by opcode: it is written down as Python functions, which
    is what makes parallel-evm fast on one core. This prints these functions, each under a comment
    with the opcodes that it stands for.

    With --function the contract is called, in a made-up world with arguments and storage that let
    the function succeed, until the call is hot; what is shown is what then runs, across jumps and
    branches, in order. Without it nothing runs, and every block of the code is shown by itself.

    ARTIFACT is what solc (--standard-json), Hardhat, Truffle or Foundry wrote. HEX is the code as
    it is deployed (eth_getCode), not what a deploying transaction carries. Without an ABI,
    --function takes a signature or a selector.

    Exit code: 0, or 2 for input that cannot be used.

    Examples:

    ```
    parallel-evm translate fixtures/artifacts/Stablecoin.json --function transfer
    parallel-evm translate out/Token.sol/Token.json --function 'mint(address,uint256)' | less
    parallel-evm translate solc-output.json --contract Token --fork london
    parallel-evm translate 0x60003560010160005260206000f3
    cast code $ADDRESS | parallel-evm translate - --function 0xa9059cbb
    ```
    """
    try:
        given = read_contract(source, contract)
        if function is None:
            text = python_of(given.code, fork, given.functions)
        else:
            chosen = given.function(function)
            with working() as say:
                say(f"calling {chosen.signature} until it is hot")
                text = python_of_function(given.code, fork, chosen, given.functions)
    except ValueError as problem:
        fail(str(problem))
    console = screen()
    if console.is_terminal:
        console.print(
            Syntax(text, "python", theme="ansi_dark", background_color="default", word_wrap=True)
        )
    else:
        typer.echo(text)
