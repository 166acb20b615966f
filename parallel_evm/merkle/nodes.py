"""Trie nodes as bytes: how one is put together and taken apart.

Responsible for: the RLP of nodes and the hex-prefix encoding of paths (yellow paper, appendices B
and C).
Talks to: nobody.
Never: walks a trie, fetches, hashes, or decodes more than the caller needs.

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

# Headers by size, for the sizes of nearly all values and sparse nodes.
_STRING_HEADERS = [bytes((0x80 + size,)) for size in range(56)]
_STRING_HEADERS += [bytes((0xB8, size)) for size in range(56, 256)]
_LIST_HEADERS = [bytes((0xC0 + size,)) for size in range(56)]
_LIST_HEADERS += [bytes((0xF8, size)) for size in range(56, 256)]
_ODD_LEAF = [bytes((0x30 + digit,)) for digit in range(16)]
_ONE_BYTE = [bytes((byte,)) if byte < 0x80 else bytes((0x81, byte)) for byte in range(256)]

# A branch whose children are all hashes or blank and that has no value: every branch of a trie with
# hashed keys, bar freak cases. One match finds all its items (group n + 1 is item n), at C speed.
# Nothing else matches: the pattern reads RLP from the front as any decoder does.
match_branch = re.compile(
    rb"(?:[\xc0-\xf7]|\xf8.|\xf9..)" + rb"(\x80|\xa0.{32})" * 16 + rb"(\x80)", re.DOTALL
).fullmatch

# With all sixteen children it has this size, and its items begin with these bytes, 33 apart.
FULL_BRANCH_SIZE = 3 + 16 * 33 + 1
_FULL_BRANCH = b"\xa0" * 16 + b"\x80"


def missing_node(digest: bytes, root: bytes, key: str, prefix: str | None) -> MissingTrieNode:
    """Return HexaryTrie's exception for a node that is missing, with `key` and `prefix` as paths.

    HexaryTrie knows the prefix that leads to the node when it reads, and not when it writes.
    """
    nibbles = None if prefix is None else Nibbles([NIBBLE[digit] for digit in prefix])
    return MissingTrieNode(Hash32(digest), Hash32(root), bytes.fromhex(key), nibbles)


def string_item(data: bytes) -> bytes:
    """Return the RLP of a byte string."""
    size = len(data)
    if size == 1:
        return _ONE_BYTE[data[0]]
    if size < 256:
        return _STRING_HEADERS[size] + data
    width = (size.bit_length() + 7) // 8
    return bytes((0xB7 + width,)) + size.to_bytes(width, "big") + data


def number_item(value: int) -> bytes:
    """Return the RLP of a number that is not negative."""
    return string_item(value.to_bytes((value.bit_length() + 7) // 8, "big"))


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
    if size < 1 << 16:  # branches, and most receipts
        return b"\xf9" + size.to_bytes(2, "big") + payload
    width = (size.bit_length() + 7) // 8
    return bytes((0xF7 + width,)) + size.to_bytes(width, "big") + payload


def payload_start(node: bytes) -> int:
    """Return the size of a node's own header."""
    first = node[0]
    return 1 if first < 0xF8 else first - 0xF6


def items_of(node: bytes) -> list[bytes]:
    """Take a node apart: 17 items for a branch, two for a leaf or an extension."""
    branch = match_branch(node)
    if branch:
        return [*branch.groups()]
    position = payload_start(node)
    items = []
    end = len(node)
    while position < end:
        after = end_of_item(node, position)
        items.append(node[position:after])
        position = after
    return items


def child_of_branch(node: bytes, nibble: int) -> bytes | None:
    """Return one of the first sixteen items of a branch like those that `match_branch` knows.

    None: the node is none. Near the root of a large trie, where every read comes by, branches have
    all their children, and one is cut out in a quarter of the time that it takes to match them.
    """
    if len(node) == FULL_BRANCH_SIZE and node[3::33] == _FULL_BRANCH:
        return node[3 + 33 * nibble : 36 + 33 * nibble]
    branch = match_branch(node)
    return branch[nibble + 1] if branch else None


def end_of_item(node: bytes, position: int) -> int:
    """Return where the item ends that begins at ``position``."""
    first = node[position]
    if first < 0x80:
        return position + 1
    if first < 0xB8:
        return position + first - 0x7F
    if first < 0xC0:
        content = position + first - 0xB6
    elif first < 0xF8:
        return position + first - 0xBF
    else:
        content = position + first - 0xF6
    return content + int.from_bytes(node[position + 1 : content], "big")


def leaf_path(path: str) -> bytes:
    """Return the first item of a leaf with this path."""
    return string_item(bytes.fromhex("3" + path if len(path) & 1 else "20" + path))


def leaf_path_of_key(key: bytes, depth: int) -> bytes:
    """Return the first item of a leaf with what is left of a key after ``depth`` digits."""
    start = depth >> 1
    if depth & 1:
        return string_item(_ODD_LEAF[key[start] & 15] + key[start + 1 :])
    return string_item(b"\x20" + key[start:])


def extension_path(path: str) -> bytes:
    """Return the first item of an extension with this path."""
    return string_item(bytes.fromhex("1" + path if len(path) & 1 else "00" + path))


def path_of(item: bytes) -> tuple[str, bool]:
    """Return the path that the first item of a two-item node holds, and whether it is a leaf."""
    packed = string_of(item).hex()
    flag = packed[0]
    return packed[1:] if flag in "13" else packed[2:], flag in "23"
