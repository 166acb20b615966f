"""What short-lived processes visit now and then is translated by one of them in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from parallel_evm.translator.store import VISITS, Store
from parallel_evm.translator.visits import MAX_KEYS, WORTH_COUNTING, Visits
from tests.translator.test_cache import COUNTER, LEAVING, Process, world_of

NAME = "ab"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "kept"), suffix=VISITS)


def visit(store: Store, *here: dict[Any, int]) -> Visits:
    visits = Visits(store, NAME, here)
    assert visits.save()
    return visits


def test_visits_add_up_over_processes(store: Store) -> None:
    call = 68, b"\1\2\3\4"
    assert visit(store, {0: 5}, {call: 7}, {(*call, 2): 1}).earlier == {}
    assert visit(store, {0: 5, 9: 1}).earlier == {0: 5, call: 7, (*call, 2): 1}
    assert Visits(store, NAME, ()).earlier == {0: 10, 9: 1, call: 7, (*call, 2): 1}


def test_what_was_translated_is_not_counted_on(store: Store) -> None:
    visit(store, {0: 50, 9: 50, 13: 50})
    visit(store, {0: 0, 9: -96, 21: 4})  # translated; not to be translated
    assert Visits(store, NAME, ()).earlier == {9: 50, 13: 50, 21: 4}


def test_numbers_are_those_at_the_end(store: Store) -> None:
    here: dict[int, int] = {}
    visits = Visits(store, NAME, (here,))
    here[3] = 10
    assert visits.save()
    assert Visits(store, NAME, ()).earlier == {3: 10}


def test_a_program_that_is_made_again_goes_on(store: Store) -> None:
    """As where every test of a suite has a chain of its own."""
    visit(store, {0: 5})
    first, second = {0: 6, 9: 2, 13: 0}, {0: 1, 21: -96}
    visits = Visits(store, NAME, (first,))
    visits.go_on((second,))
    assert visits.earlier == {0: 11, 9: 2, 13: 0}
    second[9] = 3
    assert visits.save()
    assert Visits(store, NAME, ()).earlier == {0: 12, 9: 5}


def test_what_is_hardly_used_is_not_written(store: Store) -> None:
    visit(store, {0: WORTH_COUNTING - 1, 1: 0})
    assert not Path(store.folder).exists()


def test_the_least_visited_make_room(store: Store) -> None:
    visit(store, {pc: pc for pc in range(MAX_KEYS + 500)})
    assert min(Visits(store, NAME, ()).earlier) == 500


def test_it_waits_while_somebody_else_is_writing(store: Store) -> None:
    visit(store, {0: 5})
    with store.locked():
        assert not Visits(Store(store.folder, suffix=VISITS), NAME, ({0: 5},)).save()
    assert Visits(store, NAME, ()).earlier == {0: 5}


def test_a_damaged_file_is_as_good_as_none(store: Store) -> None:
    visit(store, {0: 5})
    (file,) = Path(store.folder).glob("*.visits")
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert Visits(store, NAME, ()).earlier == {}
    assert not file.exists()


@pytest.mark.parametrize("remembers", [True, False])
def test_what_no_process_runs_often_is_translated_by_one_of_them(
    lab: Any, tmp_path: Path, remembers: bool
) -> None:
    """Its outcomes are py-evm's in all of them (`differences`)."""
    world = world_of(lab, COUNTER)
    made = []
    for _ in range(6):
        process = Process(lab, tmp_path, "cancun", 40)
        for _ in range(4):  # the loop's block is visited twelve times
            assert not process.twins.differences(world)
        made.append(process.made)
        process.save()
        if not remembers:
            for file in tmp_path.glob("*.visits"):
                file.unlink()
    assert made[:3] == [0, 0, 0]
    assert (sum(made) > 0) == remembers
    if remembers:
        assert made[-1] == 0  # by then there is nothing left to be done


class WithCalls(Process):
    """Translates whole calls, too."""

    def run_by(self, rules: Any) -> None:
        patience = rules.programs.dialect.patience
        super().run_by(rules)
        rules.programs.dialect.patience = patience


def test_whole_calls_and_what_goes_on_from_them_are_counted(lab: Any, tmp_path: Path) -> None:
    """One way through is recorded; the other leaves there."""
    world = world_of(lab, LEAVING)
    one, other = (bytes(4) + place.to_bytes(32, "big") for place in (0, 3))
    made, kinds = [], []
    for _ in range(12):
        process = WithCalls(lab, tmp_path, "cancun", 90)
        for data in (one, other) * 4:
            assert not process.twins.differences(world, data=data)
        made.append(process.made)
        process.save()
        names = [file.stem for file in tmp_path.glob("*.visits")]
        store = Store(str(tmp_path), suffix=VISITS)
        kept = [Visits(store, name, ()).earlier for name in names]
        kinds.append({len(key) for keys in kept for key in keys if isinstance(key, tuple)})
    assert made[0] == 0
    assert {2} in kinds  # calls wait
    assert any(3 in lengths for lengths in kinds)  # and then the ways out of them
    assert sum(made) >= 2
    assert made[-1] == 0
