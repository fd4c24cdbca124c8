"""Standard normals (and uniform numbers) as a pure function of (seed, id, draw): same input, same bytes, anywhere.

Counter-based: Philox-4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011) with key = seed and counter = (block, draw, blake2b-64(id)); each block of four 32-bit words gives four
normals by Box and Muller (1958). Every step is an integer operation or one of + - * / sqrt in float64, which
IEEE 754 fixes to the last bit; logarithm, sine and cosine are our own polynomials, since those of the libraries
differ in the last place from one CPU to the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_CHUNK = 1 << 14  # Philox blocks worked on at a time: the buffers stay in the cache

# Taylor coefficients, highest first, in the square of the argument.
_LOG = [2.0 / (2 * k + 1) for k in range(10, -1, -1)]  # log(m) = s * P(s²), s = (m-1)/(m+1)
_SIN = [1.0, -1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800, 1 / 6227020800, -1 / 1307674368000][::-1]
_COS = [1.0, -1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800, 1 / 479001600, -1 / 87178291200][::-1]


def noise(seed: int, ids: Sequence[str], dims: int, draws: int = 1) -> npt.NDArray[np.float32]:
    """Draw standard normals for each id.

    Args:
        seed: 0 <= seed < 2**64.
        ids: N image ids.
        dims: D, normals per draw.
        draws: K, draws per id; draw k does not depend on how many are asked for.

    Returns:
        float32 of shape (N, K, D).
    """
    blocks = -(-dims // 4)
    hashes = np.array([_hash(i) for i in ids], dtype=np.uint64)
    out = np.empty((len(ids) * draws, blocks * 4), dtype=np.float32)
    hash_R = np.repeat(hashes, draws)
    draw_R = np.tile(np.arange(draws, dtype=np.uint64), len(ids))
    step = max(1, _CHUNK // blocks)
    for at in range(0, len(out), step):
        rows = slice(at, at + step)
        words = _philox(seed, np.arange(blocks, dtype=np.uint64), draw_R[rows], hash_R[rows])
        out[rows] = _box_muller(words).reshape(-1, blocks * 4)
    return out[:, :dims].reshape(len(ids), draws, dims)


def uniform(seed: int, ids: Sequence[str]) -> F64:
    """Draw a uniform number for each id, of 53 bits of the same words; give it ids that have no normals.

    Args:
        seed: 0 <= seed < 2**64.
        ids: N names.

    Returns:
        (N,), in [0, 1).
    """
    hashes = np.array([_hash(i) for i in ids], dtype=np.uint64)
    words = _philox(seed, np.zeros(1, np.uint64), np.zeros(len(ids), np.uint64), hashes)
    high, low = words[0][:, 0] >> np.uint64(5), words[1][:, 0] >> np.uint64(6)
    return (high.astype(np.float64) * float(1 << 26) + low.astype(np.float64)) * 2.0**-53


def _hash(image_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(image_id.encode(), digest_size=8).digest(), "little")


def _philox(seed: int, block_B: U64, draw_R: U64, hash_R: U64) -> tuple[U64, U64, U64, U64]:
    """Ten rounds over counters (block, draw, hash low, hash high); four words of 32 bits, each (R, B)."""
    shape = (len(draw_R), len(block_B))
    c0 = np.broadcast_to(block_B, shape)
    c1 = np.broadcast_to(draw_R[:, None], shape)
    c2 = np.broadcast_to((hash_R & _LOW)[:, None], shape)
    c3 = np.broadcast_to((hash_R >> _32)[:, None], shape)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (
            (p1 >> _32) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> _32) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return c0, c1, c2, c3


def _box_muller(words: tuple[U64, U64, U64, U64]) -> F64:
    """Two uniforms to two normals, twice; (R, B) words to (R, B, 4) normals."""
    out = np.empty((*words[0].shape, 4))
    for pair in (0, 2):
        radius = np.sqrt(-2.0 * _log((words[pair].astype(np.float64) + 1.0) * 2.0**-32))
        sine, cosine = _sincos_2pi(words[pair + 1])
        np.multiply(radius, cosine, out=out[..., pair])
        np.multiply(radius, sine, out=out[..., pair + 1])
    return out


def _polynomial(coefficients: list[float], x: F64) -> F64:
    total = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        total *= x
        total += c
    return total


def _log(u: F64) -> F64:
    """Natural logarithm of u in (0, 1]; error below 1e-14."""
    mantissa, exponent = np.frexp(u)
    low = mantissa < 0.7071067811865476
    mantissa = np.where(low, mantissa * 2.0, mantissa)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    return s * _polynomial(_LOG, s * s) + (exponent - low) * 0.6931471805599453


def _sincos_2pi(word: U64) -> tuple[F64, F64]:
    """Sine and cosine of 2π·word/2³²: the top two bits are the quadrant, centred so that |angle| <= π/4."""
    centred = (word + np.uint64(1 << 29)) & _LOW
    quadrant = centred >> np.uint64(30)
    angle = ((centred & np.uint64((1 << 30) - 1)).astype(np.float64) - float(1 << 29)) * (np.pi / 2.0 * 2.0**-30)
    square = angle * angle
    sine, cosine = angle * _polynomial(_SIN, square), _polynomial(_COS, square)
    swap = (quadrant & np.uint64(1)).astype(bool)
    s, c = np.where(swap, cosine, sine), np.where(swap, sine, cosine)
    s = np.where(quadrant >= 2, -s, s)
    return s, np.where((quadrant == 1) | (quadrant == 2), -c, c)
