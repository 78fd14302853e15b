from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Request(_message.Message):
    __slots__ = ("name", "start_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    START_AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    start_at: int
    def __init__(self, name: _Optional[str] = ..., start_at: _Optional[int] = ...) -> None: ...

class Response(_message.Message):
    __slots__ = ("chunk", "chunk_number")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    CHUNK_NUMBER_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    chunk_number: int
    def __init__(self, chunk: _Optional[bytes] = ..., chunk_number: _Optional[int] = ...) -> None: ...
