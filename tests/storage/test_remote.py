"""Stores behind a network, on real servers of the loopback: what is read, what is tried again, what is said when it fails."""

from __future__ import annotations

import itertools
import socket
import ssl
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
from fsspec.mapping import FSMap
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.storage import FsspecStore, StorePath

import omexp
from omexp.errors import (
    AlreadyExistsError,
    OmexpError,
    ReadOnlyError,
    RemoteAccessError,
    RemoteError,
    RemoteTimeoutError,
    StoreNotFoundError,
)
from omexp.geometry import Region
from omexp.storage import remote, retrying
from omexp.storage.groups import open_group
from omexp.storage.remote import RemoteStore, fractal_fsspec_store
from omexp.storage.remote_reading import GAP_BYTES, MOST_BYTES, Part, merged
from omexp.storage.retrying import ATTEMPTS, failure_of, redacted
from tests.servers import ServedS3, http_server, s3_server
from tests.stores import make_sample

TOKEN = "a-secret-token"
LAYOUTS = ["0.4", "0.5-sharded"]
BACKENDS = ["json", "csv", "parquet", "anndata"]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No waiting; gives the pauses that would have been made."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(retrying, "sleep", sleep)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images with a label and tables of every backend, a plate of one field, an array with holes."""
    root = tmp_path_factory.mktemp("served")
    for layout in LAYOUTS:
        container = omexp.open_ome_zarr_container(make_sample(root / f"{layout}.zarr", layout))
        container.add_table("regions", container.build_image_roi_table())
    measured = omexp.measure(container.get_label("nuclei"), container.get_image())
    for backend in BACKENDS:
        container.add_table(backend, measured, backend=backend)
    plate = omexp.create_empty_plate(root / "plate.zarr", "screen", [omexp.ImageInWellPath("A", 1, "0")])
    omexp.create_ome_zarr_from_array(plate.get_image_store("A", 1, "0"), np.full((16, 16), 7, "uint8"), xy_pixelsize=1)
    holes = zarr.open_group(root / "holes.zarr", mode="w", zarr_format=2)
    for name, order in (("known", "C"), ("zarrs", "F")):  # zarr alone reads Fortran order
        array = holes.create_array(name, shape=(8, 8), chunks=(4, 4), dtype="uint8", fill_value=9, order=order)
        array[:4] = np.arange(32).reshape(4, 8)
    return root


def local(folder: Path, name: str) -> omexp.OmeZarrContainer:
    return omexp.open_ome_zarr_container(folder / f"{name}.zarr", mode="r")


def with_token(token: str) -> dict[str, Any]:
    return {"client_kwargs": {"headers": {"Authorization": f"Bearer {token}"}}}


# ------------------------------------------------------------------------------------------------------------- HTTP
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_image_with_its_labels_and_tables_is_read_over_http_that_lists_nothing(folder: Path, layout: str) -> None:
    expected = local(folder, layout)
    with http_server(folder) as server:
        found = omexp.open_ome_zarr_container(f"{server.url}/{layout}.zarr")
        assert found.where == f"{server.url}/{layout}.zarr"
        for path in expected.levels_paths:
            np.testing.assert_array_equal(found.get_image(path).get_array(), expected.get_image(path).get_array())
        assert (found.list_labels(), found.list_tables()) == (["nuclei"], ["regions", *BACKENDS] if layout == LAYOUTS[-1] else ["regions"])
        np.testing.assert_array_equal(found.get_label("nuclei").get_array(), expected.get_label("nuclei").get_array())
        ours, theirs = (container.get_masked_image("nuclei").get_roi_masked(label=300) for container in (found, expected))
        np.testing.assert_array_equal(ours, theirs)
        for name in found.list_tables():
            assert found.get_table(name).dataframe.equals(expected.get_table(name).dataframe)
        assert found.get_image().reader.reason.startswith(
            "host decode of blosc:lz4 by omexp (the wanted ranges are fetched at the same time"
        )
        assert {request.status for request in server.requests} <= {200, 206, 404}
        with pytest.raises(OmexpError, match="there is no Zarr group"):
            omexp.open_ome_zarr_container(f"{server.url}/{layout}.zarr/nothing")


def test_a_plate_is_read_over_http_that_lists_nothing(folder: Path) -> None:
    with http_server(folder) as server:
        plate = omexp.open_ome_zarr_plate(f"{server.url}/plate.zarr")
        assert [image.get_image().get_array().mean() for image in plate.get_images().values()] == [7.0]


