"""What a worker need not be told again, and what it has forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from parallel_evm.workers import knowledge, worker
from parallel_evm.workers.knowledge import Knowledge

KEYS: list[Any] = [(bytes([number]) * 20, number) for number in range(9)]
A, B = b"chain a", b"chain b"


@dataclass
class Source:
    """State at some version, which remembers what has changed since some earlier ones."""

    lineage: bytes = A
    version: int = 0
    since: dict[int, list[str]] = field(default_factory=dict)

    def changes_since(self, version: int) -> Any:
        return self.since.get(version)


def told(subject: Knowledge, token: int = 0, source: Any = None) -> None:
    subject.note(token, source or Source())


def test_a_new_one_knows_nothing() -> None:
    subject = Knowledge()
    source: Any = Source(since={0: ["all"]})
    assert not subject.has_rules(0)
    assert subject.missed(source) is None
    assert set(subject.new_to_it(A, [frozenset(KEYS[:2]), frozenset(KEYS[1:3])])) == set(KEYS[:3])


def test_it_is_told_what_has_changed_since() -> None:
    subject = Knowledge()
    told(subject, 3, Source(version=4))
    assert subject.has_rules(3) and not subject.has_rules(4)
    source: Any = Source(version=6, since={4: ["fifth", "sixth"], 6: []})
    assert subject.missed(source) == ["fifth", "sixth"]
    told(subject, 3, source)
    assert subject.missed(source) == []
    other: Any = Source(B, 6, since={4: ["something"], 6: []})
    assert subject.missed(other) is None


def test_hints_are_given_once() -> None:
    subject = Knowledge()
    assert subject.new_to_it(A, [frozenset(KEYS[:2])])
    assert subject.new_to_it(A, [frozenset(KEYS[:3])]) == [KEYS[2]]
    assert subject.new_to_it(A, []) == []
    assert subject.new_to_it(B, [frozenset(KEYS[:1])]) == KEYS[:1]


def test_who_begins_with_nothing_is_given_hints_again() -> None:
    subject = Knowledge()
    told(subject, 0, Source(version=1))
    subject.new_to_it(A, [frozenset(KEYS)])
    lost_track: Any = Source(version=9)
    assert subject.missed(lost_track) is None
    assert set(subject.new_to_it(A, [frozenset(KEYS)])) == set(KEYS)


def test_hints_are_counted_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge, "MAX_HINTED", 4)
    subject = Knowledge()
    subject.new_to_it(A, [frozenset(KEYS[:3])])
    assert set(subject.new_to_it(A, [frozenset(KEYS[3:6])])) == set(KEYS[3:6])
    assert subject.new_to_it(A, [frozenset(KEYS[:1])]) == KEYS[:1]
    assert subject.new_to_it(A, [frozenset(KEYS[3:6])]) == []


def test_bytecode_is_given_once_whatever_the_state() -> None:
    subject = Knowledge()
    assert subject.new_codes([b"one", b"two", b"one"]) == {b"one", b"two"}
    told(subject, 0, Source(B))
    assert subject.new_codes([b"two", b"three"]) == {b"three"}
    assert subject.new_codes([]) == set()


def test_bytecode_is_counted_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "CODES", 2)
    subject = Knowledge()
    subject.new_codes([b"one", b"two"])
    assert subject.new_codes([b"two", b"three"]) == {b"three"}
    assert subject.new_codes([b"one", b"three"]) == {b"one"}


def test_the_oldest_rules_are_forgotten_first_used_or_not() -> None:
    subject = Knowledge()
    for token in range(worker.RULES):
        told(subject, token)
    told(subject, 0)
    assert all(map(subject.has_rules, range(worker.RULES)))
    told(subject, worker.RULES)
    assert not subject.has_rules(0)
    assert all(map(subject.has_rules, range(1, worker.RULES + 1)))


def test_of_states_those_that_were_not_used_for_longest() -> None:
    subject = Knowledge()
    sources: list[Any] = [
        Source(bytes([number]), since={0: []}) for number in range(worker.REPLICAS + 1)
    ]
    for source in sources[:-1]:
        told(subject, 0, source)
    told(subject, 0, sources[0])
    told(subject, 0, sources[-1])
    assert subject.missed(sources[1]) is None
    known = [source for source in sources if subject.missed(source) is not None]
    assert known == [sources[0], *sources[2:]]


def test_all_at_once() -> None:
    subject = Knowledge()
    source: Any = Source(since={0: []})
    told(subject, 0, source)
    subject.new_to_it(A, [frozenset(KEYS)])
    subject.new_codes([b"one"])
    subject.forget_all()
    assert not subject.has_rules(0)
    assert subject.new_codes([b"one"]) == {b"one"}
    assert set(subject.new_to_it(A, [frozenset(KEYS)])) == set(KEYS)
    assert subject.missed(source) is None
