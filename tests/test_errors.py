"""The error tree: what each error is, what each message says, and that it survives a trip between processes."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp import errors
from omexp.errors import ArgumentError, InvalidMetadataError, NameNotFoundError, OmexpError, OmexpWarning

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, OmexpError)]
BUILTINS = {
    "OmexpError": Exception,
    "ArgumentError": ValueError,
    "SelectionError": IndexError,
    "DTypeError": TypeError,
    "BackendMismatchError": TypeError,
    "NotFoundError": LookupError,
    "StoreNotFoundError": FileNotFoundError,
    "NameNotFoundError": KeyError,
    "AlreadyExistsError": FileExistsError,
    "ReadOnlyError": PermissionError,
    "StorageFullError": OSError,
    "RemoteError": OSError,
    "RemoteAccessError": PermissionError,
    "RemoteTimeoutError": TimeoutError,
    "StoredDataError": ValueError,
    "InvalidMetadataError": ValueError,
    "UnsupportedVersionError": ValueError,
    "MissingArrayError": FileNotFoundError,
    "FunctionError": RuntimeError,
    "FailuresError": RuntimeError,
    "DeviceUnavailableError": RuntimeError,
}


def drawn_tree() -> dict[str, str]:
    """Child -> parent, read from the drawing in the module's docstring."""
    parents, above = {}, ["OmexpError"]
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([| `-]*)(\w+Error)\b", line)
        if found:
            depth = len(found[1]) // 3
            above[depth:] = [found[2]]
            if depth:
                parents[found[2]] = above[depth - 1]
    return parents


def test_the_drawing_in_the_docstring_is_the_tree() -> None:
    real = {error.__name__: next(base.__name__ for base in error.__bases__ if issubclass(base, OmexpError)) for error in CLASSES[1:]}
    assert drawn_tree() == real
    assert CLASSES[0] is OmexpError


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_each_error_is_also_the_builtin_that_fits(error: type[OmexpError]) -> None:
    assert issubclass(error, BUILTINS[error.__name__])
    assert inspect.getdoc(error)


def test_the_builtins_are_those_that_the_drawing_names() -> None:
    named = dict(re.findall(r"(\w+Error) +\((\w+)\)", errors.__doc__ or ""))
    assert {name: kind.__name__ for name, kind in BUILTINS.items() if name in named} == named


def test_all_names_every_error_and_the_warning() -> None:
    assert set(errors.__all__) == {error.__name__ for error in CLASSES} | {"OmexpWarning"}
    assert issubclass(OmexpWarning, UserWarning)


def test_an_error_says_what_where_got_allowed_and_next() -> None:
    error = ArgumentError("factors are not understood", where="downsample", got=(0, 2), allowed="integers >= 1", hint="Pass 2.")
    assert str(error) == "downsample: factors are not understood; got (0, 2); allowed: integers >= 1. Pass 2."
    assert (error.what, error.where, error.got) == ("factors are not understood", "downsample", (0, 2))
    assert (error.allowed, error.hint) == ("integers >= 1", "Pass 2.")


def test_parts_that_are_not_given_leave_no_trace() -> None:
    assert str(ArgumentError("it is wrong")) == "it is wrong"
    assert str(ArgumentError("it is wrong", hint="Mend it.")) == "it is wrong. Mend it."
    assert str(ArgumentError("it is wrong", where="here")) == "here: it is wrong"


@pytest.mark.parametrize(("got", "shown"), [(0, "0"), (False, "False"), ("", ""), ([], "[]"), ("text", "text"), (["a"], "['a']")])
def test_a_falsy_value_that_was_got_is_still_shown(got: Any, shown: str) -> None:
    assert str(ArgumentError("no", got=got)) == f"no; got {shown}"


@given(st.integers(13, 5000))
def test_a_long_list_shows_twelve_and_the_count(length: int) -> None:
    message = str(NameNotFoundError("no such label", got="x", allowed=[f"label{i}" for i in range(length)]))
    assert message.endswith(f"'label11', ... ({length} in all)")
    assert "label12" not in message


def test_twelve_names_are_all_shown() -> None:
    assert "'label11']" in str(NameNotFoundError("no such label", allowed=[f"label{i}" for i in range(12)]))


def test_a_name_not_found_reads_like_a_sentence_although_it_is_a_key_error() -> None:
    assert str(NameNotFoundError("no such label", got="nuclei")) == "no such label; got nuclei"


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
@pytest.mark.parametrize("travel", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
def test_an_error_survives_the_trip_between_processes(error: type[OmexpError], travel: Any) -> None:
    sent = error("broken", where="a.zarr", got=[1, 2], allowed="three", hint="Look.")
    came = travel(sent)
    assert type(came) is error and str(came) == str(sent)
    assert (came.what, came.where, came.got, came.allowed, came.hint) == ("broken", "a.zarr", [1, 2], "three", "Look.")


def test_the_problems_of_invalid_metadata_survive_the_trip_too() -> None:
    sent = InvalidMetadataError("the document is wrong")
    assert sent.problems == ()
    sent.problems = ("multiscales: missing",)
    assert pickle.loads(pickle.dumps(sent)).problems == ("multiscales: missing",)
