"""Trie nodes as bytes: how one is put together and taken apart.

Responsible for: the RLP of nodes and the hex-prefix encoding of paths (yellow paper, appendices B
and C), and for fetching a node by its hash.
Talks to: a `NodeSource`.
Never: walks a trie, hashes, or decodes more than the caller needs.

The words used in this room:

- A *node* is its RLP encoding. The blank node is `BLANK`, the RLP of an empty string.
- An *item* is the encoding of one element of a node, header included, exactly as it stands in the
  node: a value, a path, or a child. Items are moved from node to node without being decoded.
- A child's item is its *reference*: the node itself while shorter than 32 bytes, otherwise its
  hash as an RLP string. So `BLANK` and every short node are their own reference, and only an item
  that starts with `HASH_PREFIX` has to be fetched.
- A *path* is a string of hexadecimal digits, one per nibble; strings slice, compare and turn into
  bytes faster than anything else in Python.
"""

import re
import struct
from collections.abc import Callable

from eth_typing import Hash32
from trie.exceptions import MissingTrieNode
from trie.typing import Nibbles

NodeSource = Callable[[bytes], bytes]
"""Gives the RLP of the node with that hash; raises KeyError where it has none."""

BLANK = b"\x80"
HASH_PREFIX = 0xA0
BRANCH_ITEMS = 17
VALUE = 16
DIGITS = "0123456789abcdef"
NIBBLE = {digit: value for value, digit in enumerate(DIGITS)}

_STRING_HEADERS = [bytes((0x80 + size,)) for size in range(56)]
_LIST_HEADERS = [bytes((0xC0 + size,)) for size in range(56)]
_LIST_HEADERS += [bytes((0xF8, size)) for size in range(56, 256)]
_ONE_BYTE = [bytes((byte,)) if byte < 0x80 else bytes((0x81, byte)) for byte in range(256)]

# Branches whose children are all hashes or blank: every branch of a trie with hashed keys, bar
# freak cases. One match yields all items; a full branch, most of the upper levels, needs less.
_BRANCH_OF_HASHES = re.compile(rb"(\x80|\xa0.{32})" * 16 + rb"(\x80)", re.DOTALL)
_FULL_BRANCH_HEADER = b"\xf9\x02\x11"
_FULL_BRANCH_PREFIXES = b"\xa0" * 16 + b"\x80"
_FULL_BRANCH = struct.Struct("3x" + "33s" * 16 + "s")


def fetch(source: NodeSource, digest: bytes, root: bytes, key: str, prefix: str | None) -> bytes:
    """Return the node with this hash, needed for `key` (a path) in the trie at `root`.

    Raises trie.exceptions.MissingTrieNode, worded like HexaryTrie, when the source has none.
    """
    try:
        return source(digest)
    except KeyError as missing:
        nibbles = None if prefix is None else Nibbles([NIBBLE[digit] for digit in prefix])
        requested = bytes.fromhex(key)
        raise MissingTrieNode(Hash32(digest), Hash32(root), requested, nibbles) from missing


def string_item(data: bytes) -> bytes:
    """Return the RLP of a byte string."""
    size = len(data)
    if size == 1:
        return _ONE_BYTE[data[0]]
    if size < 56:
        return _STRING_HEADERS[size] + data
    width = (size.bit_length() + 7) // 8
    return bytes((0xB7 + width,)) + size.to_bytes(width, "big") + data


def string_of(item: bytes) -> bytes:
    """Return the byte string that an item holds: the inverse of `string_item`."""
    first = item[0]
    if first < 0x80:
        return item
    return item[1:] if first < 0xB8 else item[first - 0xB6 :]


def node_of(payload: bytes) -> bytes:
    """Return the RLP list with these items, joined already."""
    size = len(payload)
    if size < 256:
        return _LIST_HEADERS[size] + payload
    width = (size.bit_length() + 7) // 8
    return bytes((0xF7 + width,)) + size.to_bytes(width, "big") + payload


def items_of(node: bytes) -> list[bytes]:
    """Take a node apart: 17 items for a branch, two for a leaf or an extension."""
    if node[3::33] == _FULL_BRANCH_PREFIXES and node[:3] == _FULL_BRANCH_HEADER:
        return [*_FULL_BRANCH.unpack(node)]
    first = node[0]
    position = 1 if first < 0xF8 else first - 0xF6
    branch = _BRANCH_OF_HASHES.fullmatch(node, position)
    if branch:
        return [*branch.groups()]
    items = []
    end = len(node)
    while position < end:
        after = _end_of_item(node, position)
        items.append(node[position:after])
        position = after
    return items


def _end_of_item(node: bytes, position: int) -> int:
    first = node[position]
    if first < 0x80:
        return position + 1
    if first < 0xB8:
        return position + first - 0x7F
    if first < 0xC0:
        content = position + first - 0xB6
        return content + int.from_bytes(node[position + 1 : content], "big")
    # A list inside a node is a child of less than 32 bytes: its header is always the short one.
    return position + first - 0xBF


def leaf(path: str, value: bytes) -> bytes:
    """Return the leaf with this path and this value (an item)."""
    packed = bytes.fromhex("3" + path if len(path) & 1 else "20" + path)
    return node_of(string_item(packed) + value)


def extension(path: str, child: bytes) -> bytes:
    """Return the extension with this path to this child (an item: the child's reference)."""
    packed = bytes.fromhex("1" + path if len(path) & 1 else "00" + path)
    return node_of(string_item(packed) + child)


def path_of(item: bytes) -> tuple[str, bool]:
    """Return the path that the first item of a two-item node holds, and whether it is a leaf."""
    packed = string_of(item).hex()
    flag = packed[0]
    return packed[1:] if flag in "13" else packed[2:], flag in "23"
