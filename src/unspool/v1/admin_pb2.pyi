import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchCallsRequest(_message.Message):
    __slots__ = ("interval",)
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    interval: _duration_pb2.Duration
    def __init__(self, interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchCallsResponse(_message.Message):
    __slots__ = ("calls", "left_out", "workers", "silent_workers")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    SILENT_WORKERS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[RunningCall]
    left_out: int
    workers: int
    silent_workers: int
    def __init__(self, calls: _Optional[_Iterable[_Union[RunningCall, _Mapping]]] = ..., left_out: _Optional[int] = ..., workers: _Optional[int] = ..., silent_workers: _Optional[int] = ...) -> None: ...

class RunningCall(_message.Message):
    __slots__ = ("id", "method", "name", "files", "files_begun", "principal", "peer", "transfer_id", "attempt", "running", "start", "length", "sent", "bytes_per_second", "stalled")
    ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    FILES_BEGUN_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    STALLED_FIELD_NUMBER: _ClassVar[int]
    id: str
    method: str
    name: str
    files: int
    files_begun: int
    principal: str
    peer: str
    transfer_id: str
    attempt: int
    running: _duration_pb2.Duration
    start: int
    length: int
    sent: int
    bytes_per_second: float
    stalled: bool
    def __init__(self, id: _Optional[str] = ..., method: _Optional[str] = ..., name: _Optional[str] = ..., files: _Optional[int] = ..., files_begun: _Optional[int] = ..., principal: _Optional[str] = ..., peer: _Optional[str] = ..., transfer_id: _Optional[str] = ..., attempt: _Optional[int] = ..., running: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., start: _Optional[int] = ..., length: _Optional[int] = ..., sent: _Optional[int] = ..., bytes_per_second: _Optional[float] = ..., stalled: bool = ...) -> None: ...
