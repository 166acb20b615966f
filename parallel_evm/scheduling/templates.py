"""Access templates: what calls of one function touch, said in terms of who calls with what.

Solidity keeps `balanceOf[owner]` at keccak(owner . position). Where a call touched such a slot and
the hash's preimage is known, the slot can be taken apart again; if the owner was the caller, or an
argument, the slot of the next call is computed before that call runs. What cannot be taken apart
is a constant, and constants are expected again where the same addresses are among the arguments:
the pair that two tokens share, the price of an asset.

This module knows words, keys and calls. It reads no state, and never raises on what was observed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple, Protocol

from parallel_evm.hashing import keccak
from parallel_evm.state.keys import Key

_SELECTOR: Final = 4
_MAX_ARGUMENTS: Final = 256
_MAX_SUBJECTS: Final = 16
_MAX_OFFSET: Final = 1 << 32  # independent hashes are about 2**250 apart
_MAX_NESTING: Final = 8
_MAX_ENTRIES: Final = 2048
_MAX_NEAR: Final = 8

_PATIENCE: Final = 8
"""After so many surprises in a row without it, an access is not expected any more."""

_SPARED: Final = 4
"""Touching less than was expected costs nobody anything: only one such call in so many teaches."""

_SEEN_ONCE: Final = 2
"""From this surprise on it is known which constants came only once."""

_KNOWN: Final = 32
_SAMPLE: Final = 8
"""After so many calls in a row without any surprise, one in some is looked at."""

_NO_ADDRESS: Final = bytes(12)
_NO_PREFIX: Final = bytes(8)
_SMALL: Final = bytes(28)


class Call(NamedTuple):
    """The part of a transaction that expressions can speak of, as 32-byte words."""

    function: bytes
    """Which function is called: the contract's address and the selector."""
    caller: bytes
    callee: bytes
    arguments: tuple[bytes, ...]
    """Calldata after the selector; the last word is padded with zeros, as the EVM reads it."""
    addresses: frozenset[bytes]
    """The arguments that look like addresses."""
    subjects: tuple[bytes, ...]
    """Those that are neither caller nor callee, each once, in order; a bounded number of them."""
    digests: dict[bytes, bytes]
    """Hashes already computed, shared by many calls."""


def call_of(sender: bytes, to: bytes, data: bytes, digests: dict[bytes, bytes]) -> Call:
    """Take a transaction's words apart. ``digests`` is read and added to."""
    caller, callee = sender.rjust(32, b"\0"), to.rjust(32, b"\0")
    end = min(len(data), _SELECTOR + 32 * _MAX_ARGUMENTS)
    words = [data[start : start + 32] for start in range(_SELECTOR, end, 32)]
    if words and len(words[-1]) < 32:
        words[-1] = words[-1].ljust(32, b"\0")
    # Numbers below 2**96 are amounts, times and positions far more often than addresses.
    addresses = {
        word: None for word in words if word.startswith(_NO_ADDRESS) and word[12:20] != _NO_PREFIX
    }
    others = (word for word in addresses if word != caller and word != callee)
    return Call(
        function=to + data[:_SELECTOR],
        caller=caller,
        callee=callee,
        arguments=tuple(words),
        addresses=frozenset(addresses),
        subjects=tuple(islice(others, _MAX_SUBJECTS)),
        digests=digests,
    )


