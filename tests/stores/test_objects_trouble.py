"""Object stores that misbehave, and unusual objects: no wrong byte is served, and errors say why."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest
from obstore.store import GCSStore, S3Store

from stores.fakes3 import FakeS3, Misbehaviour, fake_s3
from stores.objectservers import BUCKET, KEY, SECRET, s3_store
from unspool.core.checksum import crc32c
from unspool.core.model import ListRequest, Omission, Span
from unspool.errors import (
    DataLossError,
    FileChangedError,
    InvalidNameError,
    InvalidRequestError,
    NotAFileError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ServerError,
    UnspoolError,
    UnsupportedError,
)
from unspool.options import MIB
from unspool.stores import open_store
from unspool.stores.objectinfo import CHECKSUM_KEY
from unspool.stores.objects import ObjectStore
from unspool.stores.readahead import DEPTH, PART, SMALL_PART, Budget, ReadParts
from unspool.testing.stock import BYTES, good, listed, read, read_file

BIG = bytes(range(256)) * (4 * 8 * 1024 * 5)  # 40 MiB: several parts


@pytest.fixture
def server() -> Iterator[FakeS3]:
    """A fake with a few objects."""
    with fake_s3({"a.bin": BYTES, "dir/b.bin": b"b", "empty": b""}) as server:
        yield server


def s3(server: FakeS3, retries: int = 1) -> S3Store:
    """Return obstore's store for the fake."""
    return s3_store(
        server.port,
        retry_config={
            "max_retries": retries,
            "retry_timeout": timedelta(seconds=5),
            "backoff": {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2), "base": 2},
        },
    )


@pytest.fixture
def store(server: FakeS3) -> ObjectStore:
    """The store over the fake."""
    return ObjectStore(s3(server))


# Errors of the store


async def test_a_store_that_ignores_preconditions_is_refused(server: FakeS3, store: ObjectStore) -> None:
    """A store that ignores a precondition of a read is refused at the start and at the first read."""
    server.wrong = Misbehaviour(ignores_match=True)
    with pytest.raises(UnsupportedError, match="ignores If-Match"):
        store.check()
    with pytest.raises(UnsupportedError, match="ignores If-Match"):
        await store.open("a.bin")


class Removed(dict[str, bytes]):
    """Objects of which the first is removed after it was listed."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the object, as for a read."""
        return None if key == min(self) else super().get(key, default)


async def test_what_is_removed_at_the_start_is_passed_over(server: FakeS3, store: ObjectStore) -> None:
    """An object that is gone after it was listed, as those with which servers try the store, is passed over for the next."""
    server.files = Removed({".unspool-uploads/storage/probe-1": b"unspool", "a.bin": BYTES})
    store.check()
    server.wrong = Misbehaviour(ignores_match=True)
    with pytest.raises(UnsupportedError, match="ignores If-Match"):
        store.check()


async def test_even_if_it_passes_at_first_nothing_is_mixed(server: FakeS3, store: ObjectStore) -> None:
    """A store that begins to ignore preconditions is detected by the entity tag of its answer."""
    async with aclosing(await store.open("a.bin")) as file:
        server.wrong = Misbehaviour(ignores_match=True)
        server.files["a.bin"] = BYTES[::-1]
        with pytest.raises(FileChangedError):
            await read(file)


async def test_a_store_that_ignores_ranges_is_refused(server: FakeS3, store: ObjectStore) -> None:
    """A store that answers a range with the whole object is refused, with that reason, at the start and at a read."""
    async with aclosing(await store.open("a.bin")) as file:
        server.wrong = Misbehaviour(ignores_ranges=True, ignores_match=True)
        with pytest.raises(DataLossError, match="ignores ranges"):
            store.check()
        with pytest.raises(DataLossError, match="ignores ranges"):
            await read(file, Span(10, 500))


@pytest.mark.parametrize(
    "wrong",
    [Misbehaviour(wrong_range=True), Misbehaviour(ignores_ranges=True)],
    ids=["another range", "the whole instead of a range"],
)
async def test_other_bytes_than_those_asked_for_are_not_served(server: FakeS3, store: ObjectStore, wrong: Misbehaviour) -> None:
    """An answer with another range is an error, and yields no byte."""
    async with aclosing(await store.open("a.bin")) as file:
        server.wrong = wrong
        with pytest.raises((DataLossError, ServerError)):
            await read(file, Span(10, 500))


