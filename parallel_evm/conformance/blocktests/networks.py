"""Networks, as ethereum/tests calls the rules of a chain: which VM class runs from which block on.

Responsible for: the names, and the VM classes, always the same ones for the same network.
Talks to: py-evm's fixture helpers.
Never: knows how a case goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from eth.constants import GENESIS_BLOCK_NUMBER
from eth.tools.fixtures.helpers import chain_vm_configuration
from eth.typing import VMConfiguration
from eth_utils.exceptions import ValidationError

from parallel_evm.forks import VM_CLASSES
from parallel_evm.inputs import Node

NETWORKS = {
    "frontier": "Frontier",
    "homestead": "Homestead",
    "tangerine-whistle": "EIP150",
    "spurious-dragon": "EIP158",
    "byzantium": "Byzantium",
    "constantinople": "Constantinople",
    "petersburg": "ConstantinopleFix",
    "istanbul": "Istanbul",
    "muir-glacier": "MuirGlacier",
    "berlin": "Berlin",
    "london": "London",
    "arrow-glacier": "ArrowGlacier",
    "gray-glacier": "GrayGlacier",
    "paris": "Paris",
    "shanghai": "Shanghai",
    "cancun": "Cancun",
    "prague": "Prague",
}
"""What ethereum/tests calls each fork."""

SAME_RULES = {
    "Merge": "Paris",
    "ArrowGlacierToMergeAtDiffC0000": "ArrowGlacierToParisAtDiffC0000",
    "MergeToShanghaiAtTime15k": "ParisToShanghaiAtTime15k",
}
"""Networks that older releases of ethereum/tests call by another name than py-evm does."""

_LEFT_OUT = {
    NETWORKS[fork]: VM_CLASSES[fork] for fork in ("muir-glacier", "arrow-glacier", "gray-glacier")
}
"""Forks that py-evm has and its fixture helper leaves out."""


class UnknownNetwork(Exception):
    """py-evm has no rules for the network a case names."""


def vm_configuration(network: Node, blocks: Sequence[Node]) -> VMConfiguration:
    """The VM classes of a case by the number of their first block.

    Raises UnknownNetwork, and InputError where a fork's time does not fit the blocks.
    """
    name = SAME_RULES.get(network.text(), network.text())
    if name in _LEFT_OUT:
        return ((GENESIS_BLOCK_NUMBER, _LEFT_OUT[name]),)
    timings = [_timing(block) for block in blocks]
    try:
        if "AtTime" in name:
            # When the fork comes is found out by looking at the blocks' headers.
            return tuple(chain_vm_configuration({"network": name, "blocks": timings}))  # type: ignore[arg-type]
        return _untimed(name)
    except ValidationError as problem:
        raise network.error(str(problem)) from None
    except ValueError:
        raise UnknownNetwork(name) from None


@cache
def _untimed(network: str) -> VMConfiguration:
    """The rules of a network without forks at a time: py-evm makes some classes at each call."""
    return tuple(chain_vm_configuration({"network": network}))  # type: ignore[arg-type]


def _timing(block: Node) -> dict[str, Any]:
    header = block.optional("blockHeader")
    if header is None:
        return {"expectException": ""}
    return {
        "blockHeader": {name: header.member(name).integer() for name in ("number", "timestamp")}
    }