#
# Expressions
#
class Word(Protocol):
    """An expression for a 32-byte word."""

    def value(self, call: Call) -> bytes | None:
        """What it is in this call; None where the call has no such thing."""
        ...

    @property
    def fixed(self) -> bool:
        """Is it the same in every call of one contract?"""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """A word that is what it was."""

    word: bytes

    def value(self, call: Call) -> bytes | None:
        return self.word

    @property
    def fixed(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of the transaction."""

    def value(self, call: Call) -> bytes | None:
        return call.caller

    @property
    def fixed(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Callee:
    """The contract that the transaction calls."""

    def value(self, call: Call) -> bytes | None:
        return call.callee

    @property
    def fixed(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Argument:
    """Word ``index`` of the calldata after the selector."""

    index: int
    address: bool
    """Does it have to look like an address? Where arrays differ in length, the same place holds
    an address in one call and an amount in another."""

    def value(self, call: Call) -> bytes | None:
        arguments = call.arguments
        if self.index >= len(arguments):
            return None
        word = arguments[self.index]
        return word if not self.address or word in call.addresses else None

    @property
    def fixed(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Hashed:
    """keccak(left . right) + offset: an entry of a mapping, or a member of a struct in one."""

    left: Word
    right: Word
    offset: int

    def value(self, call: Call) -> bytes | None:
        left, right = self.left.value(call), self.right.value(call)
        if left is None or right is None:
            return None
        preimage = left + right
        digest = call.digests.get(preimage)
        if digest is None:
            digest = call.digests[preimage] = keccak(preimage)
        if not self.offset:
            return digest
        return ((int.from_bytes(digest, "big") + self.offset) % (1 << 256)).to_bytes(32, "big")

    @property
    def fixed(self) -> bool:
        return self.left.fixed and self.right.fixed


@dataclass(frozen=True, slots=True)
class Access:
    """An expression for a key: whose account, and which part of it."""

    address: Word
    field: Word | int
    """A storage slot, or, as an int, one of the negative fields of `state.keys`."""

    def key(self, call: Call) -> Key | None:
        address = self.address.value(call)
        if address is None or not address.startswith(_NO_ADDRESS):
            return None
        if isinstance(self.field, int):
            return address[12:], self.field
        slot = self.field.value(call)
        return None if slot is None else (address[12:], int.from_bytes(slot, "big"))

    @property
    def fixed(self) -> bool:
        return self.address.fixed and (isinstance(self.field, int) or self.field.fixed)

    @property
    def general(self) -> bool:
        """Does it hold for any call, as far as its form can tell?

        Small numbers are positions that the compiler gave; any other constant belongs to the call
        in which it was seen until other calls confirm it.
        """
        if isinstance(self.address, Constant):
            return False
        return isinstance(self.field, int) or _is_position(self.field)


def _is_position(word: Word) -> bool:
    if isinstance(word, Constant):
        return word.word.startswith(_SMALL)
    if isinstance(word, Hashed):
        return (
            not isinstance(word.left, Constant)
            and _is_position(word.left)
            and _is_position(word.right)
        )
    return True


def explainer(call: Call, preimages: Mapping[bytes, bytes]) -> Callable[[Key], Access]:
    """How to express the keys that ``call`` touched; ``preimages`` gives 64 bytes by their hash."""
    hashes = sorted(preimages)
    arguments = {word: i for i, word in reversed(list(enumerate(call.arguments)))}

    def plain(word: bytes) -> Word:
        if word == call.caller:
            return Caller()
        if word in arguments:
            return Argument(arguments[word], word in call.addresses)
        return Callee() if word == call.callee else Constant(word)

    def position(word: bytes, depth: int) -> Word:
        # A position equals some argument by accident more easily than by meaning.
        return Constant(word) if word.startswith(_SMALL) else computed(word, depth)

    def computed(word: bytes, depth: int) -> Word:
        nearest = bisect_right(hashes, word) - 1
        if nearest >= 0 and depth < _MAX_NESTING:
            digest = hashes[nearest]
            preimage = preimages[digest]
            offset = int.from_bytes(word, "big") - int.from_bytes(digest, "big")
            if offset < _MAX_OFFSET and len(preimage) == 64:
                left, right = preimage[:32], preimage[32:]
                return Hashed(computed(left, depth + 1), position(right, depth + 1), offset)
        return plain(word)

    def access(key: Key) -> Access:
        address, part = key
        word = address.rjust(32, b"\0")
        owner = Callee() if word == call.callee else plain(word)
        if part < 0:
            return Access(owner, part)
        slot = position(part.to_bytes(32, "big"), 0)
        if isinstance(owner, Argument) and slot.fixed and not _is_position(slot):
            # The balance of one pair in one token, say: wherever in a path the token stands.
            owner = Constant(word)
        return Access(owner, slot)

    return access


#
# Templates
#
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


@dataclass(slots=True, eq=False)
class _Bundle:
    """The accesses that are expected when certain addresses are among the arguments."""

    context: frozenset[bytes]
    anchor: bytes | None
    entries: dict[Access, _Entry] = field(default_factory=dict)
    compiled: _Expectation | None = None
    unsettled: bool = False
    """Does any entry count surprises?"""
    spared: int = 0
    """Calls that touched less than was expected."""

    def settle(self) -> None:
        """All was as expected: whatever entries counted in a row ends here."""
        if self.unsettled:
            self.unsettled = False
            for entry in self.entries.values():
                entry.misses = entry.unwritten = 0


@dataclass(frozen=True, slots=True)
class _Expectation:
    """A bundle, arranged for evaluation."""

    reads: frozenset[Key]
    writes: frozenset[Key]
    varying: tuple[_Entry, ...]


class Expected(NamedTuple):
    """What one call is expected to touch."""

    reads: frozenset[Key]
    writes: frozenset[Key]
    bundles: list[_Bundle]
    compiled: list[_Expectation]
    """Theirs; as long as they have the same ones, the same is expected."""
    keys: dict[_Entry, Key | None]
    """What the accesses come to that differ from call to call."""


class Template:
    """What the calls of one function touched, merged.

    A surprise is a call that touched keys which were not expected; only surprises teach, and now
    and then a call that touched less: what happens once per block is best expected always. An
    access whose form holds for any call is expected at once. Any other one carries a context: the
    address-like arguments that all the calls had in common in which it was touched.
    """

    __slots__ = (
        "_anchored", "_asked", "_bundles", "_common", "_home", "_mentions", "_right", "_surprises",
        "gas",
    )  # fmt: skip

    def __init__(self) -> None:
        self.gas = 0
        """Gas used by recent calls, averaged."""
        self._surprises = 0
        self._asked = 0
        self._right = 0
        """Calls in a row that touched nothing but what was expected."""
        self._common = _Bundle(frozenset(), None)
        self._bundles: dict[frozenset[bytes], _Bundle] = {frozenset(): self._common}
        # The bundles that have a word in their context, and those that are looked up by it.
        self._mentions: dict[bytes, list[_Bundle]] = {}
        self._anchored: dict[bytes, list[_Bundle]] = {}
        self._home: dict[Access, _Bundle] = {}

    def __len__(self) -> int:
        return len(self._home)

    def is_curious(self) -> bool:
        """Is this call worth learning from? Of a function that is known, one in some is enough."""
        self._asked += 1
        return self._right < _KNOWN or self._asked % _SAMPLE == 0

    def expect(self, call: Call) -> Expected:
        """The keys that ``call`` will read, and those that it will change."""
        bundles = self._matching(call)
        expected = [bundle.compiled or self._compile(bundle) for bundle in bundles]
        read: list[Key] = []
        written: list[Key] = []
        keys: dict[_Entry, Key | None] = {}
        for expectation in expected:
            for entry in expectation.varying:
                key = keys[entry] = entry.access.key(call)
                if key is not None:
                    if entry.reads:
                        read.append(key)
                    if entry.writes:
                        written.append(key)
        reads = expected[0].reads.union(read, *(e.reads for e in expected[1:]))
        writes = expected[0].writes.union(written, *(e.writes for e in expected[1:]))
        return Expected(reads, writes, bundles, expected, keys)

    def unfamiliar(self, call: Call, expected: Expected) -> list[bytes]:
        """Address-like arguments that no expectation rests on, where others do rest on some."""
        if not self._mentions:
            return []
        familiar: set[bytes] = set()
        for bundle in expected.bundles:
            familiar |= bundle.context
        return [word for word in call.subjects if word not in familiar]

    def near(self, words: Sequence[bytes]) -> tuple[set[Key], set[Key], list[bytes]]:
        """What calls read and changed that had one of ``words`` among their arguments.

        Only what was the same key in each of them. Third, the words that no such call had.
        """
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
                    expectation = bundle.compiled or self._compile(bundle)
                    reads |= expectation.reads
                    writes |= expectation.writes
                    covered |= bundle.context
        return reads, writes, strange

    def learn(
        self,
        call: Call,
        reads: frozenset[Key],
        writes: frozenset[Key],
        preimages: Mapping[bytes, bytes],
        success: bool,
        expected: Expected | None = None,
    ) -> None:
        """Take note of what ``call`` touched. One that failed says nothing of what others do.

        ``expected``: what `expect` said of this call, be it a while ago.
        """
        if expected is None or not self._stands(call, expected):
            expected = self.expect(call)
        if self._surprises and expected.reads >= reads and expected.writes >= writes:
            self._right += 1
            if len(expected.reads) == len(reads) and len(expected.writes) == len(writes):
                for bundle in expected.bundles:
                    bundle.settle()
                return
            closest = expected.bundles[-1]
            closest.spared += 1
            if closest.spared % _SPARED:
                return
        else:
            self._right = 0
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
                    if self._hit(entry, key in reads, key in writes, success):
                        bundle.compiled = None
                elif success and key is not None:
                    entry.misses += 1
                    if entry.misses > _PATIENCE:
                        self._remove(bundle, entry)
            bundle.unsettled = True
        unexplained = sorted((reads | writes) - explained)
        if unexplained:
            access = explainer(call, preimages)
            subjects = frozenset(call.subjects)
            for key in unexplained:
                self._add(access(key), call, subjects, key in reads, key in writes)
            if len(self._home) > _MAX_ENTRIES:
                self._shrink()

    #
    # Expecting
    #
    def _matching(self, call: Call) -> list[_Bundle]:
        """The bundles whose context ``call`` has, the common one first."""
        found = [self._common]
        if self._anchored:
            subjects = frozenset(call.subjects)
            for word in call.subjects:
                for bundle in self._anchored.get(word, ()):
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
            varying=tuple(entry for entry in entries if entry.key is None),
        )
        return bundle.compiled

    def _stands(self, call: Call, expected: Expected) -> bool:
        """Would the same be expected of ``call`` now?"""
        return [bundle.compiled for bundle in self._matching(call)] == expected.compiled

    #
    # Learning
    #
    def _hit(self, entry: _Entry, read: bool, written: bool, success: bool) -> bool:
        """Note that the access was made. Is something else expected of it now?"""
        before = entry.reads, entry.writes, entry.confirmed
        entry.confirmed = entry.confirmed or entry.seen > 0
        entry.seen = self._surprises
        entry.misses = 0
        entry.reads |= read
        if written:
            entry.writes, entry.unwritten = True, 0
        elif success:
            entry.unwritten += 1
            if entry.unwritten > _PATIENCE:
                entry.writes = False
        return before != (entry.reads, entry.writes, entry.confirmed)

    def _add(
        self, access: Access, call: Call, subjects: frozenset[bytes], read: bool, written: bool
    ) -> None:
        home = self._home.get(access)
        if home is None:
            entry = _Entry(access, access.key(call) if access.fixed else None, access.general)
            context = frozenset() if entry.confirmed else subjects
        else:
            # Known from calls with other arguments: what they have in common is what counts.
            entry = home.entries[access]
            context = home.context & subjects
            self._remove(home, entry)
        self._hit(entry, read, written, success=True)
        bundle = self._bundles.get(context) or self._open(context)
        bundle.entries[access] = entry
        bundle.compiled = None
        self._home[access] = bundle

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