@pytest.mark.parametrize("tag", [None, 'W/"{}"'], ids=["none", "weak"])
async def test_an_object_without_a_strong_tag_is_not_served(server: FakeS3, store: ObjectStore, tag: str | None) -> None:
    """A store without entity tags, or with weak ones, is refused, because changes could not be noticed."""
    server.wrong = Misbehaviour(tag=tag, listed_tag=tag)
    for asking in (store.stat("a.bin"), store.open("a.bin")):
        with pytest.raises(DataLossError, match="no entity tag"):
            await asking
    (answer,) = await store.read_small(["a.bin"], 10_000)
    assert isinstance(answer, DataLossError)
    pages = [page async for page in store.list(_everything())]
    assert [page.files for page in pages] == [()]
    assert sorted(omission.name for page in pages for omission in page.omitted) == ["a.bin", "dir/b.bin", "empty"]


@pytest.mark.parametrize("listed_tag", ["{}", None], ids=["unquoted", "none"])
async def test_a_listing_says_the_same_revision_as_the_object(
    server: FakeS3, store: ObjectStore, listed_tag: str | None
) -> None:
    """If listings have tags without quotes, or none, the revision is still that of `stat`."""
    server.wrong = Misbehaviour(listed_tag=listed_tag)
    files, _ = await listed(store)
    assert files == {name: await store.stat(name) for name in server.files}


async def test_a_body_that_breaks_is_asked_for_again(server: FakeS3) -> None:
    """A body that ends early is completed by another request; if that ends early too, the read is an error."""
    store = ObjectStore(s3(server, retries=2))
    async with aclosing(await store.open("a.bin")) as file:
        server.wrong = Misbehaviour(cut=1)
        assert await read(file) == BYTES
        server.wrong = Misbehaviour(cut=100)
        with pytest.raises(ServerError):
            await read(file)


async def test_an_object_replaced_while_its_body_is_resumed_is_changed(server: FakeS3) -> None:
    """If the object has changed when a truncated body is requested again, the read ends with FileChangedError."""
    store = ObjectStore(s3(server, retries=2))
    async with aclosing(await store.open("a.bin")) as file:
        server.wrong = Misbehaviour(cut=1)
        answering = server.files

        class Replaced(dict[str, bytes]):
            """Return other bytes from the second read on."""

            reads = 0

            def get(self, key: str, default: Any = None) -> Any:
                self.reads += 1
                return BYTES if self.reads == 1 else BYTES[::-1]

        server.files = Replaced(answering)
        with pytest.raises(FileChangedError):
            await read(file)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (503, OverloadedError),
        (429, OverloadedError),
        (500, ServerError),
        (403, PermissionDeniedError),
        (401, PermissionDeniedError),
    ],
)
async def test_an_error_of_the_store_is_one_of_ours(
    server: FakeS3, store: ObjectStore, status: int, error: type[UnspoolError]
) -> None:
    """Each error status becomes an error that names it, without the text of the answer; throttling has a retry delay."""
    for asking in (lambda: store.stat("a.bin"), lambda: store.open("a.bin"), lambda: listed(store)):
        server.wrong = Misbehaviour(statuses=[status] * 10)
        with pytest.raises(error) as caught:
            await asking()
        assert "secret" not in caught.value.message
        assert "http://" not in caught.value.message
        assert (caught.value.retry_after is not None) == (error is OverloadedError)
        assert caught.value.__suppress_context__


async def test_throttling_for_a_moment_is_ridden_out(server: FakeS3, store: ObjectStore) -> None:
    """A single refusal is retried by the store's client."""
    server.wrong = Misbehaviour(statuses=[503])
    assert (await store.stat("a.bin")).size == len(BYTES)


async def test_a_store_that_is_gone_is_said_to_be(server: FakeS3, store: ObjectStore) -> None:
    """A connection that cannot be made is a ServerError, which clients retry."""
    server.shutdown()
    server.server_close()
    with pytest.raises(ServerError, match="cannot be reached") as caught:
        await store.stat("a.bin")
    assert caught.value.retryable


# Unusual keys


ODD = ["m//b", "m/./x", "../e", ".", "m\x01b", "back\\slash"]


