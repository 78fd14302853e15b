import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FileInfo(_message.Message):
    __slots__ = ("name", "size", "revision", "modified", "content_type", "crc32c", "executable", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: int
    revision: str
    modified: _timestamp_pb2.Timestamp
    content_type: str
    crc32c: int
    executable: bool
    sha256: bytes
    def __init__(self, name: _Optional[str] = ..., size: _Optional[int] = ..., revision: _Optional[str] = ..., modified: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., content_type: _Optional[str] = ..., crc32c: _Optional[int] = ..., executable: bool = ..., sha256: _Optional[bytes] = ...) -> None: ...

class StatFileRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class StatFileResponse(_message.Message):
    __slots__ = ("info",)
    INFO_FIELD_NUMBER: _ClassVar[int]
    info: FileInfo
    def __init__(self, info: _Optional[_Union[FileInfo, _Mapping]] = ...) -> None: ...

class ReadFileRequest(_message.Message):
    __slots__ = ("name", "start", "length", "revision", "block_size", "transfer_id", "attempt", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    start: int
    length: int
    revision: str
    block_size: int
    transfer_id: str
    attempt: int
    sha256: bool
    def __init__(self, name: _Optional[str] = ..., start: _Optional[int] = ..., length: _Optional[int] = ..., revision: _Optional[str] = ..., block_size: _Optional[int] = ..., transfer_id: _Optional[str] = ..., attempt: _Optional[int] = ..., sha256: bool = ...) -> None: ...

class ReadFileResponse(_message.Message):
    __slots__ = ("header", "block", "summary")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    header: Header
    block: Block
    summary: Summary
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., block: _Optional[_Union[Block, _Mapping]] = ..., summary: _Optional[_Union[Summary, _Mapping]] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("info", "start", "length")
    INFO_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    info: FileInfo
    start: int
    length: int
    def __init__(self, info: _Optional[_Union[FileInfo, _Mapping]] = ..., start: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class Block(_message.Message):
    __slots__ = ("offset", "crc32c", "data")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    offset: int
    crc32c: int
    data: bytes
    def __init__(self, offset: _Optional[int] = ..., crc32c: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Summary(_message.Message):
    __slots__ = ("end", "at_end", "crc32c")
    END_FIELD_NUMBER: _ClassVar[int]
    AT_END_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    end: int
    at_end: bool
    crc32c: int
    def __init__(self, end: _Optional[int] = ..., at_end: bool = ..., crc32c: _Optional[int] = ...) -> None: ...

class ReadFilesRequest(_message.Message):
    __slots__ = ("files", "block_size", "transfer_id", "attempt", "packs")
    FILES_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PACKS_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[FileToRead]
    block_size: int
    transfer_id: str
    attempt: int
    packs: bool
    def __init__(self, files: _Optional[_Iterable[_Union[FileToRead, _Mapping]]] = ..., block_size: _Optional[int] = ..., transfer_id: _Optional[str] = ..., attempt: _Optional[int] = ..., packs: bool = ...) -> None: ...

class FileToRead(_message.Message):
    __slots__ = ("name", "revision", "start", "unless_revision", "length")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    UNLESS_REVISION_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    revision: str
    start: int
    unless_revision: str
    length: int
    def __init__(self, name: _Optional[str] = ..., revision: _Optional[str] = ..., start: _Optional[int] = ..., unless_revision: _Optional[str] = ..., length: _Optional[int] = ...) -> None: ...

class ReadFilesResponse(_message.Message):
    __slots__ = ("pieces", "pack")
    PIECES_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    pieces: _containers.RepeatedCompositeFieldContainer[FilePiece]
    pack: FilePack
    def __init__(self, pieces: _Optional[_Iterable[_Union[FilePiece, _Mapping]]] = ..., pack: _Optional[_Union[FilePack, _Mapping]] = ...) -> None: ...

class FilePack(_message.Message):
    __slots__ = ("first", "sizes", "crc32c", "data")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    first: int
    sizes: _containers.RepeatedScalarFieldContainer[int]
    crc32c: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, first: _Optional[int] = ..., sizes: _Optional[_Iterable[int]] = ..., crc32c: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class FilePiece(_message.Message):
    __slots__ = ("index", "header", "block", "summary", "error")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    index: int
    header: Header
    block: Block
    summary: Summary
    error: FileError
    def __init__(self, index: _Optional[int] = ..., header: _Optional[_Union[Header, _Mapping]] = ..., block: _Optional[_Union[Block, _Mapping]] = ..., summary: _Optional[_Union[Summary, _Mapping]] = ..., error: _Optional[_Union[FileError, _Mapping]] = ...) -> None: ...

class FileError(_message.Message):
    __slots__ = ("code", "reason", "message", "offset", "retry_delay")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    message: str
    offset: int
    retry_delay: _duration_pb2.Duration
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., offset: _Optional[int] = ..., retry_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListFilesRequest(_message.Message):
    __slots__ = ("prefix", "recursive", "page_size")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    recursive: bool
    page_size: int
    def __init__(self, prefix: _Optional[str] = ..., recursive: bool = ..., page_size: _Optional[int] = ...) -> None: ...

class ListFilesResponse(_message.Message):
    __slots__ = ("files", "prefixes", "omitted")
    FILES_FIELD_NUMBER: _ClassVar[int]
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    OMITTED_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[FileInfo]
    prefixes: _containers.RepeatedScalarFieldContainer[str]
    omitted: _containers.RepeatedCompositeFieldContainer[Omission]
    def __init__(self, files: _Optional[_Iterable[_Union[FileInfo, _Mapping]]] = ..., prefixes: _Optional[_Iterable[str]] = ..., omitted: _Optional[_Iterable[_Union[Omission, _Mapping]]] = ...) -> None: ...

class Omission(_message.Message):
    __slots__ = ("reason", "name", "count")
    REASON_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    name: str
    count: int
    def __init__(self, reason: _Optional[str] = ..., name: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class WriteFileRequest(_message.Message):
    __slots__ = ("open", "block", "commit")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    open: UploadOpen
    block: Block
    commit: UploadCommit
    def __init__(self, open: _Optional[_Union[UploadOpen, _Mapping]] = ..., block: _Optional[_Union[Block, _Mapping]] = ..., commit: _Optional[_Union[UploadCommit, _Mapping]] = ...) -> None: ...

class UploadOpen(_message.Message):
    __slots__ = ("upload_id", "name", "if_absent", "if_revision", "size", "crc32c", "sha256", "modified", "content_type", "executable", "discard", "transfer_id", "attempt")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IF_ABSENT_FIELD_NUMBER: _ClassVar[int]
    IF_REVISION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    DISCARD_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    upload_id: bytes
    name: str
    if_absent: bool
    if_revision: str
    size: int
    crc32c: int
    sha256: bytes
    modified: _timestamp_pb2.Timestamp
    content_type: str
    executable: bool
    discard: _containers.RepeatedCompositeFieldContainer[GoodSpan]
    transfer_id: str
    attempt: int
    def __init__(self, upload_id: _Optional[bytes] = ..., name: _Optional[str] = ..., if_absent: bool = ..., if_revision: _Optional[str] = ..., size: _Optional[int] = ..., crc32c: _Optional[int] = ..., sha256: _Optional[bytes] = ..., modified: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., content_type: _Optional[str] = ..., executable: bool = ..., discard: _Optional[_Iterable[_Union[GoodSpan, _Mapping]]] = ..., transfer_id: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...

class GoodSpan(_message.Message):
    __slots__ = ("start", "length", "crc32c")
    START_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    start: int
    length: int
    crc32c: int
    def __init__(self, start: _Optional[int] = ..., length: _Optional[int] = ..., crc32c: _Optional[int] = ...) -> None: ...

class UploadCommit(_message.Message):
    __slots__ = ("size", "crc32c")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    size: int
    crc32c: int
    def __init__(self, size: _Optional[int] = ..., crc32c: _Optional[int] = ...) -> None: ...

class WriteFileResponse(_message.Message):
    __slots__ = ("opened", "progress", "committed", "refused")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    opened: UploadOpened
    progress: UploadProgress
    committed: FileInfo
    refused: UploadRefused
    def __init__(self, opened: _Optional[_Union[UploadOpened, _Mapping]] = ..., progress: _Optional[_Union[UploadProgress, _Mapping]] = ..., committed: _Optional[_Union[FileInfo, _Mapping]] = ..., refused: _Optional[_Union[UploadRefused, _Mapping]] = ...) -> None: ...

class UploadOpened(_message.Message):
    __slots__ = ("good", "block_size", "expires_after")
    GOOD_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AFTER_FIELD_NUMBER: _ClassVar[int]
    good: _containers.RepeatedCompositeFieldContainer[GoodSpan]
    block_size: int
    expires_after: _duration_pb2.Duration
    def __init__(self, good: _Optional[_Iterable[_Union[GoodSpan, _Mapping]]] = ..., block_size: _Optional[int] = ..., expires_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class UploadProgress(_message.Message):
    __slots__ = ("received", "durable")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    received: int
    durable: int
    def __init__(self, received: _Optional[int] = ..., durable: _Optional[int] = ...) -> None: ...

class UploadRefused(_message.Message):
    __slots__ = ("error", "good")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    GOOD_FIELD_NUMBER: _ClassVar[int]
    error: FileError
    good: _containers.RepeatedCompositeFieldContainer[GoodSpan]
    def __init__(self, error: _Optional[_Union[FileError, _Mapping]] = ..., good: _Optional[_Iterable[_Union[GoodSpan, _Mapping]]] = ...) -> None: ...

class WriteFilesRequest(_message.Message):
    __slots__ = ("files", "transfer_id", "attempt")
    FILES_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[SmallFile]
    transfer_id: str
    attempt: int
    def __init__(self, files: _Optional[_Iterable[_Union[SmallFile, _Mapping]]] = ..., transfer_id: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...

class SmallFile(_message.Message):
    __slots__ = ("name", "if_absent", "if_revision", "modified", "content_type", "executable", "crc32c", "data")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IF_ABSENT_FIELD_NUMBER: _ClassVar[int]
    IF_REVISION_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    if_absent: bool
    if_revision: str
    modified: _timestamp_pb2.Timestamp
    content_type: str
    executable: bool
    crc32c: int
    data: bytes
    def __init__(self, name: _Optional[str] = ..., if_absent: bool = ..., if_revision: _Optional[str] = ..., modified: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., content_type: _Optional[str] = ..., executable: bool = ..., crc32c: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class WriteFilesResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[WrittenFile]
    def __init__(self, results: _Optional[_Iterable[_Union[WrittenFile, _Mapping]]] = ...) -> None: ...

class WrittenFile(_message.Message):
    __slots__ = ("committed", "error")
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    committed: FileInfo
    error: FileError
    def __init__(self, committed: _Optional[_Union[FileInfo, _Mapping]] = ..., error: _Optional[_Union[FileError, _Mapping]] = ...) -> None: ...

class StatUploadRequest(_message.Message):
    __slots__ = ("upload_id", "name")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    upload_id: bytes
    name: str
    def __init__(self, upload_id: _Optional[bytes] = ..., name: _Optional[str] = ...) -> None: ...

class StatUploadResponse(_message.Message):
    __slots__ = ("opened", "committed")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    opened: UploadOpened
    committed: FileInfo
    def __init__(self, opened: _Optional[_Union[UploadOpened, _Mapping]] = ..., committed: _Optional[_Union[FileInfo, _Mapping]] = ...) -> None: ...

class AbandonUploadRequest(_message.Message):
    __slots__ = ("upload_id", "name")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    upload_id: bytes
    name: str
    def __init__(self, upload_id: _Optional[bytes] = ..., name: _Optional[str] = ...) -> None: ...

class AbandonUploadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeleteFileRequest(_message.Message):
    __slots__ = ("name", "if_revision", "transfer_id", "attempt")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IF_REVISION_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    name: str
    if_revision: str
    transfer_id: str
    attempt: int
    def __init__(self, name: _Optional[str] = ..., if_revision: _Optional[str] = ..., transfer_id: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...

class DeleteFileResponse(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: FileInfo
    def __init__(self, deleted: _Optional[_Union[FileInfo, _Mapping]] = ...) -> None: ...

class StatStorageRequest(_message.Message):
    __slots__ = ("name", "deletes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DELETES_FIELD_NUMBER: _ClassVar[int]
    name: str
    deletes: bool
    def __init__(self, name: _Optional[str] = ..., deletes: bool = ...) -> None: ...

class StatStorageResponse(_message.Message):
    __slots__ = ("storage_id",)
    STORAGE_ID_FIELD_NUMBER: _ClassVar[int]
    storage_id: str
    def __init__(self, storage_id: _Optional[str] = ...) -> None: ...
