"""Random blocks through a parallelized chain and through stock py-evm: everything is equal.

Transactions depend on each other on purpose, forecasts are wrong on purpose, and the report must
say that the parallel path was taken all the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth.vm.forks.shanghai.withdrawals import Withdrawal
from hypothesis import given, seed
from hypothesis import strategies as st

from parallel_evm import BlockReport
from parallel_evm.forks import since
from parallel_evm.workloads.forks import fork
from tests.strategies import (
    CHILDREN,
    CONTRACTS,
    EMPTY,
    ETHER,
    GHOST,
    IN_PLACE,
    INIT_CODES,
    SENDERS,
    STRANGER,
    Act,
    Mined,
    Pen,
    Play,
    Refused,
    assemble,
    cold,
    contracts_of,
    hold,
    mine,
    mostly_slow,
    open_chain,
    parallel,
    plays,
    state_of,
    tried,
    words,
)

PARALLEL_FORKS = since("byzantium")


@pytest.mark.parametrize("name", mostly_slow(PARALLEL_FORKS, "byzantium", "prague"))
def test_random_blocks_in_lanes_at_random(name: str) -> None:
    reports: list[BlockReport] = []
    chain_class = parallel(fork(name).chain_class, reports, misled=1, workers=3)

    @seed(PARALLEL_FORKS.index(name))
    @tried(3)
    @given(plays(name))
    def run(play: Play) -> None:
        assert {r.backend for r in hold(play, chain_class, reports)} <= {"thread"}

    run()
    assert sum(report.reexecutions for report in reports) > 0


@pytest.mark.parametrize(
    "options", [{"backend": "serial"}, IN_PLACE, {"backend": "thread"}], ids=str
)
@pytest.mark.parametrize("name", mostly_slow(["byzantium", "london", "prague"], "prague"))
def test_random_blocks_by_one_worker(name: str, options: dict[str, Any]) -> None:
    reports: list[BlockReport] = []
    backend = options["backend"]
    chain_class = parallel(fork(name).chain_class, reports, workers=1, **options)

    @tried(3)
    @given(plays(name))
    def run(play: Play) -> None:
        assert {r.backend for r in hold(play, chain_class, reports)} <= {backend}

    run()
    assert sum(report.reexecutions for report in reports) == 0  # one lane, in block order
    workers = {t.worker for report in reports for t in report.transactions}
    assert workers == ({None} if backend == "serial" else {0})


@pytest.mark.parametrize(("backend", "workers"), [("process", 2), ("auto", 2), ("auto", 3)])
def test_random_blocks_in_processes(backend: str, workers: int) -> None:
    reports: list[BlockReport] = []
    chain_class = parallel(
        fork("prague").chain_class, reports, misled=2, backend=backend, workers=workers
    )

    @tried(3)
    @given(plays("prague"))
    def run(play: Play) -> None:
        assert {r.backend for r in hold(play, chain_class, reports)} <= {"process"}

    run()
    assert sum(report.reexecutions for report in reports) > 0
    # With ``auto``, the coordinator ran a share of them itself, and nobody else did.
    mine = [t for r in reports for t in r.transactions if t.worker is None and not t.conflicts]
    assert backend == "process" or any(t.attempts == 1 for t in mine)


@pytest.mark.parametrize(
    "name", mostly_slow(["byzantium", "berlin", "shanghai", "prague"], "byzantium", "prague")
)
def test_blocks_with_a_transaction_that_is_refused(name: str) -> None:
    reports: list[BlockReport] = []
    chain_class = parallel(fork(name).chain_class, reports, misled=3)

    @tried(5)
    @given(plays(name, transactions=5, spoilt=True))
    def run(play: Play) -> None:
        hold(play, chain_class, reports)

    run()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"backend": "serial"}, IN_PLACE, *({"backend": b} for b in ("thread", "process", "auto"))],
    ids=str,
)
@pytest.mark.parametrize("name", PARALLEL_FORKS)
def test_many_random_blocks(name: str, options: dict[str, Any]) -> None:
    reports: list[BlockReport] = []

    @tried(12)
    @given(
        st.integers(1, 4),
        st.one_of(st.none(), st.integers(0, 99)),
        plays(name, blocks=2, transactions=16),
    )
    def run(workers: int, misled: int | None, play: Play) -> None:
        chain_class = parallel(
            fork(name).chain_class, reports, misled=misled, workers=workers, **options
        )
        hold(play, chain_class, reports)

    run()
    if options["backend"] != "serial":
        assert sum(report.reexecutions for report in reports) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", PARALLEL_FORKS)
def test_many_blocks_with_a_transaction_that_is_refused(name: str) -> None:
    reports: list[BlockReport] = []
    chain_class = parallel(fork(name).chain_class, reports, misled=3, backend="process")

    @tried(20)
    @given(plays(name, transactions=8, spoilt=True))
    def run(play: Play) -> None:
        hold(play, chain_class, reports)

    run()


#
# Blocks with a point
#
def held(
    name: str, *blocks: list[Act], coinbase: bytes = b"\xcb" * 20, **play: Any
) -> list[BlockReport]:
    """The blocks are equal whichever way they run; returns the reports of the misled threads."""
    made = []
    for options in ({"backend": "serial"}, IN_PLACE, {"misled": 5, "workers": 3}):
        reports: list[BlockReport] = []
        chain_class = parallel(fork(name).chain_class, reports, **options)
        drama = Play(name, coinbase, tuple(map(tuple, blocks)), **play)
        made = hold(drama, chain_class, reports)
    return made


@pytest.mark.parametrize("name", ["frontier", "homestead", "tangerine-whistle", "spurious-dragon"])
def test_before_byzantium_blocks_run_sequentially_and_the_report_says_why(name: str) -> None:
    rules = fork(name)
    state = {SENDERS[0]: state_of("byzantium")[SENDERS[0]], EMPTY: state_of("byzantium")[EMPTY]}
    counter = CONTRACTS["counter"]
    state[counter] = state_of("byzantium")[counter]
    reports: list[BlockReport] = []
    stock = open_chain(rules.chain_class, state)
    ours = open_chain(parallel(rules.chain_class, reports), state)
    builder = rules.vm_class.get_transaction_builder()
    from tests.strategies import KEYS

    transactions = [
        builder.create_unsigned_transaction(
            nonce=nonce, gas_price=1, gas=100_000, to=to, value=0, data=b""
        ).as_signed_transaction(KEYS[0])
        for nonce, to in enumerate([counter, EMPTY, GHOST, counter])
    ]
    expected = mine(stock, transactions)
    assert isinstance(expected, Mined)
    assert mine(ours, transactions) == expected
    (report,) = reports
    assert report.fallback == "receipts before Byzantium carry a state root per transaction"
    assert report.executions == len(transactions)


@pytest.mark.parametrize("name", ["byzantium", "cancun", "prague"])
def test_a_chain_of_transfers_each_paid_by_the_one_before(name: str) -> None:
    poor = {address: state_of(name)[address] for address in SENDERS[:1]}
    acts = [
        Act(index, SENDERS[index + 1], value=(90 - 10 * index) * ETHER, gas=21_000)
        for index in range(6)
    ]
    reports = held(name, acts, state=poor)
    assert all(report.reexecutions for report in reports)


def test_many_transactions_of_one_sender() -> None:
    acts = [Act(0, CONTRACTS["counter"]) for _ in range(12)]
    held("shanghai", acts, acts)


def test_a_sender_who_cannot_pay_after_the_transactions_before() -> None:
    acts = [Act(0, SENDERS[1], value=60 * ETHER), Act(1, GHOST), Act(0, GHOST, value=60 * ETHER)]
    held("shanghai", acts, [Act(0, GHOST, value=1)])


def test_a_sender_who_can_pay_only_by_the_transactions_before() -> None:
    held("london", [Act(1, SENDERS[0], value=60 * ETHER), Act(0, GHOST, value=150 * ETHER)])


@pytest.mark.parametrize("who", ["sender", "contract", "empty", "destroyed", "created"])
@pytest.mark.parametrize("name", mostly_slow(["byzantium", "shanghai", "prague"], "prague"))
def test_every_kind_of_coinbase(name: str, who: str) -> None:
    coinbase = {
        "sender": SENDERS[0],
        "contract": CONTRACTS["tips"],
        "empty": EMPTY,
        "destroyed": CONTRACTS["suicide"],
        "created": CHILDREN[-2],
    }[who]
    tips = words(coinbase)
    acts = [
        Act(1, CONTRACTS["watcher"], data=tips),
        Act(0, b"", data=INIT_CODES[0]),
        Act(2, coinbase, value=3),
        Act(0, SENDERS[3], value=1),
        Act(3, CONTRACTS["tips"]),
        Act(4, coinbase),
        Act(2, CONTRACTS["watcher"], data=tips),
        Act(0, coinbase, value=0),
        Act(5, CONTRACTS["payer"], data=words(coinbase, 5)),
        Act(6, CONTRACTS["destroyer"], data=tips),
    ]
    held(name, acts, acts, coinbase=coinbase)


@pytest.mark.parametrize("name", ["byzantium", "london", "shanghai"])
def test_touching_what_is_empty_or_not_there(name: str) -> None:
    acts = [
        Act(0, EMPTY),
        Act(1, GHOST),
        Act(2, CONTRACTS["caller"], data=words(EMPTY)),
        Act(3, CONTRACTS["caller"], data=words(GHOST)),
        Act(4, CONTRACTS["reverter"], data=words(EMPTY)),
        Act(5, CONTRACTS["caller"], data=words(3)),
        Act(6, CONTRACTS["reverter"], data=words(3)),
        Act(0, CONTRACTS["destroyer"], data=words(GHOST)),
        Act(1, GHOST, value=1),
        Act(2, GHOST, value=1),
    ]
    held(name, acts, coinbase=EMPTY)


@pytest.mark.parametrize("name", ["constantinople", "shanghai", "prague"])
def test_destroyed_and_created_again_at_the_same_place(name: str) -> None:
    """Metamorphic contracts, within one block and in the next."""
    factory, child = CONTRACTS["factory"], CHILDREN[0]
    make = words(0) + INIT_CODES[0]
    acts = [
        Act(0, factory, data=make, value=5),
        Act(1, CONTRACTS["watcher"], data=words(child)),
        Act(2, child),
        Act(3, CONTRACTS["watcher"], data=words(child)),
        Act(4, factory, data=make),
        Act(5, child, value=2),
        Act(6, CONTRACTS["codewatcher"], data=words(child)),
        Act(0, factory, data=make),
        Act(1, factory, data=make),
    ]
    held(name, acts, acts)


@pytest.mark.parametrize("name", ["istanbul", "cancun"])
def test_destroying_pays_oneself_others_and_the_coinbase(name: str) -> None:
    acts = [
        Act(0, CONTRACTS["suicide"], value=7),
        Act(1, CONTRACTS["suicide"]),
        Act(2, CONTRACTS["destroyer"], data=words(CONTRACTS["rich"])),
        Act(3, CONTRACTS["rich"]),
        Act(4, CONTRACTS["destroyer"], data=words(CONTRACTS["destroyer"]), value=9),
        Act(5, CONTRACTS["watcher"], data=words(CONTRACTS["destroyer"])),
    ]
    held(name, acts, acts)


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_functions_that_nobody_knows_yet(backend: str) -> None:
    """One call of each is tried before lanes are laid; what that learns may be wrong."""
    reports: list[BlockReport] = []
    chain_class = parallel(fork("prague").chain_class, reports, backend=backend)
    acts = [Act(n % 8, CONTRACTS["purse"], data=words(1, SENDERS[n % 3])) for n in range(8)]
    acts += [Act(n % 8, CONTRACTS["burner"], data=words(n), gas=60_000) for n in range(4)]
    acts += [Act(n % 8, CONTRACTS["factory"], data=words(n) + INIT_CODES[2]) for n in range(5)]
    acts += [Act(n, CONTRACTS["suicide"], data=words(n), value=n) for n in range(4)]
    hold(Play("prague", GHOST, (tuple(acts), tuple(acts))), chain_class, reports)
    first, *_ = reports
    assert first.executions >= len(acts) + 3  # the tries are counted


def test_credits_that_overflow_together() -> None:
    """Each fits by itself; the second is refused, as sequentially."""
    state = state_of("shanghai")
    state[GHOST] = {**state[EMPTY], "balance": 2**256 - 10}
    state[SENDERS[0]] = {**state[EMPTY], "balance": 2**255 + 10**18}
    state[SENDERS[1]] = {**state[EMPTY], "balance": 2**255 + 10**18}
    held("shanghai", [Act(2, GHOST, value=6), Act(3, GHOST, value=6)], state=state)
    held("shanghai", [Act(2, GHOST, value=6), Act(3, SENDERS[2], value=6)], state=state)
    held("shanghai", [Act(0, STRANGER, value=2**255), Act(1, STRANGER, value=2**255)], state=state)
    for balance in (2**255 - 1, 2**254 - 1, 2**254):  # none of the credits is suspicious by itself
        state[GHOST] = {**state[EMPTY], "balance": balance}
        rest = 2**256 - balance
        for first in (2**254, 2**253, rest - 2**254):
            acts = [Act(0, GHOST, value=first), Act(1, GHOST, value=rest - first)]
            held("shanghai", acts, state=state)


@pytest.mark.parametrize("whole", [True, False])
def test_a_credit_that_was_undone_overflows_all_the_same(whole: bool) -> None:
    """What is paid to one who refuses it is paid first; of that there is no trace afterwards."""
    state = state_of("shanghai")
    for sender in SENDERS[:2]:
        state[sender] = {**state[EMPTY], "balance": 2**255 + 10**18}
    keep = assemble("CALLER", SENDERS[0], "EQ", "@keep", "JUMPI", 0, 0, "REVERT", "keep:")
    state[STRANGER] = {**state[EMPTY], "nonce": 1, "code": keep}
    acts = (Act(0, STRANGER, value=2**255), Act(1, STRANGER, value=2**255))
    reports: list[BlockReport] = []
    chain_class = parallel(fork("shanghai").chain_class, reports, lanes=[0, 1], whole_lanes=whole)
    hold(Play("shanghai", GHOST, (acts,), state=state), chain_class, reports)


def test_ancestors() -> None:
    historian = CONTRACTS["historian"]
    empty: list[list[Act]] = [[Act(0, GHOST), Act(1, GHOST)] for _ in range(4)]
    acts = [Act(i, historian, data=words(depth)) for i, depth in enumerate((1, 2, 3, 4, 5, 6, 0))]
    held("paris", *empty, acts)


def test_transient_storage_ends_with_its_transaction() -> None:
    acts = [Act(i % 4, CONTRACTS["transient"]) for i in range(6)]
    acts.insert(2, Act(5, CONTRACTS["delegate"], data=words(CONTRACTS["transient"])))
    held("cancun", acts)


def test_withdrawals() -> None:
    withdrawals = (
        Withdrawal(0, 0, GHOST, 5),
        Withdrawal(1, 1, EMPTY, 0),
        Withdrawal(2, 2, CONTRACTS["counter"], 10**9),
    )
    acts = [Act(0, CONTRACTS["counter"]), Act(1, GHOST, value=1), Act(2, CONTRACTS["counter"])]
    held("shanghai", acts, acts, withdrawals=withdrawals)


#
# Hot code: it may run in another way than cold code
#
HOT = ("counter", "purse", "branch", "locked", "watcher", "transient", "factory", "caller")


@pytest.mark.parametrize("name", mostly_slow(["byzantium", "london", "prague"], "london"))
def test_hot_contracts(name: str) -> None:
    _hot(name, [contract for contract in HOT if contract in contracts_of(name)], step=1_771)


@pytest.mark.slow
@pytest.mark.parametrize("contract", HOT)
@pytest.mark.parametrize("name", ["byzantium", "berlin", "london", "prague"])
def test_hot_contracts_at_every_amount_of_gas(name: str, contract: str) -> None:
    if contract in contracts_of(name):
        _hot(name, [contract], step=97)


def _hot(name: str, contracts: list[str], step: int) -> None:
    """Call the contracts until they are hot, and then with ever less gas."""
    arguments = {
        "purse": words(1, SENDERS[1]),
        "locked": words(CONTRACTS["branch"]),
        "watcher": words(SENDERS[2]),
        "factory": words(0) + INIT_CODES[2],
        "caller": words(CONTRACTS["counter"], 5),
    }
    reports: list[BlockReport] = []
    chain_class = parallel(fork(name).chain_class, reports, backend="serial")
    blocks = []
    for contract in contracts:
        gas = [250_000] * 30 + list(range(90_000, 22_000, -step))
        acts = [
            Act(n % 4, CONTRACTS[contract], data=arguments.get(contract, b""), gas=limit)
            for n, limit in enumerate(gas)
        ]
        if contract == "factory":
            acts = [replace(act, gas=act.gas * 2) for act in acts]
        blocks += [tuple(acts[start : start + 120]) for start in range(0, len(acts), 120)]
    hold(Play(name, b"\xcb" * 20, tuple(blocks)), chain_class, reports)


#
# Heavy ones
#
def test_gas_that_runs_out_in_every_way() -> None:
    acts = [
        Act(0, CONTRACTS["burner"], gas=60_000),
        Act(1, CONTRACTS["invalid"], gas=60_000),
        Act(2, CONTRACTS["counter"], gas=23_000),
        Act(3, CONTRACTS["counter"], gas=43_105),
        Act(4, CONTRACTS["caller"], data=words(CONTRACTS["burner"]), gas=80_000),
        Act(5, b"", data=INIT_CODES[2], gas=60_000),
        Act(6, CONTRACTS["gas"]),
        Act(0, CONTRACTS["reverter"], data=words(CONTRACTS["burner"]), gas=80_000),
    ]
    held("london", acts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"backend": "serial"}, IN_PLACE, {"backend": "thread"}, {"backend": "process"}],
    ids=str,
)
def test_bombs(options: dict[str, Any]) -> None:
    """Loops, a call chain of 1,024, memory and returned data by the megabyte, largest code."""
    from tests.strategies import A, account, assemble, deploying

    deep, memory, returning, copying = (bytes([0xD0, i]) * 10 for i in range(4))
    state = state_of("shanghai")
    # Calls itself with all its gas, and counts in its storage.
    state[deep] = account(
        0,
        1,
        assemble(0, 0, 0, 0, 0, "ADDRESS", "GAS", "CALL", 0, "SLOAD", "ADD", 1, "ADD", 0, "SSTORE"),
    )
    state[memory] = account(0, 1, assemble(1, 2_000_000, "MSTORE", "MSIZE", 0, "SSTORE"))
    state[returning] = account(0, 1, assemble(*A, 0, "RETURN"))
    state[copying] = account(
        0,
        1,
        assemble(
            *(0, 0, 0, 0, returning, "GAS", "DELEGATECALL", "POP"),
            *("RETURNDATASIZE", 0, 0, "RETURNDATACOPY", "RETURNDATASIZE", 0, "REVERT"),
        ),
    )
    largest, too_large = (deploying(b"\x00" * size) for size in (24_576, 24_577))
    acts = [
        Act(0, deep, gas=8_000_000),
        Act(1, memory, gas=9_000_000),
        Act(2, returning, data=words(1_000_000), gas=3_000_000),
        Act(3, copying, data=words(500_000), gas=2_000_000),
        Act(4, b"", data=largest, gas=6_000_000),
        Act(5, b"", data=too_large, gas=6_000_000),
        Act(6, CONTRACTS["burner"], gas=3_000_000),
        Act(7, deep, gas=8_000_000),
    ]
    reports: list[BlockReport] = []
    chain_class = parallel(fork("shanghai").chain_class, reports, misled=0, **options)
    roomy = {"gas_limit": 60_000_000}
    hold(
        Play("shanghai", b"\xcb" * 20, (tuple(acts),), state=state, chain_options=roomy),
        chain_class,
        reports,
    )


#
# Chains and their life
#
def test_what_is_refused_names_the_same_culprit_and_the_chain_goes_on() -> None:
    rules = fork("shanghai")
    for options in ({"backend": "serial"}, IN_PLACE, {"backend": "thread"}, {"backend": "process"}):
        reports: list[BlockReport] = []
        stock = open_chain(rules.chain_class, state_of("shanghai"))
        ours = open_chain(parallel(rules.chain_class, reports, **options), state_of("shanghai"))
        for spoilt in ("future", "funds", "gas limit", "intrinsic", "signature", "fee"):
            for place in (0, 3):
                acts = [Act(i, CONTRACTS["counter"]) for i in range(5)]
                acts[place] = Act(place, CONTRACTS["counter"], spoilt=spoilt)
                pen = Pen(rules, stock)
                transactions = [pen.sign(act) for act in acts]
                expected = mine(stock, transactions)
                assert isinstance(expected, Refused), spoilt
                assert mine(ours, transactions) == expected
        pen = Pen(rules, stock)
        good = [pen.sign(Act(i, CONTRACTS["counter"])) for i in range(5)]
        assert mine(ours, good) == mine(stock, good)
        assert [report.fallback for report in reports] == [None]


@pytest.mark.parametrize(
    "malformed",
    [
        {"to": None},
        {"to": b"\x01" * 19},
        {"to": b"\x01" * 21},
        {"to": "0x" + "11" * 20},
        {"nonce": -1},
        {"nonce": 2**64},
        {"gas": -1},
        {"gas": "many"},
        {"gas": None},
        {"value": -1},
        {"value": 2**256},
        {"data": "text"},
        {"data": None},
        {"gas_price": -1},
        {"v": 99},
        {"v": -5},
        {"r": 0, "s": 0},
        {"r": 2**256},
        {"r": None},
        {"s": 2**256 - 1},
    ],
    ids=str,
)
def test_malformed_transactions_raise_what_py_evm_raises(malformed: dict[str, Any]) -> None:
    rules = fork("shanghai")
    stock = open_chain(rules.chain_class, state_of("shanghai"))
    pen = Pen(rules, stock)
    good, model = pen.sign(Act(1, GHOST, value=1)), pen.sign(Act(0, GHOST, value=1))
    fields = {name: getattr(model, name) for name in model._meta.field_names}
    expected = mine(stock, [good, type(model)(**{**fields, **malformed})])
    assert isinstance(expected, Refused)
    for options in ({"backend": "serial"}, IN_PLACE, {"backend": "process"}):
        ours = open_chain(parallel(rules.chain_class, [], **options), state_of("shanghai"))
        assert mine(ours, [good, type(model)(**{**fields, **malformed})]) == expected
        assert mine(ours, [good]) == mine(
            open_chain(rules.chain_class, state_of("shanghai")), [good]
        )


def test_a_block_that_lies_is_refused_and_its_honest_sibling_accepted() -> None:
    rules = fork("cancun")
    stock = open_chain(rules.chain_class, state_of("cancun"))
    reports: list[BlockReport] = []
    ours = open_chain(parallel(rules.chain_class, reports), state_of("cancun"))
    pen = Pen(rules, stock)
    transactions = [pen.sign(Act(i, CONTRACTS["counter"])) for i in range(4)]
    honest = stock.mine_all(transactions)[0].imported_block
    for lie in ({"state_root": b"\x01" * 32}, {"gas_used": 1}, {"receipt_root": b"\x02" * 32}):
        with pytest.raises(Exception) as refused:
            ours.import_block(honest.copy(header=honest.header.copy(**lie)))
        with pytest.raises(type(refused.value)) as also:
            open_chain(rules.chain_class, state_of("cancun")).import_block(
                honest.copy(header=honest.header.copy(**lie))
            )
        assert str(also.value) == str(refused.value)
    assert ours.import_block(honest).imported_block == honest


def test_siblings_and_reorganisations() -> None:
    """Blocks on older states: the cache of the newest must not answer for them."""
    rules = fork("shanghai")
    stock = open_chain(rules.chain_class, state_of("shanghai"))
    reports: list[BlockReport] = []
    ours = open_chain(parallel(rules.chain_class, reports, misled=0), state_of("shanghai"))
    genesis = stock.get_canonical_head()
    pen = Pen(rules, stock)
    first = [pen.sign(Act(i, CONTRACTS["branch"])) for i in range(4)]
    pen = Pen(rules, stock)
    second = [pen.sign(Act(i + 2, CONTRACTS["counter"], value=1)) for i in range(4)]
    branches = []
    for coinbase, transactions in ((b"\x01" * 20, first), (b"\x02" * 20, second)):
        block = stock.mine_all(cold(stock, transactions), parent_header=genesis, coinbase=coinbase)[
            0
        ].imported_block
        branches.append(block)
        pen = Pen(rules, stock)
    for block in branches:
        ours.import_block(block.copy(transactions=cold(stock, block.transactions)))
    for parent, transactions in zip(branches, (second, first), strict=True):
        disjoint = [t for t in transactions if t.nonce == 0][-2:]
        other = rules.chain_class(stock.chaindb.db)
        expected = mine(other, disjoint, parent_header=parent.header)
        assert mine(ours, disjoint, parent_header=parent.header) == expected
    assert ours.get_canonical_head().hash == stock.get_canonical_head().hash


def test_uncles() -> None:
    rules = fork("london")
    reports: list[BlockReport] = []
    ours = parallel(rules.chain_class, reports, lanes=(0, 1))
    stock = open_chain(rules.chain_class, state_of("london"))
    genesis, pen = stock.get_canonical_head(), Pen(rules, stock)
    siblings = [
        rules.chain_class(stock.chaindb.db)
        .mine_all([pen.sign(act)], parent_header=genesis, coinbase=GHOST)[0]
        .imported_block
        for act in (Act(0, GHOST, value=1), Act(1, GHOST, value=2))
    ]
    stock = rules.chain_class(stock.chaindb.db)
    (uncle,) = (b for b in siblings if b.header != stock.get_canonical_head())
    pen = Pen(rules, stock)
    transactions = [pen.sign(Act(n, CONTRACTS["counter"])) for n in range(2, 6)]
    block = stock.mine_all(transactions, uncles=(uncle.header,))[0].imported_block
    assert block.uncles == (uncle.header,)
    importing = open_chain(ours, state_of("london"))
    for each in (*siblings, block):
        assert importing.import_block(each).imported_block == each
    mining = ours(importing.chaindb.db)
    again = mining.mine_all(
        cold(mining, transactions),
        uncles=(uncle.header,),
        parent_header=mining.get_block_header_by_hash(block.header.parent_hash),
    )
    assert again[0].imported_block.header == block.header
    assert {report.fallback for report in reports} == {None}


def test_one_at_a_time() -> None:
    """`apply_transaction`, `get_transaction_result` and `estimate_gas` stay py-evm's."""
    rules = fork("shanghai")
    chains = [
        open_chain(chain_class, state_of("shanghai"))
        for chain_class in (rules.chain_class, parallel(rules.chain_class, []))
    ]
    answers = []
    for chain in chains:
        pen = Pen(rules, chain)
        said: list[Any] = []
        for index in range(3):
            _, receipt, computation = chain.apply_transaction(
                pen.sign(Act(index, CONTRACTS["counter"], value=index))
            )
            said += [receipt.encode(), computation.output]
        said.append(chain.mine_block().hash)
        call = pen.sign(Act(5, CONTRACTS["watcher"], data=words(SENDERS[0])))
        head = chain.get_canonical_head()
        said.append(chain.get_transaction_result(call, head))
        said.append(chain.estimate_gas(call, head))
        answers.append(said)
    assert answers[0] == answers[1]


