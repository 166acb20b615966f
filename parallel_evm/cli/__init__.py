"""The command line: parses, calls, prints. Exit codes: 0 fine, 1 a difference, 2 bad input.

Each group of commands has a module of its own; this one puts them together. Ctrl-C ends with 130,
output that nobody reads with 141.
"""

from __future__ import annotations

import os

import typer

from parallel_evm.cli import conformance, speed, translate
from parallel_evm.cli.manners import well_mannered

app = typer.Typer(
    name="parallel-evm",
    help="Execute py-evm blocks in parallel, with results identical to sequential py-evm.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    speed.demo,
    speed.bench,
    translate.translate,
    conformance.conform,
    conformance.replay,
    conformance.fuzz,
):
    app.command()(well_mannered(command))


def main() -> None:
    """Entry point of the ``parallel-evm`` command."""
    try:
        app()
    except OSError:  # there is nowhere left to say what is wrong
        os._exit(2)
