"""A small server that speaks S3's protocol (and as much of Google's XML API as is used here), and can be made to misbehave.

It is a fake; the contract of object stores runs against real servers too. It can do what those cannot be made to do: ignore a
precondition, answer a range with the whole object, omit the entity tag, truncate a body, refuse for a while.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

_DATE = "Sun, 29 Nov 2026 07:42:01 GMT"
_ISO_DATE = "2026-11-29T07:42:01.000Z"


@dataclass
class Misbehaviour:
    """The faults of the server; by default none.

    Attributes:
        ignores_match: preconditions of reads are ignored.
        ignores_ranges: a range is answered with the whole object, and 200.
        wrong_range: a range is answered with the bytes one further.
        tag: the form of entity tags in answers to reads; None omits them.
        listed_tag: the same in listings.
        cut: number of answers whose body ends early.
        statuses: the statuses of the next answers.
        code: the code of the errors of these answers.
        first_byte: seconds before an answer.
    """

    ignores_match: bool = False
    ignores_ranges: bool = False
    wrong_range: bool = False
    tag: str | None = '"{}"'
    listed_tag: str | None = '"{}"'
    cut: int = 0
    statuses: list[int] = field(default_factory=list)
    code: str = "SlowDown"
    first_byte: float = 0.0


class FakeS3(ThreadingHTTPServer):
    """The server. Its one bucket has any name.

    Attributes:
        files: the objects, by key.
        metadata: the user metadata of objects.
        wrong: its faults.
        requests: method, path and headers of each request.
        page: keys in one page of a listing.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], page: int = 1000) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.metadata: dict[str, dict[str, str]] = {}
        self.wrong = Misbehaviour()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.page = page

    @property
    def port(self) -> int:
        """The port."""
        return self.server_port


@contextmanager
def fake_s3(files: dict[str, bytes] | None = None, page: int = 1000) -> Iterator[FakeS3]:
    """Run a fake with these objects."""
    server = FakeS3(files if files is not None else {}, page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeS3

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        """Answer a read or a listing."""
        wrong = self.server.wrong
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        if wrong.first_byte:
            time.sleep(wrong.first_byte)
        if wrong.statuses:
            self._refuse()
            return
        url = urllib.parse.urlsplit(self.path)
        _, _, key = urllib.parse.unquote(url.path).lstrip("/").partition("/")
        if key:
            self._read(key)
        else:
            self._list(dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)))

    do_HEAD = do_GET  # noqa: N815 - as http.server wants it

    def do_POST(self) -> None:
        """Answer a part of an upload in parts: it is refused if that is wanted, and else begun, taken and thrown away."""
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.wrong.statuses:
            self._refuse()
        else:
            body = "<InitiateMultipartUploadResult><UploadId>begun</UploadId></InitiateMultipartUploadResult>"
            self._answer(200, body.encode(), {"ETag": '"tag"'})

    do_PUT = do_DELETE = do_POST  # noqa: N815 - as http.server wants it

    def _refuse(self) -> None:
        wrong = self.server.wrong
        self._answer(wrong.statuses.pop(0), f"<Error><Code>{wrong.code}</Code><Resource>secret</Resource></Error>".encode())

    def _read(self, key: str) -> None:
        wrong = self.server.wrong
        data = self.server.files.get(key)
        if data is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        match = self.headers.get("If-Match")
        if match is not None and match.strip('"') != _digest(data) and not wrong.ignores_match:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            return
        headers = {"Last-Modified": _DATE}
        headers |= {f"x-amz-meta-{name}": said for name, said in self.server.metadata.get(key, {}).items()}
        if wrong.tag is not None:
            headers["ETag"] = wrong.tag.format(_digest(data))
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None or wrong.ignores_ranges:
            self._answer(200, data, headers)
            return
        start = int(asked[1]) + wrong.wrong_range
        stop = min(int(asked[2]) + wrong.wrong_range + 1 if asked[2] else len(data), len(data))
        if start >= len(data):
            self._answer(416, b"")
            return
        self._answer(206, data[start:stop], headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})

    def _list(self, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        keys: list[str] = []
        prefixes: list[str] = []
        last, more = "", False
        for key in sorted(self.server.files):
            if not key.startswith(prefix) or key <= after:
                continue
            if len(keys) + len(prefixes) == self.server.page:
                more = True
                break
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                below = prefix + rest.split(delimiter)[0] + delimiter
                if below not in prefixes:
                    prefixes.append(below)
                last = below + "\U0010ffff"
                after = max(after, last)
            else:
                keys.append(key)
                last = key
        entries = "".join(map(self._entry, keys))
        below = "".join(f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in prefixes)
        token = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if more else ""
        body = f"<ListBucketResult>{entries}{below}<IsTruncated>{str(more).lower()}</IsTruncated>{token}</ListBucketResult>"
        self._answer(200, body.encode(), {"Content-Type": "application/xml"})

    def _entry(self, key: str) -> str:
        data = self.server.files[key]
        listed = self.server.wrong.listed_tag
        tag = "" if listed is None else f"<ETag>{escape(listed.format(_digest(data)))}</ETag>"
        size = f"<Size>{len(data)}</Size>"
        return f"<Contents><Key>{escape(key)}</Key><LastModified>{_ISO_DATE}</LastModified>{size}{tag}</Contents>"

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, said in (headers or {}).items():
            self.send_header(name, said)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.server.wrong.cut and status in {200, 206} and len(body) > 1 and "ETag" in (headers or {}):
            self.server.wrong.cut -= 1
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        self.wfile.write(body)


def _digest(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
