from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer.permutation import key_of, keys_of, mix, permute, unpermute


def key(number: int) -> np.ndarray:
    return keys_of(number, np.zeros(1, dtype=np.int64))


def test_mix_is_splitmix64() -> None:
    # The generator's published first outputs for seed 0 are mix(golden), mix(2 golden), ...
    golden = np.uint64(0x9E3779B97F4A7C15)
    steps = golden * np.arange(1, 4, dtype=np.uint64)
    assert [hex(x) for x in mix(steps).tolist()] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


def test_against_a_plain_python_network() -> None:
    """The network written out with Python's integers, one value at a time."""
    full = (1 << 64) - 1

    def plain_mix(x: int) -> int:
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & full
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB & full
        return x ^ (x >> 31)

    def plain(value: int, n: int, key: int) -> int:
        half = max(1, ((n - 1).bit_length() + 1) // 2)
        low = (1 << half) - 1
        keys = [plain_mix((key + 0x9E3779B97F4A7C15 * (r + 1)) & full) for r in range(6)]
        while True:
            left, right = value >> half, value & low
            for k in keys:
                left, right = right, left ^ (plain_mix(right ^ k) & low)
            value = (left << half) | right
            if value < n:
                return value

    for n in (1, 2, 3, 200, 1000):
        k = key(n)
        got = permute(np.arange(n), n, k).tolist()
        assert got == [plain(i, n, int(k[0])) for i in range(n)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_bijective_and_invertible(n: int, seed: int) -> None:
    values = np.arange(n)
    images = permute(values, n, key(seed))
    assert np.array_equal(np.sort(images), values)
    assert np.array_equal(unpermute(images, n, key(seed)), values)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2**62), st.data())
def test_invertible_in_large_domains(n: int, data: st.DataObject) -> None:
    values = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=8)))
    keys = keys_of(7, np.arange(values.size))
    images = permute(values, n, keys)
    assert images.min() >= 0 and images.max() < n
    assert np.array_equal(unpermute(images, n, keys), values)


def test_each_value_has_its_own_key() -> None:
    keys = keys_of(3, np.arange(50))
    together = permute(np.full(50, 4), 1000, keys)
    apart = [int(permute(np.array([4]), 1000, keys[i : i + 1])[0]) for i in range(50)]
    assert together.tolist() == apart and len(set(apart)) > 40


@pytest.mark.parametrize("n", [1 << 16, 40_000])
def test_levanter_low_bits_depend_on_all_of_the_input(n: int) -> None:
    """With a round function that never brings high bits down, input bits decide the low bit."""
    values = np.arange(n)
    low = permute(values, n, key(11)) & 1
    bits = [(values >> b) & 1 for b in range((n - 1).bit_length())]
    for a, one in enumerate(bits):
        assert abs(np.mean(one == low) - 0.5) < 0.02, a
        for other in bits[:a]:
            assert abs(np.mean((one ^ other) == low) - 0.5) < 0.02


def test_neighbours_are_torn_apart() -> None:
    n = 100_000
    images = permute(np.arange(n), n, key(5))
    assert abs(np.corrcoef(images[:-1], images[1:])[0, 1]) < 0.02
    assert np.mean(np.abs(np.diff(images)) <= 10) < 0.001


def test_keys_tell_every_part_apart() -> None:
    keys = {key_of(1, "a", 2), key_of("1", "a", 2), key_of(1, "a2"), key_of(12, "a"), key_of(-1)}
    assert len(keys) == 5
    assert key_of(1, "a", 2) == key_of(1, "a", 2)
    assert len(set(keys_of(9, np.arange(1000)).tolist())) == 1000


def test_values_outside_the_domain() -> None:
    for values in ([-1], [10]):
        with pytest.raises(ValueError, match="from 0 to 9"):
            permute(np.array(values), 10, key(1))
    with pytest.raises(ValueError, match="cannot permute"):
        permute(np.array([0]), 0, key(1))
