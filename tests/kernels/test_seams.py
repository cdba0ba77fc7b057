"""Parts with a halo from blocks: every pixel in one part, whatever the blocks and their order."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from omexp.backend import numpy_backend
from omexp.geometry import blocks
from omexp.kernels.seams import Seams, seam_blocks


@given(
    shape=st.lists(st.integers(1, 13), min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=3),
    halo=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_the_parts_cover_the_image_once_each_with_what_is_around_it(shape, sizes, halo, seed):
    block = seam_blocks(sizes[: len(shape)], halo)
    pixels = np.arange(1, np.prod(shape) + 1).reshape(shape)
    padded = np.pad(pixels, [(halo, halo + 1)] * len(shape))
    seams = Seams(shape, block, halo, numpy_backend, pixels.dtype)
    found = np.zeros(np.array(shape) + 1, int)
    order = np.random.default_rng(seed).permutation(np.array(list(blocks(shape, block)), object))
    for region in order:
        for part in seams.add(region, pixels[region.slices]):
            there = np.argwhere(part)[0]  # any pixel of the image tells by its value where the part lies
            at = np.unravel_index(part[tuple(there)] - 1, shape) - there + halo
            np.testing.assert_array_equal(part, padded[tuple(slice(a, a + n) for a, n in zip(at, part.shape, strict=True))])
            found[tuple(slice(a, a + n - 2 * halo) for a, n in zip(at, part.shape, strict=True))] += 1
    assert (found == 1).all()
    assert not any(seams._strips.values())  # nothing is kept when all is done


def test_blocks_may_come_from_threads():
    pixels = np.random.default_rng(0).integers(0, 9, (40, 40))
    seams = Seams((40, 40), (8, 8), 2, numpy_backend, pixels.dtype)
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda region: [p[2:-2, 2:-2].sum() for p in seams.add(region, pixels[region.slices])], blocks((40, 40), (8, 8)))
        assert sum(itertools.chain.from_iterable(parts)) == pixels.sum()
