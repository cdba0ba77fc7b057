"""The names of downsampling methods: omexp's, ngff-zarr's, and what each means."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

import numpy as np
import pytest

from omexp.errors import ArgumentError
from omexp.kernels.methods import Methods, resolve_method
from omexp.kernels.windows import METHODS

KERNELS = {
    "mean": "mean",
    "gaussian": "gaussian",
    "median": "median",
    "mode": "mode",
    "min": "min",
    "max": "max",
    "nearest": "nearest",
    "label_image": "label_image",
    "central": "central",
    "itkwasm_gaussian": "gaussian",
    "itkwasm_bin_shrink": "mean",
    "itkwasm_label_image": "label_image",
    "itk_gaussian": "gaussian",
    "itk_bin_shrink": "mean",
    "dask_image_gaussian": "gaussian",
    "dask_image_mode": "mode",
    "dask_image_nearest": "central",
    "dask_bin_shrink": "mean",
}


def test_every_method_names_a_kernel_that_exists() -> None:
    assert {method.value: method.kernel for method in Methods} == KERNELS
    assert {*KERNELS.values(), "stride"} == set(METHODS)


def test_a_member_is_its_value_and_looks_as_in_ngff_zarr() -> None:
    assert all(method.name == method.value.upper() for method in Methods)
    assert Methods.MEAN == "mean" and f"{Methods.MEAN}" == "mean"
    assert json.dumps({"type": Methods.ITK_GAUSSIAN}) == '{"type": "itk_gaussian"}'
    assert repr(Methods.ITKWASM_GAUSSIAN) == "<Methods.ITKWASM_GAUSSIAN: 'itkwasm_gaussian'>"


@pytest.mark.parametrize("method", Methods)
def test_a_member_its_value_and_its_name_in_any_case_are_resolved(method: Methods) -> None:
    for said in (method, method.value, method.name, method.value.title(), np.str_(method.value)):
        assert resolve_method(said) is method


def test_stride_is_nearest() -> None:
    assert resolve_method("stride") is resolve_method("STRIDE") is Methods.NEAREST


def test_a_member_of_another_enum_with_a_known_value_is_resolved() -> None:
    class Theirs(Enum):
        SMOOTH = "itkwasm_gaussian"
        OTHER = "lanczos"
        NUMBER = 3

    assert resolve_method(Theirs.SMOOTH) is Methods.ITKWASM_GAUSSIAN
    for unknown in (Theirs.OTHER, Theirs.NUMBER):
        with pytest.raises(ArgumentError, match="no such downsampling method"):
            resolve_method(unknown)


@pytest.mark.peers
def test_every_method_of_ngff_zarr_is_resolved_to_its_namesake() -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr")
    for theirs in ngff_zarr.Methods:
        ours = resolve_method(theirs)
        assert (ours.name, ours.value) == (theirs.name, theirs.value)
        assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("method", [None, "", "means", "gaussian ", 2, ["mean"], np.array(["mean"])])
def test_anything_else_is_refused_with_the_list_of_names(method: Any) -> None:
    with pytest.raises(ArgumentError, match="method: there is no such downsampling method; got .*; allowed: mean, gaussian, .*, stride"):
        resolve_method(method)


def test_descriptions_are_one_sentence_and_the_same_for_one_kernel() -> None:
    said = {method.kernel: method.description for method in Methods}
    assert all(said[method.kernel] == method.description for method in Methods)
    assert len(set(said.values())) == len(said)
    assert all(text.endswith(".") and text.count(". ") == 0 and "\n" not in text for text in said.values())
