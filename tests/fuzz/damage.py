"""Damage to bytes, of the kinds that disks, networks and attackers do."""

from __future__ import annotations

import random
from collections.abc import Callable

Damage = Callable[[random.Random, bytes, bytes], bytes]

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


def flip_bits(rng: random.Random, data: bytes, other: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 4, 64])):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def flip_in_head(rng: random.Random, data: bytes, other: bytes) -> bytes:
    head = bytearray(data[:64])
    head[rng.randrange(len(head))] = rng.randrange(256)
    return bytes(head) + data[64:]


def cut(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.choice([rng.randrange(len(data)), len(data) - 1, rng.randrange(min(len(data), 600))])]


def behead(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[rng.randrange(1, len(data)) :]


def drop(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice([1, 3, 512, 5000]) :]


def insert(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.choice([1, 7, 512, 3000])) + data[at:]


def repeat(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at : at + rng.choice([16, 512, 4096])] + data[at:]


def wipe(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at, n = rng.randrange(len(data)), rng.choice([4, 512, 4096])
    return data[:at] + rng.choice([b"\0", b"\xff"]) * len(data[at : at + n]) + data[at + n :]


def splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


def append(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data + rng.choice([other, b"\0" * 700, rng.randbytes(100)])


def extreme_number(rng: random.Random, data: bytes, other: bytes) -> bytes:
    size = rng.choice([2, 4, 8])
    value = rng.choice([v for v in EXTREMES if v < 1 << 8 * size])
    at = rng.randrange(len(data))
    return data[:at] + value.to_bytes(size, rng.choice(["little", "big"])) + data[at + size :]


DAMAGES: list[Damage] = [
    flip_bits,
    flip_in_head,
    cut,
    behead,
    drop,
    insert,
    repeat,
    wipe,
    splice,
    append,
    extreme_number,
]


def damaged(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """One to three damages, one after the other; never empty-handed on empty data."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        data = rng.choice(DAMAGES)(rng, data, other) if len(data) > 8 else data
    return data
