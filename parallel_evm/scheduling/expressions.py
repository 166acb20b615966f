"""Expressions: the keys that a call touches, said in terms of who calls with what.

Solidity keeps `balanceOf[owner]` at keccak(owner . position), and the elements of an array from
keccak(position) on. Where a call touched such a slot and the hash's preimage is known, the slot can
be taken apart again: the owner was the caller, or an argument, or what another slot holds. The same
expression gives the slot of the next call before that call runs. What cannot be taken apart is a
constant.

This module knows words, keys and calls. State it only asks of the call it is given, and it never
raises on what was observed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from operator import attrgetter
from typing import Final

from parallel_evm.hashing import keccak
from parallel_evm.state.keys import Key

_SELECTOR: Final = 4
_MAX_ARGUMENTS: Final = 256
_MAX_SUBJECTS: Final = 16
_MAX_OFFSET: Final = 1 << 32  # independent hashes are about 2**250 apart
_MAX_WORDS: Final = 64
"""In one expression, those counted again that stand there again: a call may hash its hashes, and
find slots by what slots hold that were found like that."""
_MAX_POSITION: Final = 256
"""Arrays at so many positions are recognised without having seen the hash."""
_MAX_NESTING: Final = 8
_MAX_INDIRECTIONS: Final = 4
"""A slot found by what a slot holds that was found by what a slot holds..."""

_NO_ADDRESS: Final = bytes(12)
_NEGATIVE: Final = b"\xff" * 12
_LEAST_ADDRESS: Final = (1 << 96).to_bytes(32, "big")
_NO_MORE_ADDRESS: Final = (1 << 160).to_bytes(32, "big")
"""Between them a word looks like an address. Smaller numbers are amounts, times and positions far
more often."""
_SMALL: Final = bytes(28)
_WORD_BITS: Final = 256
_ALL_BITS: Final = (1 << _WORD_BITS) - 1
_PACKED_BITS: Final = (256, 128, 64, 32)
"""How many of a slot's lowest bits may be a number that another slot is found by."""

_ADDRESS_BITS: Final = 160

Holds = Callable[[Key], int | None]
"""What a slot holds; None where nobody knows."""
Slots = Mapping[bytes, Mapping[int, int]]
"""Words of storage by address and slot."""
_NO_SLOTS: Final[Slots] = {}
_NO_WORDS: Final[Mapping[int, int]] = {}


@dataclass(slots=True)
class Call:
    """The part of a transaction that expressions can speak of, as 32-byte words."""

    function: bytes
    """Which function is called: the contract's address and the selector."""
    caller: bytes
    callee: bytes
    arguments: tuple[bytes, ...]
    """Calldata after the selector; the last word is padded with zeros, as the EVM reads it."""
    digests: dict[bytes, bytes]
    """Hashes already computed, shared by many calls."""
    holds: Holds
    """What slots hold when it is this call's turn, as far as that is known."""
    _subjects: tuple[bytes, ...] | None = field(default=None, repr=False, compare=False)

    @property
    def subjects(self) -> tuple[bytes, ...]:
        """The arguments that look like addresses and are neither caller nor callee, each once, in
        order; a bounded number. Found when somebody asks: most calls are of functions that go by
        none."""
        found = self._subjects
        if found is None:
            others = {
                word: None for word in self.arguments if _LEAST_ADDRESS <= word < _NO_MORE_ADDRESS
            }
            others.pop(self.caller, None)
            others.pop(self.callee, None)
            found = self._subjects = tuple(islice(others, _MAX_SUBJECTS))
        return found

    def holding(self, holds: Holds) -> Call:
        """The same call, where slots hold something else."""
        return replace(self, holds=holds)


def _nobody_knows(key: Key) -> int | None:
    return None