def test_http_is_read_only_whatever_the_mode(folder: Path) -> None:
    with http_server(folder) as server:
        group = open_group(f"{server.url}/plate.zarr", "r+")
        with pytest.raises(ReadOnlyError, match="the store is read-only"):
            group.put_attributes({})
        with pytest.raises(ReadOnlyError, match="the store is read-only"):
            omexp.create_empty_ome_zarr(f"{server.url}/new.zarr", (8, 8), xy_pixelsize=1)
        assert server.count(method="PUT") == 0


def test_a_server_that_knows_no_ranges_gives_the_same_pixels(folder: Path) -> None:
    with http_server(folder, ranges=False) as server:
        image = omexp.open_ome_zarr_container(f"{server.url}/0.5-sharded.zarr").get_image()
        expected = local(folder, "0.5-sharded").get_image()
        np.testing.assert_array_equal(image.get_array(y=slice(3, 5)), expected.get_array(y=slice(3, 5)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_private_store_of_either_format_opens_with_its_token(folder: Path, layout: str) -> None:
    with http_server(folder, token=TOKEN) as server:
        url = f"{server.url}/{layout}.zarr"
        stores = [
            fractal_fsspec_store(url, fractal_token=TOKEN),
            fractal_fsspec_store(f"{url}/", TOKEN),
        ]
        for found in (*map(omexp.open_ome_zarr_container, stores), omexp.open_ome_zarr_container(url, storage_options=with_token(TOKEN))):
            assert found.list_labels() == ["nuclei"]
            np.testing.assert_array_equal(found.get_image("2").get_array(), local(folder, layout).get_image("2").get_array())
        for store in (url, fractal_fsspec_store(url), fractal_fsspec_store(url, fractal_token="wrong")):
            with pytest.raises(RemoteAccessError, match=rf"{url}/.*: the server wants a valid login \(401\)"):
                omexp.open_ome_zarr_container(store)


# ------------------------------------------------------------------------------------------------------ trying again
PASSING: dict[str, dict[str, Any]] = {
    **{str(status): {"fail": {status: 2}} for status in (429, 504)},
    "reset": {"drop": 4},  # aiohttp itself tries a reset connection once more
    "cut off": {"cut": 2},
    "all of it": {"fail": {503: 1, 429: 1}, "drop": 1, "cut": 1},
}


@pytest.mark.parametrize("kind", PASSING)
def test_a_failure_that_passes_is_tried_again_after_growing_pauses(folder: Path, kind: str, pauses: list[float]) -> None:
    with http_server(folder, fail_where=lambda path: "plate" in path, **PASSING[kind]) as server:
        image = omexp.open_ome_zarr_plate(f"{server.url}/plate.zarr").get_image("A", 1, "0")
        assert image.get_image().get_array().mean() == 7
        asked = server.count(suffix="A/01/0/0/c/0/0")
        assert 3 <= asked <= 2 * ATTEMPTS
    assert any(0.1 <= pause <= 0.2 for pause in pauses)
    assert any(0.2 < pause <= 0.4 for pause in pauses)


@pytest.mark.parametrize(("status", "attempts"), [(500, ATTEMPTS), (503, ATTEMPTS), (400, 1), (401, 1), (403, 1), (501, 1)])
def test_a_failure_that_stays_ends_after_a_few_attempts(folder: Path, status: int, attempts: int) -> None:
    with http_server(folder, fail={status: 10**6}, fail_where=lambda path: path.endswith("c/0/0")) as server:
        image = omexp.open_ome_zarr_plate(f"{server.url}/plate.zarr").get_image("A", 1, "0").get_image()
        with pytest.raises(RemoteError, match=rf"{server.url}/plate.zarr/A/01/0/0/c/0/0: .*\({status}\)") as caught:
            image.get_array()
        assert caught.value.status == status
        assert isinstance(caught.value, RemoteAccessError) == (status in (401, 403))
        assert server.count(suffix="A/01/0/0/c/0/0") == attempts


def test_the_server_says_how_long_to_wait(folder: Path, pauses: list[float]) -> None:
    with http_server(folder, fail={503: 1}, retry_after="7") as server:
        open_group(f"{server.url}/plate.zarr")
    assert pauses
    assert set(pauses) == {7.0}
    with http_server(folder, fail={429: 1}, retry_after="Fri, 31 Dec 2100 23:59:59 GMT") as server:  # longer than anybody waits
        with pytest.raises(RemoteError, match=r"the server is busy \(429\)"):
            open_group(f"{server.url}/plate.zarr")
        assert max(map(server.requests.count, server.requests)) == 1


def test_a_silent_server_is_a_timeout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_WITHOUT_ANSWER_S", 0.03)
    with http_server(folder, delay_s=2) as server, pytest.raises(RemoteTimeoutError, match="did not answer in time, 5 times") as caught:
        open_group(f"{server.url}/plate.zarr")
    assert isinstance(caught.value, TimeoutError)


# ------------------------------------------------------------------------------------------------- what fails, and how
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_is_not_there_is_named_at_once(folder: Path, pauses: list[float]) -> None:
    with pytest.raises(RemoteError, match="http://127.0.0.1:.*: the connection was refused. Check the address and the port"):
        open_group(f"http://127.0.0.1:{free_port()}/a.zarr")
    with http_server(folder) as server, pytest.raises(RemoteError, match="no secure connection could be made"):
        open_group(server.url.replace("http:", "https:") + "/a.zarr")
    assert not pauses


def _certificate() -> Exception:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


WORDS: list[tuple[Exception, str | None]] = [
    (socket.gaierror(-2, "Name or service not known"), "no server of that name is known"),
    (_certificate(), r"the server's certificate is not trusted (self-signed certificate)"),
    (ConnectionResetError(104, "reset"), "the connection broke off"),
    (TimeoutError(), "the server did not answer in time"),
    (type("NoCredentialsError", (Exception,), {})("Unable to locate credentials"), "no credentials were found"),
    (type("HttpError", (Exception,), {"code": 403})("https://x/?token=abc"), "the server refuses access (403)"),  # gcsfs
    (type("HttpResponseError", (Exception,), {"status_code": 503})(), "the server is busy (503)"),  # azure
    (PermissionError("Access Denied"), "the server refuses access (403)"),  # s3fs
    (PermissionError(13, "Permission denied"), None),  # a local disk
    (ValueError("an error of ours"), None),
]


@pytest.mark.parametrize(("error", "words"), WORDS, ids=[f"{type(error).__name__}-{words}" for error, words in WORDS])
def test_errors_of_the_libraries_below_become_words(error: Exception, words: str | None) -> None:
    failure = failure_of(error)
    assert (failure and failure.what) == words


REFUSALS: dict[str, dict[str, Any]] = {
    "401": {"token": "other"},
    "403": {"forbidden": lambda path: True},
    "500": {"fail": {500: 99}},
    "cut off": {"cut": 99},
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_no_secret_is_in_any_message(folder: Path, kind: str) -> None:
    with http_server(folder, **REFUSALS[kind]) as server:
        address = f"{server.url}/0.5-sharded.zarr".replace("://", f"://me:{TOKEN}@")
        for store in (fractal_fsspec_store(server.url + "/0.5-sharded.zarr", fractal_token=TOKEN), address):
            with pytest.raises(RemoteError) as caught:
                omexp.open_ome_zarr_container(store)
            assert TOKEN not in "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value.__context__)
    with http_server(folder, token=TOKEN) as server:
        group = open_group(fractal_fsspec_store(f"{server.url}/0.5-sharded.zarr", fractal_token=TOKEN))
        assert TOKEN not in f"{group!r}{group.zarr.store!r}{group.zarr.store}{group.zarr!r}{group.array('0').where}"


def test_an_address_is_shown_without_its_secrets() -> None:
    assert redacted("https://me:pw@host:1/a.zarr?X-Amz-Signature=abc#x") == "https://host:1/a.zarr?..."
    assert redacted("s3://bucket/a?b#c") == "s3://bucket/a?b#c"
    with pytest.raises(OmexpError) as caught:
        open_group(f"https://127.0.0.1/a.zarr?sig={TOKEN}")
    assert "a URL with a query is no place for a store" in str(caught.value)
    assert TOKEN not in str(caught.value)


# ----------------------------------------------------------------------------------------------- missing, or only refused
@pytest.mark.parametrize("name", ["known", "zarrs"])
def test_only_a_chunk_that_is_not_there_reads_as_the_fill_value(folder: Path, name: str) -> None:
    is_chunk: Callable[[str], bool] = lambda path: path.endswith("/1.1")  # noqa: E731
    whole = Region.whole((8, 8))
    with http_server(folder) as server:
        pixels = open_group(f"{server.url}/holes.zarr").array(name).read(whole)
    np.testing.assert_array_equal(pixels, zarr.open_array(str(folder / "holes.zarr" / name), mode="r")[...])
    assert (pixels[4:] == 9).all()
    for behaviour in ({"forbidden": is_chunk}, {"fail": {503: 99}, "fail_where": is_chunk}, {"drop": 99, "fail_where": is_chunk}):
        with http_server(folder, **behaviour) as server:
            array = open_group(f"{server.url}/holes.zarr").array(name)
            with pytest.raises(RemoteError):
                array.read(whole)


def test_documents_may_be_hidden_by_403_but_chunks_may_not(folder: Path) -> None:
    """S3 answers 403 for what is not there to who may not list: an image without tables has none, a chunk may be one that is there."""
    with http_server(folder, missing=403) as server:
        image = omexp.open_ome_zarr_plate(f"{server.url}/plate.zarr").get_image("A", 1, "0")
        assert (image.list_labels(), image.list_tables(), image.get_image().get_array().mean()) == ([], [], 7)
        with pytest.raises(RemoteAccessError, match=r"1.*\(403\).*without permission to list gives this answer for what is not there"):
            open_group(f"{server.url}/holes.zarr").array("known").read(Region.whole((8, 8)))
        with pytest.raises(RemoteAccessError):
            open_group(f"{server.url}/nothing.zarr")


def test_a_forbidden_folder_is_not_taken_for_a_missing_one(folder: Path) -> None:
    with http_server(folder, forbidden=lambda path: "/labels" in path) as server:
        container = omexp.open_ome_zarr_container(f"{server.url}/0.4.zarr")
        with pytest.raises(RemoteAccessError, match=r"/labels/.*\(403\)"):
            container.list_labels()


# ---------------------------------------------------------------------------------------------------------- requests
def test_neighbours_in_a_shard_are_fetched_by_one_request_and_shards_at_the_same_time(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 999, (128, 128)).astype("uint16")
    stored = zarr.create_array(tmp_path / "a.zarr" / "s", shape=(128, 128), chunks=(16, 16), shards=(64, 64), dtype="uint16")
    stored[...] = pixels
    zarr.open_group(tmp_path / "a.zarr", mode="a").create_array("c", shape=(128, 128), chunks=(16, 16), dtype="uint16")[...] = pixels
    with http_server(tmp_path, delay_s=0.3, fail_where=lambda path: "/c/c/" in path) as server:  # long: the cores may be busy
        group = open_group(f"{server.url}/a.zarr")

        def asked(name: str, box: Region) -> int:
            array = group.array(name)
            server.requests.clear()
            np.testing.assert_array_equal(array.read(box, workers=2), pixels[box.slices])
            return len(server.requests)

        assert asked("s", Region((0, 0), (64, 64))) == 1  # one whole shard
        assert asked("s", Region((5, 5), (40, 40))) == 2  # its index, then nine inner chunks in one
        assert asked("s", Region((20, 20), (100, 100))) == 8
        server.at_once = 0
        assert asked("c", Region((0, 0), (128, 128))) == 64
        assert server.at_once > 16


PARTS = st.lists(st.tuples(st.integers(0, 3 * GAP_BYTES), st.integers(1, MOST_BYTES)), max_size=12)


@given(PARTS)
def test_ranges_are_merged_where_they_are_near_and_not_too_long(sizes: list[tuple[int, int]]) -> None:
    ends = list(itertools.accumulate(gap + size for gap, size in sizes))
    parts = [Part(end - size, size, Region((i,), (i + 1,))) for i, (end, (_, size)) in enumerate(zip(ends, sizes, strict=True))]
    groups = merged(reversed(parts))
    assert list(itertools.chain(*groups)) == parts
    for group in groups:
        assert len(group) == 1 or group[-1].at + group[-1].size - group[0].at <= MOST_BYTES
        assert all(b.at - a.at - a.size <= GAP_BYTES for a, b in itertools.pairwise(group))
    for left, right in itertools.pairwise(groups):
        together = right[0].at + right[0].size - left[0].at
        assert right[0].at - left[-1].at - left[-1].size > GAP_BYTES or together > MOST_BYTES


@given(st.data())
@settings(max_examples=25)
def test_any_box_of_any_layout_is_read_as_numpy_slices_it(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 13), min_size=1, max_size=3)))
    chunks = tuple(data.draw(st.integers(1, 5)) for _ in shape)
    counts = data.draw(st.none() | st.tuples(*[st.integers(1, 3) for _ in shape]))
    shards = None if counts is None else tuple(c * n for c, n in zip(chunks, counts, strict=True))
    pixels = np.random.default_rng(data.draw(st.integers(0, 9))).integers(0, 3, shape).astype(data.draw(st.sampled_from(["<u2", ">u2"])))
    codecs = {} if shards is None else {"shards": {"shape": shards, "index_location": data.draw(st.sampled_from(["start", "end"]))}}
    store = FsspecStore.from_url("memory://omexp-boxes/a.zarr")
    group = zarr.open_group(store, mode="w", zarr_format=3)
    group.create_array("a", shape=shape, chunks=chunks, dtype="uint16", fill_value=1, **codecs)[...] = pixels
    start = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    box = Region(start, tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)))
    array = open_group(store).array("a")
    assert array.pipeline == "omexp"
    np.testing.assert_array_equal(array.read(box), pixels[box.slices])


