#!/usr/bin/env python3
"""Recomputes the golden vectors of routing from their recipe, with nothing but Python's own library.

Usage: scripts/check-golden.py [DIRECTORY]

DIRECTORY holds topologies.toml and routes.tsv (default: mdb-core/tests/golden). The recipe is in
README.md there; nothing here is taken from the Rust code. Needs Python 3.11 or later.
Exit code: 0 when every line agrees, 1 when one does not, 2 when the files can't be read.
"""

import functools
import pathlib
import struct
import sys
import tomllib

MASK32 = 0xFFFF_FFFF
MASK64 = 0xFFFF_FFFF_FFFF_FFFF
SLOTS = 4096


# XXH3-64, seed 0, default secret, for 1 to 240 bytes. The specification is public:
# https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md

PRIME64_1 = 0x9E3779B185EBCA87
PRIME64_2 = 0xC2B2AE3D27D4EB4F
PRIME64_3 = 0x165667B19E3779F9
PRIME_MX1 = 0x165667919E3779F9
PRIME_MX2 = 0x9FB21C651E98DF25

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)


def read32(data, at):
    return struct.unpack_from("<I", data, at)[0]


def read64(data, at):
    return struct.unpack_from("<Q", data, at)[0]


def rotate_left(value, bits):
    return (value << bits | value >> (64 - bits)) & MASK64


def swap64(value):
    return int.from_bytes(value.to_bytes(8, "little"), "big")


def fold128(a, b):
    product = a * b
    return (product & MASK64) ^ (product >> 64)


def avalanche(value):
    value ^= value >> 37
    value = value * PRIME_MX1 & MASK64
    return value ^ value >> 32


def avalanche64(value):
    value ^= value >> 33
    value = value * PRIME64_2 & MASK64
    value ^= value >> 29
    value = value * PRIME64_3 & MASK64
    return value ^ value >> 32


def mix16(data, at, secret_at):
    return fold128(
        read64(data, at) ^ read64(SECRET, secret_at),
        read64(data, at + 8) ^ read64(SECRET, secret_at + 8),
    )


