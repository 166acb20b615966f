"""Cuts a block that shows a difference down to the smallest one that still does.

Greedy delta debugging: take transactions out, then accounts, then simplify what is left, as long
as the difference stays. Works on scenarios, which stay valid when parts are taken out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from parallel_evm.conformance.compose import Setting
from parallel_evm.conformance.scenario import Draft, Scenario


def shrunk(
    scenario: Scenario, differs: Callable[[Scenario], bool], seconds: float = 60.0
) -> Scenario:
    """The smallest scenario found that still `differs`, after about so many seconds at most."""
    end = time.perf_counter() + seconds
    progressed = True
    while progressed and time.perf_counter() < end:
        progressed = False
        for candidates in (_fewer_transactions, _fewer_accounts, _simpler_parts):
            # Restart the round from the smaller scenario as soon as a candidate does.
            found = True
            while found and time.perf_counter() < end:
                found = False
                for candidate in candidates(scenario):
                    if differs(candidate):
                        scenario, found, progressed = candidate, True, True
                        break
                    if time.perf_counter() >= end:
                        break
    return scenario


def _fewer_transactions(scenario: Scenario) -> Iterator[Scenario]:
    """Without a half, a quarter, ... and at last without each single transaction."""
    count = len(scenario.drafts)
    size = count // 2
    while size >= 1:
        for start in range(0, count, size):
            kept = scenario.drafts[:start] + scenario.drafts[start + size :]
            if kept:
                yield replace(scenario, drafts=kept)
        size //= 2


def _fewer_accounts(scenario: Scenario) -> Iterator[Scenario]:
    for address in scenario.state:
        state = {other: it for other, it in scenario.state.items() if other != address}
        yield replace(scenario, state=state)


def _simpler_parts(scenario: Scenario) -> Iterator[Scenario]:
    plain = Setting(scenario.setting.fork)
    for name in ("coinbase", "base_fee_per_gas", "excess_blob_gas", "withdrawals", "gas_limit"):
        simpler = replace(scenario.setting, **{name: getattr(plain, name)})
        if simpler != scenario.setting:
            yield replace(scenario, setting=simpler)
    for position, draft in enumerate(scenario.drafts):
        for simpler_draft in _simpler_drafts(draft):
            drafts = (
                *scenario.drafts[:position],
                simpler_draft,
                *scenario.drafts[position + 1 :],
            )
            yield replace(scenario, drafts=drafts)
    for address, account in scenario.state.items():
        for simpler_account in _simpler_accounts(account):
            yield replace(scenario, state={**scenario.state, address: simpler_account})


def _simpler_drafts(draft: Draft) -> Iterator[Draft]:
    for plain in (
        {"value": 0},
        {"data": b""},
        {"access_list": ()},
        {"delegations": draft.delegations[:1]},
        {"blobs": draft.blobs[:1]},
        {"type_id": 0, "access_list": (), "blobs": (), "delegations": ()},
        {"tip": 0},
    ):
        changes: dict[str, Any] = dict(plain)
        simpler = replace(draft, **changes)
        if simpler != draft:
            yield simpler


def _simpler_accounts(account: Any) -> Iterator[Any]:
    storage, code = account["storage"], account["code"]
    for slot in storage:
        yield {**account, "storage": {other: it for other, it in storage.items() if other != slot}}
    # A shorter program: the end off first, in smaller and smaller pieces.
    size = len(code) // 2
    while size >= 1:
        yield {**account, "code": code[:-size]}
        size //= 2
    # Programs jump by relative distance, so that pieces can also be blanked where they stand.
    for start in range(0, len(code), max(len(code) // 16, 1)):
        piece = code[start : start + max(len(code) // 16, 1)]
        blank = b"\x5b" * len(piece)
        if piece != blank:
            yield {**account, "code": code[:start] + blank + code[start + len(piece) :]}