@pytest.mark.parametrize("odd", ODD, ids=ascii)
@pytest.mark.parametrize("recursive", [True, False])
async def test_a_key_that_is_no_name_is_omitted_and_the_others_are_listed(odd: str, *, recursive: bool) -> None:
    """A key that obstore or unspool cannot handle is reported; all files are listed except those right before it."""
    files = {f"k{number:02}": b"x" for number in range(9)} | {"dir/a": b"1", "m/ok": b"2", "m/sub/deep": b"3", "z": b"4"}
    with fake_s3(files | {odd: b"odd"}, page=3) as server:
        store = ObjectStore(s3(server))
        found: set[str] = set()
        omitted: list[Omission] = []
        async for page in store.list(_everything(recursive=recursive)):
            found |= {info.name for info in page.files} | set(page.prefixes)
            omitted += page.omitted
    expected = set(files) if recursive else {name for name in files if "/" not in name} | {"dir/", "m/"}
    lost = {"k08"} if odd == "m\x01b" else {odd.partition("/")[0] + "/"}  # in its page and directory, and before it
    assert found - lost == expected - lost
    if recursive or "/" not in odd:
        assert odd in {one.name for one in omitted}
    assert {one.reason for one in omitted} <= {"NAME", "REFUSED"}


async def test_a_marker_of_a_directory_is_no_file() -> None:
    """An object `dir/` is not listed as a file: it is omitted if there are files below it, and else an empty directory."""
    with fake_s3({"full/": b"", "full/a": b"1", "hollow/": b"", "real": b"", "z": b"2"}, page=2) as server:
        store = ObjectStore(s3(server))
        files, prefixes = await listed(store)
        assert (set(files), prefixes) == ({"full/a", "real", "z"}, {"hollow/"})
        assert (set((await listed(store, "full"))[0])) == {"full/a"}
        files, prefixes = await listed(store, recursive=False)
        assert (set(files), prefixes) == ({"real", "z"}, {"full/", "hollow/"})
        with pytest.raises(NotAFileError):
            await store.stat("full")


async def test_hidden_and_reserved_objects_are_not_served() -> None:
    """Objects whose names begin with a dot are served only if configured; unspool's own never are."""
    files = {".git/config": b"1", "a/.env": b"2", "b.unspool-part": b"3", "c": b"4"}
    with fake_s3(files) as server:
        store = ObjectStore(s3(server))
        assert set((await listed(store))[0]) == {"c"}
        for name in (".git/config", "a/.env", "b.unspool-part"):
            with pytest.raises(NotFoundError):
                await store.stat(name)
        shown = ObjectStore(s3(server), hidden=True)
        assert set((await listed(shown))[0]) == {".git/config", "a/.env", "c"}


async def test_two_spellings_are_not_one_object(store: ObjectStore) -> None:
    """Names that obstore treats as others (`/a` and `a/` as `a`, "" as the bucket) are refused."""
    for name in ("/a.bin", "a.bin/", "", "dir//b.bin"):
        with pytest.raises(InvalidNameError):
            await store.open(name)


# Number of requests


async def test_the_checksum_that_we_wrote_is_known(server: FakeS3, store: ObjectStore) -> None:
    """The CRC32C in an object's metadata is that of the file; an invalid value is ignored."""
    server.metadata["a.bin"] = {CHECKSUM_KEY: f"{crc32c(BYTES):08x}"}
    server.metadata["dir/b.bin"] = {CHECKSUM_KEY: "not a sum"}
    assert (await store.stat("a.bin")).crc32c == crc32c(BYTES)
    assert (await store.stat("dir/b.bin")).crc32c is None


async def test_a_small_read_asks_for_no_more_than_it_needs(server: FakeS3, store: ObjectStore) -> None:
    """A span of a few bytes is one request for these bytes."""
    server.files["big"] = BIG
    async with aclosing(await store.open("big")) as file:
        server.requests.clear()
        assert await read(file, Span(5 * MIB, 5 * MIB + 100)) == BIG[5 * MIB : 5 * MIB + 100]
    assert [headers["range"] for _, _, headers in server.requests] == [f"bytes={5 * MIB}-{5 * MIB + 99}"]


async def test_a_reader_that_leaves_stops_the_requests(server: FakeS3, store: ObjectStore) -> None:
    """After a reader has stopped, no further part is requested, and the whole budget is available again."""
    server.files["big"] = BIG
    budget = store._budget.left
    async with aclosing(await store.open("big")) as file:
        async with aclosing(file.read(Span(0, len(BIG)), lambda _: MIB)) as runs:
            assert await anext(runs) == BIG[:MIB]
        asked = len(server.requests)
        await asyncio.sleep(0.05)
        assert len(server.requests) == asked
    assert store._budget.left == budget


async def test_small_objects_cost_one_request_each(server: FakeS3, store: ObjectStore) -> None:
    """A batch of small objects requests each of them once."""
    files = {f"small/{number}": bytes([number]) * 900 for number in range(100)}
    server.files.update(files)
    server.requests.clear()
    names = list(files)
    answers: list[Any] = []
    while len(answers) < len(names):
        answers += await store.read_small(names[len(answers) :], 512 * 1024)
    assert [good(answer)[1] for answer in answers] == list(files.values())
    assert len(server.requests) == len(names)