def call_of(
    sender: bytes,
    to: bytes,
    data: bytes,
    digests: dict[bytes, bytes],
    holds: Holds = _nobody_knows,
) -> Call:
    """Take a transaction's words apart. ``digests`` is read and added to."""
    end = min(len(data), _SELECTOR + 32 * _MAX_ARGUMENTS)
    words = [data[start : start + 32] for start in range(_SELECTOR, end, 32)]
    if words and len(words[-1]) < 32:
        words[-1] = words[-1].ljust(32, b"\0")
    return Call(
        to + data[:_SELECTOR],
        sender.rjust(32, b"\0"),
        to.rjust(32, b"\0"),
        tuple(words),
        digests,
        holds,
    )


#
# Words
#
Reader = Callable[[Call], bytes | None]
"""What a word is in a call; None where the call has no such thing."""


class Word:
    """An expression for a 32-byte word."""

    __slots__ = ()

    def reader(self) -> Reader:
        """Evaluates it, again and again: in a block for every call of a function."""
        raise NotImplementedError

    @property
    def fixed(self) -> bool:
        """Is it the same in every call of one contract?"""
        return False

    @property
    def numbered(self) -> bool:
        """Does it depend on a number that is given to things: a policy's, a deal's?

        What belongs to an address is expected where the address is among the arguments; of what
        belongs to a number, only an expression can say where it is.
        """
        return False