# ---------------------------------------------------------------------------------------------------------------- S3
@pytest.fixture(scope="module")
def s3() -> Iterator[ServedS3]:
    with s3_server() as served:
        yield served


PIXELS = np.random.default_rng(1).integers(0, 999, (2, 40, 48)).astype("uint16")
IMAGE: dict[str, Any] = {"xy_pixelsize": 0.5, "axes_names": "cyx", "levels": 2}


def test_an_image_is_written_changed_and_replaced_on_s3(s3: ServedS3) -> None:
    url, layout = "s3://bucket/a.zarr", {"chunks": (1, 16, 16), "shards": (1, 32, 32)}
    store = fsspec.get_mapper(url, **s3.options)
    container = omexp.create_ome_zarr_from_array(store, PIXELS, **IMAGE, **layout)
    label = container.derive_label("cells")
    label.set_array((PIXELS[:1] // 200).astype("uint32").reshape(label.shape))
    label.consolidate()
    container.add_table("regions", container.build_masking_roi_table("cells"), backend="csv")
    image = container.get_image()
    image.set_array(PIXELS[:, 4:9] + 1, y=slice(4, 9))
    image.consolidate()
    expected = PIXELS.copy()
    expected[:, 4:9] += 1

    opened = omexp.open_ome_zarr_container(url, storage_options=s3.options)
    assert (opened.list_labels(), opened.list_tables(), opened.where) == (["cells"], ["regions"], url)
    assert opened.get_table("regions").dataframe.shape[0] == len(np.unique(PIXELS[0] // 200)) - 1
    plain = zarr.open_group(FsspecStore.from_url(url, storage_options=s3.options), mode="r", use_consolidated=False)
    np.testing.assert_array_equal(plain["0"][...], expected)
    np.testing.assert_array_equal(plain["1"][...], omexp.downsample(expected, (1, 2, 2)))
    np.testing.assert_array_equal(opened.get_image().get_array(y=slice(3, 30)), expected[:, 3:30])

    with pytest.raises(AlreadyExistsError, match=rf"{url}: something is there already"):
        omexp.create_ome_zarr_from_array(store, PIXELS, **IMAGE, **layout)
    replaced = omexp.create_ome_zarr_from_array(store, PIXELS[:, ::2], overwrite=True, **IMAGE, **layout)
    np.testing.assert_array_equal(replaced.get_image().get_array(), PIXELS[:, ::2])
    assert replaced.list_labels() == []


def keys_of(s3: ServedS3, prefix: str) -> list[str]:
    return sorted(fsspec.filesystem("s3", **s3.options).find(f"bucket/{prefix}", refresh=True))


def failing_after(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """The store's `set` fails from then on."""
    turns, real = itertools.count(), RemoteStore.set

    async def failing(self: RemoteStore, key: str, value: Any) -> None:
        if next(turns) >= count:
            raise RuntimeError
        await real(self, key, value)

    monkeypatch.setattr(RemoteStore, "set", failing)


def test_what_breaks_off_on_s3_leaves_nothing_that_a_reader_takes_for_an_image(s3: ServedS3, monkeypatch: pytest.MonkeyPatch) -> None:
    flat = IMAGE | {"workers": 1, "levels": 1}
    store = fsspec.get_mapper("s3://bucket/broken.zarr", **s3.options)
    with monkeypatch.context() as patched:
        failing_after(patched, 4)  # the fifth is the image's own document
        with pytest.raises(RuntimeError):
            omexp.create_ome_zarr_from_array(store, PIXELS, **flat)
    assert keys_of(s3, "broken.zarr") == []
    omexp.create_ome_zarr_from_array(store, PIXELS, **flat)
    before = keys_of(s3, "broken.zarr")
    with monkeypatch.context() as patched:
        failing_after(patched, 4)  # while the new one is built apart: the old one stays
        with pytest.raises(RuntimeError):
            omexp.create_ome_zarr_from_array(store, PIXELS + 1, overwrite=True, **flat)
    assert keys_of(s3, "broken.zarr") == before
    np.testing.assert_array_equal(omexp.open_ome_zarr_container(store).get_image().get_array(), PIXELS)
    with monkeypatch.context() as patched:
        failing_after(patched, 8)  # while it is copied over the old one
        with pytest.raises(RuntimeError):
            omexp.create_ome_zarr_from_array(store, PIXELS + 1, overwrite=True, **flat)
    with pytest.raises(StoreNotFoundError):
        omexp.open_ome_zarr_container(store)


def test_a_store_opens_in_every_form_that_fsspec_and_obstore_have(s3: ServedS3) -> None:
    url = "s3://bucket/forms.zarr"
    omexp.create_ome_zarr_from_array(fsspec.get_mapper(url, **s3.options), PIXELS, **IMAGE)
    plain = FsspecStore.from_url(url, storage_options=s3.options)
    forms: dict[str, Any] = {
        "synchronous mapper": fsspec.get_mapper(url, **s3.options),
        "asynchronous mapper": FSMap("bucket/forms.zarr", fsspec.filesystem("s3", asynchronous=True, **s3.options)),
        "FsspecStore": plain,
        "StorePath": StorePath(FsspecStore.from_url("s3://bucket", storage_options=s3.options), "forms.zarr"),
        "zarr group": zarr.open_group(plain, mode="r+"),
        "Group": open_group(url, storage_options=s3.options),
    }
    for name, form in forms.items():
        container = omexp.open_ome_zarr_container(form)
        np.testing.assert_array_equal(container.get_image().get_array(), PIXELS, err_msg=name)
        assert container.where == url
        assert isinstance(container.group.zarr.store, RemoteStore)


def test_an_obstore_store_is_read_and_written(s3: ServedS3) -> None:
    obstore = pytest.importorskip("obstore.store")
    config = {"endpoint": s3.options["endpoint_url"], "access_key_id": "testing", "secret_access_key": "testing-secret"}
    store = obstore.S3Store("bucket", prefix="obstore.zarr", config=config, client_options={"allow_http": True})
    container = omexp.create_ome_zarr_from_array(store, PIXELS, ngff_version="0.4", **IMAGE)
    container.derive_label("cells")
    container.add_table("regions", container.build_image_roi_table(), backend="csv")
    opened = omexp.open_ome_zarr_container(zarr.storage.ObjectStore(store))
    np.testing.assert_array_equal(opened.get_image().get_array(), PIXELS)
    assert (opened.list_labels(), opened.list_tables()) == (["cells"], ["regions"])
    np.testing.assert_array_equal(
        omexp.open_ome_zarr_container("s3://bucket/obstore.zarr", storage_options=s3.options).get_image().get_array(), PIXELS
    )
    gone = obstore.S3Store(
        "bucket",
        config=config | {"endpoint": f"http://127.0.0.1:{free_port()}"},
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    with pytest.raises(RemoteError, match="the server cannot be reached"):
        open_group(gone)
    assert "testing-secret" not in repr(opened.group.zarr.store)


def test_s3_that_refuses_or_has_nothing_says_so(s3: ServedS3, folder: Path) -> None:
    for url in ("s3://bucket/nothing.zarr", "s3://no-such-bucket/a.zarr"):
        with pytest.raises(StoreNotFoundError, match=f"{url}: there is no Zarr group"):
            open_group(url, storage_options=s3.options)
    with http_server(folder, missing=403) as server:  # buckets without permission to list
        options = {"anon": True, "endpoint_url": server.url}
        plate = omexp.open_ome_zarr_plate("s3://plate.zarr", storage_options=options)
        assert plate.get_image("A", 1, "0").list_labels() == []
        whole = Region.whole((8, 8))
        with pytest.raises(RemoteAccessError, match=r"s3://holes.zarr/known/1.*\(403\)"):
            open_group("s3://holes.zarr", storage_options=options).array("known").read(whole)
        missing = (FileNotFoundError, PermissionError)  # who knows that all chunks may be read can say so
        lenient = FsspecStore.from_url("s3://holes.zarr", storage_options=options, allowed_exceptions=missing)
        assert (open_group(lenient).array("known").read(whole)[4:] == 9).all()
