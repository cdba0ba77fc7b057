"""Pixels sorted object by object, on every backend."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from omexp.kernels.labels import label_runs
from omexp.kernels.ranks import Ranks, sort_segments
from omexp.kernels.reductions import Objects


@given(seed=st.integers(0, 10**6), dtype=st.sampled_from(["uint8", "int32", "float32"]))
@settings(max_examples=6)
def test_each_object_has_its_pixels_in_order(backend, seed, dtype):
    if not backend.supports(dtype):
        return
    generator = np.random.default_rng(seed)
    labels, image = generator.integers(0, 4, (5, 6)).astype("uint8"), generator.integers(-9, 9, (5, 6)).astype(dtype)
    objects = Objects(label_runs(backend.array(labels)))
    order, segments = objects.pixel_order
    values = sort_segments(backend.backend.xp.take(objects.runs.pixels(backend.array(image)), order), segments)
    found = np.split(backend.host(values), backend.host(segments.starts)[1:])
    expected = [sorted(image[labels == number].tolist()) for number in np.unique(labels[labels > 0])]
    assert [part.tolist() for part in found if len(part)] == expected


def test_cut_objects_are_forgotten_when_they_are_whole():
    ranks = Ranks(np.array([4, 6]), np.array([3, 1]), (50,))
    for labels, image in (([[4, 4]], [[1, 9]]), ([[6, 4]], [[5, 2]])):
        ranks.add(Objects(label_runs(np.array(labels))), np.array(image, "uint8"))
    assert list(ranks._kept) == [0]
    assert np.isnan(ranks.values[0, 0])
    ranks.add(Objects(label_runs(np.array([[4]]))), np.array([[3]], "uint8"))
    assert ranks.values.tolist() == [[2.5, 5.0]]
    assert ranks._kept == {}