@dataclass(frozen=True, slots=True)
class Constant(Word):
    """A word that is what it was."""

    word: bytes

    def reader(self) -> Reader:
        word = self.word
        return lambda call: word

    @property
    def fixed(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Caller(Word):
    """The sender of the transaction."""

    def reader(self) -> Reader:
        return attrgetter("caller")


@dataclass(frozen=True, slots=True)
class Callee(Word):
    """The contract that the transaction calls."""

    def reader(self) -> Reader:
        return attrgetter("callee")

    @property
    def fixed(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Argument(Word):
    """Word ``index`` of the calldata after the selector."""

    index: int
    address: bool
    """Does it have to look like an address? Where arrays differ in length, the same place holds
    an address in one call and an amount in another."""

    def reader(self) -> Reader:
        index = self.index

        def read(call: Call) -> bytes | None:
            words = call.arguments
            return words[index] if index < len(words) else None

        def read_address(call: Call) -> bytes | None:
            words = call.arguments
            if index >= len(words):
                return None
            word = words[index]
            return word if _LEAST_ADDRESS <= word < _NO_MORE_ADDRESS else None

        return read_address if self.address else read

    @property
    def numbered(self) -> bool:
        return not self.address


@dataclass(frozen=True, slots=True)
class Hashed(Word):
    """keccak(left . right) + offset: an entry of a mapping, or a member of a struct in one."""

    left: Word
    right: Word
    offset: int

    def reader(self) -> Reader:
        read_left, read_right, offset = self.left.reader(), self.right.reader(), self.offset

        def read(call: Call) -> bytes | None:
            left, right = read_left(call), read_right(call)
            if left is None or right is None:
                return None
            preimage = left + right
            return _further(_digest(preimage, call), offset)

        return read

    @property
    def fixed(self) -> bool:
        return self.left.fixed and self.right.fixed

    @property
    def numbered(self) -> bool:
        return self.left.numbered or self.right.numbered


def _digest(preimage: bytes, call: Call) -> bytes:
    digest = call.digests.get(preimage)
    if digest is None:
        digest = call.digests[preimage] = keccak(preimage)
    return digest


def _further(digest: bytes, offset: int) -> bytes:
    """The slot that lies so far behind."""
    if not offset:
        return digest
    return (int.from_bytes(digest, "big") + offset & _ALL_BITS).to_bytes(32, "big")


@dataclass(frozen=True, slots=True)
class Element(Word):
    """keccak(array) + offset: of an array, the length of which is at the slot ``array``.

    With ``length``, it is that many elements of ``size`` slots further on: where the next one will
    be; or the ``last`` one is. Without, it is always the same element.
    """

    array: Word
    offset: int
    length: Access | None = None
    last: bool = False
    size: int = 1

    def reader(self) -> Reader:
        read_array, offset, size = self.array.reader(), self.offset, self.size
        find_length = None if self.length is None else self.length.key
        before = 1 if self.last else 0

        def read(call: Call) -> bytes | None:
            array = read_array(call)
            if array is None:
                return None
            digest = _digest(array, call)
            if find_length is None:
                return _further(digest, offset)
            key = find_length(call)
            length = None if key is None else call.holds(key)
            if length is None or length < before:
                return None
            return _further(digest, (length - before) * size + offset)

        return read

    @property
    def fixed(self) -> bool:
        return self.array.fixed and self.length is None

    @property
    def numbered(self) -> bool:
        return self.array.numbered or self.length is not None


@dataclass(frozen=True, slots=True)
class Stored(Word):
    """What a slot holds, or ``bits`` of it from ``shift`` on, plus ``ahead``."""

    access: Access
    shift: int
    bits: int
    ahead: int
    """How far a counter has moved on when it is used: `++count` is 1."""
    counter: bool

    def reader(self) -> Reader:
        find, shift, mask, ahead = self.access.key, self.shift, (1 << self.bits) - 1, self.ahead

        def read(call: Call) -> bytes | None:
            key = find(call)
            held = None if key is None else call.holds(key)
            if held is None:
                return None
            number = (held >> shift & mask) + ahead & _ALL_BITS
            # Zero is where nothing was stored yet.
            return number.to_bytes(32, "big") if number else None

        return read

    @property
    def numbered(self) -> bool:
        return True


@dataclass(frozen=True)
class Access:
    """An expression for a key: whose account, and which part of it."""

    address: Word
    field: Word | int
    """A storage slot, or, as an int, one of the negative fields of `state.keys`."""

    @cached_property
    def key(self) -> Callable[[Call], Key | None]:
        """Evaluates it: the key in a call, None where the call has no such thing."""
        read_address = self.address.reader()
        part = self.field if isinstance(self.field, int) else 0
        read_slot = None if isinstance(self.field, int) else self.field.reader()

        def key(call: Call) -> Key | None:
            address = read_address(call)
            if address is None or address[:12] != _NO_ADDRESS:
                return None
            if read_slot is None:
                return address[12:], part
            slot = read_slot(call)
            return None if slot is None else (address[12:], int.from_bytes(slot, "big"))

        return key

    @property
    def fixed(self) -> bool:
        return self.address.fixed and (isinstance(self.field, int) or self.field.fixed)

    @property
    def general(self) -> bool:
        """Does it hold for any call, as far as its form can tell?"""
        constant = isinstance(self.address, Constant)
        return not constant and _is_general(self.address) and self.has_place

    @property
    def has_place(self) -> bool:
        """Is it a place that the compiler gave, in whatever contract?"""
        return isinstance(self.field, int) or _is_general(self.field)

    @property
    def is_amid(self) -> bool:
        """Is it neither end of an array that belongs to somebody? There something is searched, and
        what is found stays: votes at past blocks, prices at past times."""
        field = self.field
        return isinstance(field, Element) and field.length is None and not field.fixed

    @property
    def numbered(self) -> bool:
        """As of a `Word`."""
        field = self.field
        return self.address.numbered or (not isinstance(field, int) and field.numbered)


ANY_HASH: Final = Constant(b"")
"""Stands for whatever hash it is, in what `form_of` returns. It is no word, and never evaluated."""


def form_of(access: Access) -> Access | None:
    """The same with `ANY_HASH` in the place of a hash of which the call does not say what it is the
    hash of: an order, a message, a leaf; members of the same thing are alike. None where there is
    no such hash."""
    address, field = _form(access.address), access.field
    if not isinstance(field, int):
        field = _form(field)
    if address is access.address and field is access.field:
        return None
    return Access(address, field)


def _form(word: Word) -> Word:
    """``word`` itself where there is no such hash in it."""
    match word:
        case Constant(constant) if constant[:12] not in (_NO_ADDRESS, _NEGATIVE):
            return ANY_HASH
        case Hashed(left, right):
            # A position may be a hash, too: of a namespace (ERC-7201).
            place_first = isinstance(left, Constant) and _is_general(left)
            is_place = isinstance(right, Constant) and not place_first
            forms = _form(left), right if is_place else _form(right)
            if forms[0] is not left or forms[1] is not right:
                return Hashed(*forms, offset=0)
        case Element(array, length=length):
            form = _form(array)
            if form is not array:
                known = None if length is None else form_of(length) or length
                return replace(word, array=form, length=known)
        case Stored(access):
            within = form_of(access)
            if within is not None:
                return replace(word, access=within)
    return word


def _is_general(word: Word) -> bool:
    """Does it say what the word is in any call?

    Small numbers are positions that the compiler gave; any other constant belongs to the call in
    which it was seen until other calls confirm it.
    """
    if isinstance(word, Constant):
        return word.word.startswith(_SMALL)
    if isinstance(word, Hashed):
        return (
            not isinstance(word.left, Constant)
            and _is_general(word.left)
            and _is_general(word.right)
        )
    if isinstance(word, Element):
        # What a contract lists as a whole is gone through in search of something. Its next element
        # is what a call adds to it.
        is_next = word.length is not None and not word.last
        return (is_next or not word.array.fixed) and _is_general(word.array)
    if isinstance(word, Stored):
        # A small number is found in many slots; a counter, or an address, hardly by accident.
        return word.access.general and (word.counter or word.bits == _ADDRESS_BITS)
    return True


def _by_width(part: tuple[int, int, int]) -> tuple[bool, int, int]:
    _, shift, bits = part
    return bits != _ADDRESS_BITS, -bits, shift


_ARRAYS: Final = {
    keccak(position): position
    for position in (number.to_bytes(32, "big") for number in range(_MAX_POSITION))
}
_ARRAY_HASHES: Final = sorted(_ARRAYS)
"""The compiler hashes an array's position itself: no call shows it."""

_Part = tuple[Key, int, int]
"""A slot, and the bits of it: from which on, and how many."""


class Explainer:
    """How to express the keys that one call touched.

    ``preimages`` gives 32 or 64 bytes by their hash. ``held`` is what the slots held that were
    read, and ``counted`` those of them that the call added one to.
    """

    def __init__(
        self,
        call: Call,
        preimages: Mapping[bytes, bytes],
        held: Slots = _NO_SLOTS,
        counted: Collection[Key] = (),
    ) -> None:
        self._call = call
        self._preimages = preimages
        self._held = held
        self._counted = sorted(counted)
        self._explained: dict[Key, Access | None] = {}
        """None while it is at it: nothing is found by what it holds itself."""
        self._sizes: dict[Key, int] = {}
        """Words in the expressions for these keys."""
        self._words = 0
        """In the expression that is being made."""
        self._depth = 0

    @cached_property
    def _hashes(self) -> list[bytes]:
        return sorted(self._preimages)

    @cached_property
    def _arguments(self) -> dict[bytes, int]:
        return {word: i for i, word in reversed(list(enumerate(self._call.arguments)))}

    def access(self, key: Key) -> Access:
        """The expression for ``key``."""
        if not self._depth:
            self._words = 0
        found = self._explained.get(key)
        if found is None:
            self._explained[key] = None
            before = self._words
            self._depth += 1
            found = self._explained[key] = self._access(key)
            self._depth -= 1
            self._sizes[key] = self._words - before
        else:
            self._words += self._sizes[key]
        return found

    def _access(self, key: Key) -> Access:
        address, part = key
        word = address.rjust(32, b"\0")
        owner = self._owner(word)
        if part < 0:
            return Access(owner, part)
        slot = self._position(part.to_bytes(32, "big"), address)
        if isinstance(owner, Argument) and slot.fixed and not _is_general(slot):
            # The balance of one pair in one token, say: wherever in a path the token stands.
            owner = Constant(word)
        return Access(owner, slot)

    def _owner(self, word: bytes) -> Word:
        if word == self._call.callee:
            return Callee()
        # A precompile's address equals some argument or counter by accident.
        return Constant(word) if word.startswith(_SMALL) else self._plain(word)

    def _position(self, word: bytes, address: bytes, depth: int = 0) -> Word:
        # A position equals some argument by accident more easily than by meaning.
        return Constant(word) if word.startswith(_SMALL) else self._computed(word, address, depth)

    def _computed(self, word: bytes, address: bytes, depth: int) -> Word:
        """``word``, which may be a slot in the storage of ``address`` or what that is hashed of."""
        self._words += 1
        if self._words > _MAX_WORDS:
            return Constant(word)
        for hashes, preimages in ((self._hashes, self._preimages), (_ARRAY_HASHES, _ARRAYS)):
            nearest = bisect_right(hashes, word) - 1
            if nearest < 0 or depth >= _MAX_NESTING:
                continue
            digest = hashes[nearest]
            preimage = preimages[digest]
            offset = int.from_bytes(word, "big") - int.from_bytes(digest, "big")
            if not 0 <= offset < _MAX_OFFSET:
                continue
            if len(preimage) == 64:
                left, right = preimage[:32], preimage[32:]
                return Hashed(
                    self._computed(left, address, depth + 1),
                    self._position(right, address, depth + 1),
                    offset,
                )
            key = (address, int.from_bytes(preimage, "big"))
            if len(preimage) == 32 and key[1] in self._held.get(address, _NO_WORDS):
                return self._element(key, offset, depth)
        return self._plain(word)

    def _element(self, key: Key, offset: int, depth: int) -> Element:
        """What lies so far into the array whose length is at ``key``: that is looked at before any
        element is."""
        address, slot = key
        array = self._position(slot.to_bytes(32, "big"), address, depth + 1)
        length = self._held[address][slot]
        last = key not in self._counted
        index = length - 1 if last else length
        # The size of the first element is not seen: it is this large at least.
        size, member = divmod(offset, index) if index > 0 else (offset + 1, offset)
        if index < 0 or member >= size or size >= _MAX_OFFSET:
            return Element(array, offset)
        if self._depth >= _MAX_INDIRECTIONS or not self._is_new(key):
            return Element(array, offset)
        return Element(array, member, self.access(key), last, size)

    def _plain(self, word: bytes) -> Word:
        if word == self._call.caller:
            return Caller()
        if word in self._arguments:
            index = self._arguments[word]
            return Argument(index, _LEAST_ADDRESS <= word < _NO_MORE_ADDRESS)
        if word == self._call.callee:
            return Callee()
        return self._stored(int.from_bytes(word, "big")) or Constant(word)

    def _stored(self, number: int) -> Stored | None:
        """The slot that ``number`` was found in, if any."""
        if not number or self._depth >= _MAX_INDIRECTIONS:
            return None
        for key in self._counted:
            ahead = number - self._held[key[0]][key[1]]
            if ahead in (0, 1) and self._is_new(key):
                return Stored(self.access(key), 0, _WORD_BITS, ahead, True)
        for key, shift, bits in self._by_content.get(number, ()):
            if self._is_new(key):
                access = self.access(key)
                if access.numbered:
                    return Stored(access, shift, bits, 0, False)
        return None

    def _is_new(self, key: Key) -> bool:
        """Is it not just being explained?"""
        return self._explained.get(key, key) is not None

    @cached_property
    def _by_content(self) -> dict[int, list[_Part]]:
        """The slots by what they held: as a whole, as lowest bits, and where an address was."""
        parts: dict[int, list[_Part]] = {}
        for address, slots in sorted(self._held.items()):
            for slot, value in sorted(slots.items()):
                key, seen = (address, slot), set()
                for bits in _PACKED_BITS:
                    seen.add((value & (1 << bits) - 1, 0, bits))
                for shift in range(0, _WORD_BITS - _ADDRESS_BITS + 1, 8) if value >> 96 else ():
                    number = value >> shift & (1 << _ADDRESS_BITS) - 1
                    if number >> 96:
                        seen.add((number, shift, _ADDRESS_BITS))
                # The widest part is the member of a struct; an address is never wider than that.
                for number, shift, bits in sorted(seen, key=_by_width):
                    parts.setdefault(number, []).append((key, shift, bits))
        return parts