def xxh3_64(data):
    length = len(data)
    if length <= 3:
        combined = data[0] << 16 | data[length >> 1] << 24 | data[-1] | length << 8
        return avalanche64(combined ^ read32(SECRET, 0) ^ read32(SECRET, 4))
    if length <= 8:
        both = read32(data, length - 4) + (read32(data, 0) << 32)
        value = both ^ read64(SECRET, 8) ^ read64(SECRET, 16)
        value ^= rotate_left(value, 49) ^ rotate_left(value, 24)
        value = value * PRIME_MX2 & MASK64
        value ^= (value >> 35) + length
        value = value * PRIME_MX2 & MASK64
        return value ^ value >> 28
    if length <= 16:
        low = read64(data, 0) ^ read64(SECRET, 24) ^ read64(SECRET, 32)
        high = read64(data, length - 8) ^ read64(SECRET, 40) ^ read64(SECRET, 48)
        return avalanche(length + swap64(low) + high + fold128(low, high) & MASK64)
    value = length * PRIME64_1
    if length <= 128:
        for pair in range((length - 1) // 32, -1, -1):
            value += mix16(data, 16 * pair, 32 * pair)
            value += mix16(data, length - 16 * (pair + 1), 32 * pair + 16)
        return avalanche(value & MASK64)
    if length <= 240:
        for block in range(8):
            value += mix16(data, 16 * block, 16 * block)
        value = avalanche(value & MASK64)
        for block in range(8, length // 16):
            value += mix16(data, 16 * block, 16 * (block - 8) + 3)
        value += mix16(data, length - 16, 136 - 17)
        return avalanche(value & MASK64)
    raise ValueError("the vectors hold no key above 240 bytes")


# Slots


@functools.cache
def slot_table(shards):
    """The owner of each slot: the rule of README.md, one shard at a time."""
    if shards == 1:
        return [0] * SLOTS
    owner = list(slot_table(shards - 1))
    new = shards - 1
    held = [owner.count(shard) for shard in range(new)]
    for _ in range(SLOTS // shards):
        fullest = held.index(max(held))
        highest = max(slot for slot in range(SLOTS) if owner[slot] == fullest)
        owner[highest] = new
        held[fullest] -= 1
    return owner


# Azos' hash


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & MASK64
    return value


def azos_integer(value):
    value &= MASK64
    return fnv1a(value.to_bytes(8, "little")) if value else 0


def azos_bytes(data):
    return fnv1a(data) if data else 0


def azos_text(text):
    units = text.encode("utf-16-be")
    folded = bytes(high ^ low for high, low in zip(units[::2], units[1::2]))
    return azos_bytes(folded)


# Keys


def gdid_parts(text):
    era, authority, counter = (int(part) for part in text.split(":"))
    return era, authority << 60 | counter, counter


def gdid_bytes(text):
    era, number, _ = gdid_parts(text)
    return struct.pack(">IQ", era, number)


def azos_gdid(text):
    era, number, _ = gdid_parts(text)
    return azos_integer(era << 32 ^ number)


def atom(text):
    return int.from_bytes(text.encode("ascii"), "little")


def entity_parts(text):
    atoms, address = text.split("::", 1)
    names, system = atoms.split("@")
    kind, schema = names.split(".")
    return atom(system), atom(kind), atom(schema), address


def azos_entity(text):
    system, kind, schema, address = entity_parts(text)
    if system == 0:
        return 0
    return (system << 32 ^ kind ^ schema ^ azos_text(address)) & MASK64


def entity_bytes(text):
    *atoms, address = entity_parts(text)
    return struct.pack(">QQQ", *atoms) + address.encode()


def route_of(text):
    return int(text.split("/")[0])


# Type of key: its tag, the bytes after the tag, and Azos' hash of it.
KEYS = {
    "gdid": (1, gdid_bytes, azos_gdid),
    "text": (2, str.encode, azos_text),
    "bytes": (3, bytes.fromhex, lambda text: azos_bytes(bytes.fromhex(text))),
    "integer": (4, lambda text: int(text).to_bytes(16, "big", signed=True), lambda text: azos_integer(int(text))),
    "timestamp": (5, lambda text: struct.pack(">q", int(text)), lambda text: azos_integer(int(text))),
    "uuid": (6, bytes.fromhex, lambda text: azos_bytes(bytes.fromhex(text))),
    "atom": (7, lambda text: struct.pack(">Q", atom(text)), lambda text: azos_integer(atom(text))),
    "entity": (8, entity_bytes, azos_entity),
    "routed-gdid": (9, lambda text: struct.pack(">I", route_of(text)), lambda text: azos_integer(route_of(text))),
    "provided": (10, lambda text: struct.pack(">Q", int(text)), lambda text: azos_integer(int(text))),
}


# Routing


def place(hash_name, shards, canonical, azos):
    """Slot and shard of a key."""
    if hash_name == "azos":
        return "-", str(azos % shards)
    slot = xxh3_64(canonical) >> 52
    return str(slot), str(slot_table(shards)[slot])


def start_of(text):
    era, counter = text.split(":")
    return int(era), int(counter)


def route_central(central, kind, key):
    tag, value, azos = KEYS[kind]
    canonical = bytes([tag]) + value(key)
    return ("-", "-", *place(central["hash"], central["shards"], canonical, azos(key)))


def route_area(area, key):
    era, _, counter = gdid_parts(key)
    range_key = era, counter
    generations = [g for g in area["generation"] if start_of(g["breakpoint"]) <= range_key]
    if not generations:
        return "-", "-", "-", "-"
    generation = generations[-1]
    partitions = [p for p in generation["partitions"] if start_of(p["start"]) <= range_key]
    if not partitions:
        return "-", "-", "-", "-"
    partition = partitions[-1]
    slot, shard = place(area["hash"], partition["shards"], gdid_bytes(key), azos_gdid(key))
    return generation["breakpoint"], partition["start"], slot, shard


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "mdb-core/tests/golden"
    directory = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    try:
        with open(directory / "topologies.toml", "rb") as file:
            topologies = {topology["name"]: topology for topology in tomllib.load(file)["topology"]}
        with open(directory / "routes.tsv", encoding="utf-8", newline="\n") as file:
            lines = [line.rstrip("\n") for line in file]
    except (OSError, ValueError) as error:
        print(f"{directory}: {error}", file=sys.stderr)
        return 2

    checked = agreed = 0
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            continue
        topology, area, kind, key, *expected = line.split("\t")
        if area == "CENTRAL":
            found = route_central(topologies[topology]["central"], kind, key)
        else:
            areas = {area["name"]: area for area in topologies[topology]["area"]}
            found = route_area(areas[area], key)
        checked += 1
        if list(found) == expected:
            agreed += 1
        elif checked - agreed <= 20:
            print(f"routes.tsv:{number}: {list(found)}, not as in {line!r}", file=sys.stderr)
    print(f"{agreed} of {checked} vectors agree")
    return 0 if agreed == checked else 1


if __name__ == "__main__":
    sys.exit(main())
