"""Hot slots: found in forecasts, tried in order, and free as soon as they are known to dissolve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from parallel_evm.hashing import keccak
from parallel_evm.scheduling.expressions import call_of
from parallel_evm.scheduling.forecast import Forecast
from parallel_evm.scheduling.hot import HotPlan, HotSlotBook
from parallel_evm.scheduling.lanes import chains_of, plan
from parallel_evm.speculation.result import Speculation
from parallel_evm.state.flat import Effects
from parallel_evm.state.keys import BALANCE, Key
from parallel_evm.state.recorder import Observations

TOKEN = b"\x70" * 20
SHOPS = [bytes([0xA0 + number]) * 20 for number in range(3)]
SENDERS = [bytes([number + 1]) * 20 for number in range(32)]
SELECTOR = b"\x01\x02\x03\x04"
FIVE = bytes(31) + b"\x05"


def balance_of(owner: bytes) -> tuple[Key, dict[bytes, bytes]]:
    """The slot of a mapping at position 4, and what was hashed for it."""
    preimage = owner.rjust(32, b"\0") + (4).to_bytes(32, "big")
    digest = keccak(preimage)
    return (TOKEN, int.from_bytes(digest, "big")), {digest: preimage}


def forecast_of(index: int, key: Key, data: bytes) -> Forecast:
    """Of a transaction that reads and changes ``key``."""
    call = call_of(SENDERS[index], TOKEN, data, {})
    return Forecast(index, frozenset([key]), frozenset([key]), 50_000, call=call)


def planned(book: HotSlotBook, forecasts: Sequence[Forecast], before: int = 7) -> HotPlan:
    """For two lanes; every slot holds the same ``before`` the block."""
    return book.plan(forecasts, chains_of(forecasts), plan(forecasts, 2), lambda key: before)


class Market:
    """Payments to shops: forecasts of them, and what became of them."""

    def __init__(self, shops: Iterable[bytes]) -> None:
        self.shops = list(shops)
        self.book = HotSlotBook()

    def forecasts(self) -> list[Forecast]:
        return [
            forecast_of(index, balance_of(shop)[0], SELECTOR + shop.rjust(32, b"\0") + FIVE)
            for index, shop in enumerate(self.shops)
        ]

    def plan(self, before: int = 7) -> HotPlan:
        return planned(self.book, self.forecasts(), before)

    def end(
        self,
        hot: HotPlan,
        exact: Iterable[int] = (),
        failed: Iterable[int] = (),
        reverted: Iterable[int] = (),
        elsewhere: Iterable[int] = (),
    ) -> None:
        """All end; those given looked at their slot, did not hold, reverted, or left it alone."""
        for index, shop in enumerate(self.shops):
            key, preimages = balance_of(shop)
            address, slot = key
            observed = Observations()
            if index in exact:
                observed.slots = {address: {slot: 7}}
            elif index not in elsewhere:
                observed.ranges = {address: {slot: (1, 2**255)}}
            speculation = Speculation(
                index, observed, Effects(), outcome(index in reverted), 0.0, preimages=preimages
            )
            tried = hot.tried.get(index, {})
            if tried:
                self.book.learn(tried, speculation, [key] if index in failed else [])


def outcome(is_error: bool) -> Any:
    class Ended:
        pass

    ended = Ended()
    ended.is_error = is_error  # type: ignore[attr-defined]
    return ended


def test_what_only_one_touches_is_not_hot() -> None:
    market = Market(SHOPS)
    assert market.plan() == HotPlan()


def test_what_several_read_and_change_is_tried_in_order() -> None:
    market = Market([SHOPS[0]] * 3 + [SHOPS[1]])
    hot = market.plan()
    key, _ = balance_of(SHOPS[0])
    assert hot.tried == {index: {key: False} for index in range(3)}
    assert hot.free == frozenset()
    assert sorted(
        map(len, plan(market.forecasts(), 2, chains_of(market.forecasts(), hot.free)))
    ) == [1, 3]


def test_some_tries_are_enough() -> None:
    market = Market([SHOPS[0]] * 20)
    assert sorted(market.plan().tried) == [0, 1, 2, 3]


def test_what_stays_in_one_lane_is_not_tried_for_nothing() -> None:
    market = Market([SHOPS[0]] * 4)
    market.end(market.plan())
    hot = market.plan()
    assert hot.in_lanes([[0, 1, 2, 3], []]).tried == {}
    assert hot.in_lanes([[0, 2], [1, 3]]) is hot
    market.shops = [SHOPS[0]] * 4 + [SHOPS[1]] * 2
    hot = market.plan()
    assert sorted(hot.in_lanes([[0, 1], [2, 3, 4, 5]]).tried) == [0, 1, 2, 3]


def test_what_dissolved_orders_nobody() -> None:
    market = Market([SHOPS[0]] * 4)
    market.end(market.plan())
    hot = market.plan()
    assert hot.free == {balance_of(SHOPS[0])[0]}
    assert plan(market.forecasts(), 2, chains_of(market.forecasts(), hot.free)) == [[0, 2], [1, 3]]


def test_what_dissolved_says_the_same_of_other_arguments() -> None:
    market = Market([SHOPS[0]] * 4)
    market.end(market.plan())
    market.shops = [SHOPS[1]] * 4 + [SHOPS[2]] * 2
    assert market.plan().free == {balance_of(shop)[0] for shop in SHOPS[1:]}


def test_the_first_to_put_something_there_sees_that_there_is_nothing() -> None:
    market = Market([SHOPS[0]] * 4)
    market.end(market.plan(before=0))
    key, _ = balance_of(SHOPS[0])
    hot = market.plan(before=0)
    assert hot.tried == {index: {key: index > 0} for index in range(4)}


def test_while_in_order_a_zero_is_a_zero() -> None:
    market = Market([SHOPS[0]] * 4)
    assert all(not any(hot.values()) for hot in market.plan(before=0).tried.values())


def test_what_collapsed_is_left_alone_for_a_while() -> None:
    market = Market([SHOPS[0]] * 4)
    market.end(market.plan(), exact=range(4))
    rests = 0
    while not (hot := market.plan()).tried:
        rests += 1
    assert rests == 2  # two blocks of four
    market.end(hot, exact=range(4))
    again = 0
    while not market.plan().tried:
        again += 1
    assert again == 2 * rests


def test_an_interval_that_did_not_hold_disappoints_as_well() -> None:
    market = Market([SHOPS[0]] * 4)
    market.end(market.plan(), failed=range(4))
    assert market.plan() == HotPlan()


def test_one_exception_among_many_does_no_harm() -> None:
    market = Market([SHOPS[0]] * 20)
    market.end(market.plan())
    market.end(market.plan(), exact=[5])
    assert market.plan().free


def test_one_that_reverted_says_nothing() -> None:
    market = Market([SHOPS[0]] * 4)
    market.end(market.plan(), reverted=range(4))
    hot = market.plan()
    assert hot.tried and not hot.free


def test_one_that_never_got_to_its_slot_says_nothing() -> None:
    market = Market([SHOPS[0]] * 4)
    market.end(market.plan(), elsewhere=range(4))
    hot = market.plan()
    assert hot.tried and not hot.free
    market.end(hot)
    assert market.plan().free


def test_many_who_only_read_keep_a_slot_in_order() -> None:
    market = Market([SHOPS[0]] * 8)
    market.end(market.plan())
    key, _ = balance_of(SHOPS[0])
    for readers, is_free in ((1, True), (4, False)):
        reading = [
            Forecast(8 + number, frozenset([key]), frozenset(), 50_000) for number in range(readers)
        ]
        forecasts = [*market.forecasts(), *reading]
        hot = planned(market.book, forecasts)
        assert (key in hot.free) == is_free
        assert all(index < 8 for index in hot.tried)


def test_balances_of_ether_are_not_slots() -> None:
    key = (TOKEN, BALANCE)
    forecasts = [Forecast(index, frozenset([key]), frozenset([key]), 1) for index in range(4)]
    assert planned(HotSlotBook(), forecasts) == HotPlan()


def test_while_lanes_are_even_nothing_is_hot() -> None:
    market = Market([SHOPS[0], SHOPS[1]] * 4)
    assert market.plan() == HotPlan()
    market.shops = [SHOPS[0]] * 7 + [SHOPS[1]] * 3
    assert market.plan().tried


def test_what_orders_only_few_is_not_tried_for_the_sake_of_a_long_one() -> None:
    """That one takes its time, whatever else is free meanwhile."""
    market = Market([SHOPS[0]] * 4)
    for others, is_tried in ((500_000, False), (150_000, True)):
        long = Forecast(4, frozenset(), frozenset([(SENDERS[4], BALANCE)]), 200_000 + others)
        forecasts = [*market.forecasts(), long]
        assert bool(planned(market.book, forecasts).tried) == is_tried


def test_memory_is_bounded() -> None:
    book = HotSlotBook()
    for number in range(5000):
        key = (TOKEN, 2**200 + number)
        selector = (number // 3).to_bytes(4, "big")
        forecasts = [forecast_of(index, key, selector) for index in range(2)]
        hot = planned(book, forecasts)
        observed = Observations(ranges={TOKEN: {key[1]: (0, 5)}})
        speculation = Speculation(0, observed, Effects(), outcome(False), 0.0)
        book.learn(hot.tried[0], speculation, [])
    assert sum(map(len, book._functions.values())) <= 4096