def test_preprocessing_writes_before_the_first_transaction() -> None:
    """Cancun's beacon roots and Prague's block hashes are written by importing, not by mining."""
    from eth.vm.forks.cancun.constants import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CONTRACT_CODE
    from eth.vm.forks.prague.constants import (
        HISTORY_STORAGE_ADDRESS,
        HISTORY_STORAGE_CONTRACT_CODE,
    )

    from tests.strategies import account

    rules = fork("prague")
    state = state_of("prague")
    state[BEACON_ROOTS_ADDRESS] = account(0, 1, BEACON_ROOTS_CONTRACT_CODE)
    state[HISTORY_STORAGE_ADDRESS] = account(0, 1, HISTORY_STORAGE_CONTRACT_CODE)
    ways = ({"backend": "serial"}, IN_PLACE, {"misled": 0}, {"backend": "process", "misled": 0})
    for options in ways:
        reports: list[BlockReport] = []
        stock = open_chain(rules.chain_class, state)
        ours = open_chain(parallel(rules.chain_class, reports, **options), state)
        for _ in range(2):
            pen = Pen(rules, stock)
            head = stock.get_canonical_head()
            acts = [
                Act(0, BEACON_ROOTS_ADDRESS, data=words(head.timestamp + 1)),
                Act(1, CONTRACTS["caller"], data=words(BEACON_ROOTS_ADDRESS, head.timestamp + 1)),
                Act(2, HISTORY_STORAGE_ADDRESS, data=words(head.block_number)),
                Act(3, CONTRACTS["caller"], data=words(HISTORY_STORAGE_ADDRESS, 0)),
            ]
            draft, *_ = stock.build_block_with_transactions_and_withdrawals(
                [pen.sign(act) for act in acts]
            )
            expected = stock.import_block(draft, perform_validation=False).imported_block
            again = draft.copy(transactions=cold(stock, draft.transactions))
            imported = ours.import_block(again, perform_validation=False).imported_block
            assert imported.header == expected.header
        assert [report.fallback for report in reports] == [None, None]