async def test_spans_of_objects_cost_one_request_each(server: FakeS3, store: ObjectStore) -> None:
    """A batch of spans requests the bytes of each once, also where the object ends first; those beyond its end ask again."""
    server.requests.clear()
    wanted = [("a.bin", at, 10) for at in range(0, len(BYTES), len(BYTES) // 20)]
    assert [good(answer)[1] for answer in await store.read_spans(wanted, 1 << 20)] == [
        BYTES[at : at + 10] for _, at, _ in wanted
    ]
    assert len(server.requests) == len(wanted)
    beyond = [("a.bin", len(BYTES) + 7, 3), ("a.bin", len(BYTES), 3), ("empty", 0, 1)]
    assert [good(answer)[1] for answer in await store.read_spans(beyond, 100)] == [b""] * 3


@pytest.mark.parametrize(
    "wrong",
    [Misbehaviour(wrong_range=True), Misbehaviour(ignores_ranges=True)],
    ids=["another range", "the whole instead of a range"],
)
async def test_a_span_of_other_bytes_is_not_served(server: FakeS3, store: ObjectStore, wrong: Misbehaviour) -> None:
    """An answer with another range is that span's error."""
    server.wrong = wrong
    (answer,) = await store.read_spans([("a.bin", 10, 500)], 1000)
    assert isinstance(answer, (DataLossError, ServerError))


async def test_an_object_that_a_client_has_is_not_read(server: FakeS3, store: ObjectStore) -> None:
    """If the revision is known, only the object's metadata is requested."""
    info = await store.stat("a.bin")
    server.requests.clear()
    (answer,) = await store.read_small(["a.bin"], 10, [info.revision])
    assert good(answer) == (info, b"")
    assert [method for method, _, _ in server.requests] == ["HEAD"]


def test_parts_are_bounded_by_depth_and_budget() -> None:
    """A read has at most four parts in flight; without budget it has one small part, and still makes progress."""
    budget = Budget(2 * PART)
    parts = ReadParts(Span(100, 10 * PART), budget)
    first = parts.next(0)
    assert first is not None
    assert (first.span, first.taken) == (Span(100, SMALL_PART), 0)
    second, third, fourth = parts.next(1), parts.next(2), parts.next(3)
    assert second is not None
    assert third is not None
    assert (second.span, third.span) == (Span(SMALL_PART, PART), Span(PART, 2 * PART))
    assert fourth is None  # the rest of the budget is less than a part
    assert parts.next(DEPTH) is None
    parts.done(second)
    parts.done(third)
    assert budget.left == 2 * PART
    budget.left = 0
    starved = parts.next(0)
    assert starved is not None
    assert starved.span == Span(2 * PART, 2 * PART + SMALL_PART)
    assert parts.next(1) is None


# Google, and addresses


async def test_googles_protocol_is_read(server: FakeS3) -> None:
    """With Google's XML API, as far as the fake supports it, objects are listed, pinned and read."""
    config: Any = {"google_base_url": f"http://127.0.0.1:{server.port}", "google_skip_signature": True}
    store = ObjectStore(GCSStore(BUCKET, config=config, client_options={"allow_http": True}))
    assert (await read_file(store, "a.bin"))[1] == BYTES
    assert set((await listed(store))[0]) == {"a.bin", "dir/b.bin", "empty"}
    async with aclosing(await store.open("a.bin")) as file:
        server.files["a.bin"] = b"x" * len(BYTES)
        with pytest.raises(FileChangedError):
            await read(file)


def test_an_address_opens_the_bucket(server: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """`s3://BUCKET/PREFIX` is opened with the environment's configuration, and tried at once."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    store = open_store(f"s3://{BUCKET}/dir", allow_http=True)
    assert set(asyncio.run(listed(store))[0]) == {"b.bin"}
    server.wrong = Misbehaviour(ignores_match=True)
    with pytest.raises(UnsupportedError, match="ignores If-Match"):
        open_store(f"s3://{BUCKET}", allow_http=True)


@pytest.mark.parametrize("url", ["s3://", "az://container", "gs:///x"])
def test_a_bad_address_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL without a bucket, or with an unknown account, is an error that names the URL."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(InvalidRequestError, match=url):
        open_store(url)


def _everything(*, recursive: bool = True) -> ListRequest:
    return ListRequest("", recursive, 1000)
