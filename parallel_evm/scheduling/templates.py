"""Access templates: what calls of one function touch, merged from what its calls have touched.

Accesses are expressions (`scheduling.expressions`). Those that say by their form what they depend
on hold for any call; constants are expected again where the same addresses are among the arguments:
the pair that two tokens share, the price of an asset.

This module knows expressions, keys and calls. It never raises on what was observed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from parallel_evm.scheduling.expressions import Access, Call, Explainer, Slots, form_of
from parallel_evm.state.keys import Key

_MAX_ENTRIES: Final = 2048
_MAX_NEAR: Final = 8

_PATIENCE: Final = 8
"""After so many surprises in a row without it, an access is not expected any more."""

_NO_SLOTS: Final[Slots] = {}

_SPARED: Final = 4
"""Touching less than was expected costs nobody anything: only one such call in so many teaches."""

_SEEN_ONCE: Final = 2
"""From this surprise on it is known which constants came only once."""

_MANY: Final = 16
_OFTEN: Final = 4
"""Of so many accesses of one form, one in so many has to come again: else none is expected to."""
_MAX_FORMS: Final = 64

_KNOWN: Final = 32
_SAMPLE: Final = 8
"""After so many calls without any surprise, one in some is looked at. A surprise takes away half of
what is known: a function that is good for one now and then is not looked at more closely."""
_WELL_KNOWN: Final = 4 * _KNOWN
_RARE_SAMPLE: Final = 64
"""Of a function that has long had none, one in many: what a call touches is not free to look at.
Calls that had to run again teach all the same."""


@dataclass(slots=True, eq=False)
class _Entry:
    """What is known of one access."""

    access: Access
    key: Key | None
    """The key itself where it is the same for every call."""
    confirmed: bool
    """Has it been seen twice, or does it hold by its form?"""
    reads: bool = False
    writes: bool = False
    misses: int = 0
    """Surprises in a row in which it was expected and not touched."""
    unwritten: int = 0
    """Surprises in a row in which it was touched and not changed."""
    seen: int = 0
    """The surprise in which it was touched last."""
    counts: bool = False
    """Did the call add one to it?"""
    tally: _Tally | None = None
    """Of its form, until it has come again."""
    collided: bool = False
    """Did it make a call run again?"""

    def came_again(self) -> None:
        """Another call has touched it."""
        if self.tally is not None:
            self.tally.again += 1
            self.tally = None


@dataclass(slots=True, eq=False)
class _Tally:
    """Accesses that differ only in a hash that nobody can tell beforehand: of a message that must
    not arrive twice, of an order, or of a pool that others use, too."""

    met: int = 0
    """So many were met in a first call."""
    again: int = 0
    """So many of these were met in a second one."""

    @property
    def is_fleeting(self) -> bool:
        """Do they hardly ever come again? Then nobody meets there."""
        return self.met >= _MANY and self.again * _OFTEN < self.met


@dataclass(slots=True, eq=False)
class _Bundle:
    """The accesses that are expected when certain addresses are among the arguments."""

    context: frozenset[bytes]
    anchor: bytes | None
    entries: dict[Access, _Entry] = field(default_factory=dict)
    compiled: _Expectation | None = None
    unsettled: bool = False
    """Does any entry count surprises, or is it to be seen whether it comes again?"""
    spared: int = 0
    """Calls that touched less than was expected."""

    def settle(self) -> None:
        """All was as expected: whatever entries counted in a row ends here."""
        if self.unsettled:
            self.unsettled = False
            for entry in self.entries.values():
                entry.misses = entry.unwritten = 0
                if entry.confirmed or self.context:  # else it was not expected
                    entry.came_again()


@dataclass(frozen=True, slots=True)
class _Expectation:
    """A bundle, arranged for evaluation."""

    reads: frozenset[Key]
    writes: frozenset[Key]
    counted: tuple[Key, ...]
    varying: tuple[_Entry, ...]


class Expected(NamedTuple):
    """What one call is expected to touch."""

    varying_reads: list[Key]
    varying_writes: list[Key]
    """What differs from call to call."""
    bundles: list[_Bundle]
    compiled: list[_Expectation]
    """Theirs; as long as they have the same ones, the same is expected."""
    keys: dict[_Entry, Key | None]
    """What the accesses come to that differ from call to call."""
    counted: list[Key]
    """Slots that it will add one to."""

    def reads(self, more: Iterable[Key] = ()) -> frozenset[Key]:
        """The keys that it will read, and ``more``."""
        first, *others = self.compiled
        return first.reads.union(self.varying_reads, more, *(e.reads for e in others))

    def writes(self, more: Iterable[Key] = ()) -> frozenset[Key]:
        """The keys that it will change, and ``more``."""
        first, *others = self.compiled
        return first.writes.union(self.varying_writes, more, *(e.writes for e in others))


class Known(NamedTuple):
    """What is known of one access, to be kept."""

    access: Access
    context: frozenset[bytes]
    """The address-like arguments with which it is expected; none: with any."""
    reads: bool
    writes: bool
    counts: bool
    confirmed: bool


class Template:
    """What the calls of one function touched, merged.

    A surprise is a call that touched keys which were not expected; only surprises teach, and now
    and then a call that touched less: what happens once per block is best expected always. An
    access whose form holds for any call is expected at once. Any other one carries a context: the
    address-like arguments that all the calls had in common in which it was touched. Of some forms
    nothing ever comes again; then new ones are no surprise and are not kept.
    """

    __slots__ = (
        "_anchored", "_asked", "_bundles", "_common", "_home", "_mentions", "_right", "_surprises",
        "_tallies", "gas",
    )  # fmt: skip

    def __init__(self) -> None:
        self.gas = 0
        """Gas used by recent calls, averaged."""
        self._surprises = 0
        self._asked = 0
        self._right = 0
        """Calls that touched nothing but what was expected; see `_KNOWN`."""
        self._common = _Bundle(frozenset(), None)
        self._bundles: dict[frozenset[bytes], _Bundle] = {frozenset(): self._common}
        # The bundles that have a word in their context, and those that are looked up by it.
        self._mentions: dict[bytes, list[_Bundle]] = {}
        self._anchored: dict[bytes, list[_Bundle]] = {}
        self._home: dict[Access, _Bundle] = {}
        self._tallies: dict[Access, _Tally] = {}

    def __len__(self) -> int:
        """Accesses, and forms of accesses."""
        return len(self._home) + len(self._tallies)

    @property
    def surprises(self) -> int:
        """How many calls taught something, as far as it matters: one, or several."""
        return min(self._surprises, _SEEN_ONCE)

    def known(self) -> Iterator[Known]:
        """Everything, the common accesses first."""
        for bundle in self._bundles.values():
            for access, entry in bundle.entries.items():
                yield Known(
                    access,
                    bundle.context,
                    entry.reads,
                    entry.writes,
                    entry.counts,
                    entry.confirmed,
                )

    @classmethod
    def of(cls, gas: int, surprises: int, known: Iterable[Known], call: Call) -> Template:
        """One that knows this. ``call``: any of the function."""
        template = cls()
        template.gas = gas
        template._surprises = surprises
        for access, context, reads, writes, counts, confirmed in known:
            if access not in template._home:
                entry = _Entry(access, access.key(call) if access.fixed else None, confirmed)
                entry.reads, entry.writes, entry.counts = reads, writes, counts
                entry.seen = surprises
                template._place(entry, context)
        if len(template) > _MAX_ENTRIES:
            template._shrink()
        return template

    def for_kin(self, call: Call) -> Template:
        """What is to be expected of this function in a contract with the same code, which ``call``
        calls: all but what belongs to single addresses, and what may belong to this contract."""
        shared = [
            known._replace(confirmed=known.access.general)
            for known in self.known()
            if not known.context and (known.confirmed or known.access.has_place)
        ]
        return Template.of(self.gas, 0, shared, call)

    def is_curious(self) -> bool:
        """Is this call worth learning from? Of a function that is known, one in some is enough."""
        self._asked += 1
        if self._right < _KNOWN:
            return True
        sample = _SAMPLE if self._right < _WELL_KNOWN else _RARE_SAMPLE
        return self._asked % sample == 0

    def expect(self, call: Call) -> Expected:
        """What ``call`` will read and change."""
        bundles = self._matching(call)
        expected = [bundle.compiled or self._compile(bundle) for bundle in bundles]
        read: list[Key] = []
        written: list[Key] = []
        keys: dict[_Entry, Key | None] = {}
        counted: list[Key] = []
        for expectation in expected:
            counted += expectation.counted
            for entry in expectation.varying:
                key = keys[entry] = entry.access.key(call)
                if key is not None:
                    if entry.reads:
                        read.append(key)
                    if entry.writes:
                        written.append(key)
                    if entry.counts:
                        counted.append(key)
        return Expected(read, written, bundles, expected, keys, counted)

    def unfamiliar(self, call: Call, expected: Expected) -> list[bytes]:
        """Address-like arguments that no expectation rests on, where others do rest on some."""
        if not self._mentions:
            return []
        familiar: set[bytes] = set()
        for bundle in expected.bundles:
            familiar |= bundle.context
        return [word for word in call.subjects if word not in familiar]

    def near(self, words: Sequence[bytes], call: Call) -> tuple[set[Key], set[Key], list[bytes]]:
        """What calls read and changed that had one of ``words``, and another argument of ``call``
        if it has several, among their arguments.

        Only what was the same key in each of them. Third, the words that no such call had.
        """
        subjects = frozenset(call.subjects)
        reads: set[Key] = set()
        writes: set[Key] = set()
        strange: list[bytes] = []
        covered: set[bytes] = set()
        # The rarest word says most; one that many contexts have in common says nothing.
        for word in sorted(words, key=lambda word: len(self._mentions.get(word, ()))):
            bundles = self._mentions.get(word)
            if bundles is None:
                strange.append(word)
            elif word not in covered and len(bundles) <= _MAX_NEAR:
                for bundle in bundles:
                    context = bundle.context
                    # Two tokens share a pair; one of them is in many, and these are not meant.
                    if len(context & subjects) >= min(2, len(context), len(subjects)):
                        expectation = bundle.compiled or self._compile(bundle)
                        reads |= expectation.reads
                        writes |= expectation.writes
                        covered |= context
        return reads, writes, strange

    def learn(
        self,
        call: Call,
        reads: frozenset[Key],
        writes: frozenset[Key],
        preimages: Mapping[bytes, bytes],
        success: bool,
        expected: Expected | None = None,
        held: Slots = _NO_SLOTS,
        counted: frozenset[Key] = frozenset(),
        conflicted: bool = False,
    ) -> None:
        """Take note of what ``call`` touched. One that failed says nothing of what others do.

        ``expected``: what `expect` said of this call, be it a while ago. ``held``: what slots held
        that it read. ``counted``: those of them that it added one to. ``conflicted``: somebody else
        changed what it read, so whatever was not expected matters.
        """
        if expected is None or not self._stands(call, expected):
            expected = self.expect(call)
        expected_reads, expected_writes = expected.reads(), expected.writes()
        if not (expected_reads >= reads and expected_writes >= writes):
            # Earlier transactions of the block may have changed what slots hold, since.
            expected = self.expect(call)
            expected_reads, expected_writes = expected.reads(), expected.writes()
        explainer = Explainer(call, preimages, held, counted)
        if not conflicted:
            strange = (reads | writes) - expected_reads - expected_writes
            private = self._private(strange, writes, explainer)
            if private:
                reads, writes = reads - private, writes - private
        foreseen = expected_reads >= reads and expected_writes >= writes
        miscounted = any(key in writes and key not in counted for key in expected.counted)
        if self._surprises and foreseen and not miscounted:
            self._right = min(self._right + 1, _WELL_KNOWN)
            if len(expected_reads) == len(reads) and len(expected_writes) == len(writes):
                for bundle in expected.bundles:
                    bundle.settle()
                return
            closest = expected.bundles[-1]
            closest.spared += 1
            if closest.spared % _SPARED:
                return
        else:
            self._right //= 2
        self._surprises += 1
        if self._surprises <= _SEEN_ONCE:
            self._common.compiled = None
        explained: set[Key] = set()
        keys = expected.keys
        for bundle in expected.bundles:
            for entry in list(bundle.entries.values()):
                key = entry.key
                if key is None:
                    key = keys[entry] if entry in keys else entry.access.key(call)
                if key in reads or key in writes:
                    assert key is not None
                    explained.add(key)
                    counts = key in counted
                    if self._hit(entry, key in reads, key in writes, counts, success):
                        bundle.compiled = None
                elif success and key is not None:
                    entry.misses += 1
                    if entry.misses > _PATIENCE:
                        self._remove(bundle, entry)
            bundle.unsettled = True
        unexplained = sorted((reads | writes) - explained)
        if unexplained:
            subjects = frozenset(call.subjects)
            for key in unexplained:
                access = explainer.access(key)
                entry = self._add(access, call, subjects, conflicted)
                self._hit(entry, key in reads, key in writes, key in counted, success=True)
            if len(self._home) > _MAX_ENTRIES:
                self._shrink()

    #
    # Expecting
    #
    def _matching(self, call: Call) -> list[_Bundle]:
        """The bundles whose context ``call`` has, the common one first."""
        found = [self._common]
        anchored = self._anchored
        if anchored:
            words = call.subjects
            subjects = frozenset(words)
            for word in words:
                for bundle in anchored.get(word, ()):
                    if bundle.context <= subjects:
                        found.append(bundle)
        return found

    def _compile(self, bundle: _Bundle) -> _Expectation:
        entries: Iterable[_Entry] = bundle.entries.values()
        if bundle is self._common and self._surprises >= _SEEN_ONCE:
            # Of what depends on no argument, a constant seen once was left out by earlier calls.
            entries = [entry for entry in entries if entry.confirmed]
        fixed = [(entry.key, entry) for entry in entries if entry.key is not None]
        bundle.compiled = _Expectation(
            reads=frozenset(key for key, entry in fixed if entry.reads),
            writes=frozenset(key for key, entry in fixed if entry.writes),
            counted=tuple(key for key, entry in fixed if entry.counts),
            varying=tuple(entry for entry in entries if entry.key is None),
        )
        return bundle.compiled

    def _stands(self, call: Call, expected: Expected) -> bool:
        """Would the same be expected of ``call`` now?"""
        return [bundle.compiled for bundle in self._matching(call)] == expected.compiled

    #
    # Learning
    #
    def _hit(self, entry: _Entry, read: bool, written: bool, counts: bool, success: bool) -> bool:
        """Note that the access was made. Is something else expected of it now?"""
        before = entry.reads, entry.writes, entry.confirmed, entry.counts
        entry.confirmed = entry.confirmed or entry.seen > 0
        if entry.seen > 0:
            entry.came_again()
        entry.seen = self._surprises
        entry.misses = 0
        entry.reads |= read
        if written:
            entry.writes, entry.unwritten, entry.counts = True, 0, counts
        elif success:
            entry.unwritten += 1
            if entry.unwritten > _PATIENCE:
                entry.writes = False
        return before != (entry.reads, entry.writes, entry.confirmed, entry.counts)

    def _add(
        self, access: Access, call: Call, subjects: frozenset[bytes], conflicted: bool
    ) -> _Entry:
        """The access that ``call`` has made is expected from now on."""
        home = self._home.get(access)
        if home is None:
            entry = _Entry(access, access.key(call) if access.fixed else None, access.general)
            entry.collided = conflicted
            self._place(entry, frozenset() if entry.confirmed else subjects)
            if not entry.confirmed:
                self._note_form(entry)
        else:
            # Known from calls with other arguments: what they have in common is what counts.
            entry = home.entries[access]
            entry.collided |= conflicted
            self._remove(home, entry)
            self._place(entry, home.context & subjects)
        return entry

    def _note_form(self, entry: _Entry) -> None:
        """There is one more access of its form, if it has a form."""
        form = form_of(entry.access)
        if form is None:
            return
        tally = self._tallies.get(form)
        if tally is None:
            if len(self._tallies) >= _MAX_FORMS:
                for other, seldom in self._tallies.items():
                    if not seldom.is_fleeting:
                        del self._tallies[other]
                        break
                else:
                    return
            tally = self._tallies[form] = _Tally()
        was_fleeting = tally.is_fleeting
        entry.tally = tally
        tally.met += 1
        if tally.is_fleeting and not was_fleeting:
            self._give_up(tally)

    def _give_up(self, tally: _Tally) -> None:
        """Forget the accesses of a form of which hardly any comes again."""
        for home, entry in [(home, home.entries[access]) for access, home in self._home.items()]:
            if entry.tally is tally and not entry.collided:
                self._remove(home, entry)

    def _private(self, keys: Iterable[Key], writes: Set[Key], explainer: Explainer) -> set[Key]:
        """Those of ``keys`` that nobody else will change, as far as their form can tell."""
        found = set()
        for key in sorted(keys):
            access = explainer.access(key)
            if access in self._home:
                continue
            if access.is_amid and key not in writes:
                found.add(key)
            elif self._tallies:
                form = form_of(access)
                tally = None if form is None else self._tallies.get(form)
                if tally is not None and tally.is_fleeting:
                    found.add(key)
        return found

    def _place(self, entry: _Entry, context: frozenset[bytes]) -> None:
        bundle = self._bundles.get(context) or self._open(context)
        bundle.entries[entry.access] = entry
        bundle.compiled = None
        bundle.unsettled = True
        self._home[entry.access] = bundle

    def _open(self, context: frozenset[bytes]) -> _Bundle:
        # The rarest word finds it fastest: not the token that all pools have in common.
        anchor = min(context, key=lambda word: (len(self._mentions.get(word, ())), word))
        bundle = self._bundles[context] = _Bundle(context, anchor)
        self._anchored.setdefault(anchor, []).append(bundle)
        for word in context:
            self._mentions.setdefault(word, []).append(bundle)
        return bundle

    def _remove(self, bundle: _Bundle, entry: _Entry) -> None:
        del bundle.entries[entry.access]
        del self._home[entry.access]
        bundle.compiled = None
        if bundle.anchor is None or bundle.entries:
            return
        del self._bundles[bundle.context]
        _drop(self._anchored, bundle.anchor, bundle)
        for word in bundle.context:
            _drop(self._mentions, word, bundle)

    def _shrink(self) -> None:
        """Forget the quarter that was not touched for longest."""
        oldest = sorted(
            ((home, home.entries[access]) for access, home in self._home.items()),
            key=lambda pair: pair[1].seen,
        )
        for bundle, entry in oldest[: len(oldest) // 4]:
            self._remove(bundle, entry)


def _drop(index: dict[bytes, list[_Bundle]], word: bytes, bundle: _Bundle) -> None:
    bundles = index[word]
    bundles.remove(bundle)
    if not bundles:
        del index[word]
