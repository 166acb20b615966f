"""A day in decentralised finance: all protocols at once, over the same tokens and accounts."""

from __future__ import annotations

from parallel_evm.workloads.airdrop import airdrop
from parallel_evm.workloads.amm import swaps
from parallel_evm.workloads.bridge import bridge
from parallel_evm.workloads.erc20 import erc20
from parallel_evm.workloads.escrow import escrow
from parallel_evm.workloads.governance import governance
from parallel_evm.workloads.insurance import insurance
from parallel_evm.workloads.lending import lending
from parallel_evm.workloads.transfers import transfers
from parallel_evm.workloads.world import Scenario, World


def mixed(world: World) -> Scenario:
    # How often each one speaks, and in fewer places than where it has the stage for itself: to
    # prepare them all takes a while.
    blend = [
        (transfers(world), 20),
        (erc20(world), 25),
        (swaps(world, markets=6), 25),
        (lending(world, couples=3), 10),
        (insurance(world, pools=3), 4),
        (bridge(world, bridges=3), 5),
        (escrow(world, desks=3), 4),
        (governance(world, organisations=2), 4),
        (airdrop(world), 3),
    ]
    return _calls(world, blend)


def _calls(world: World, blend: list[tuple[Scenario, int]]) -> Scenario:
    scenarios = [scenario for scenario, _ in blend]
    weights = [weight for _, weight in blend]
    while True:
        (scenario,) = world.random.choices(scenarios, weights)
        yield next(scenario)
