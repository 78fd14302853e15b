"""All errors that unspool raises, as one tree.

Rule 1: no foreign exception (gRPC's, an operating-system error) reaches the caller. Each seam maps it once.
Rule 2: the class says what happened. It has `retryable` (the same request may succeed if sent again), `exit_code` (what the
command line returns) and `reason` (the word on the wire, UPPER_SNAKE, see PROTOCOL.md).
Rule 3: the message is one plain line: what happened, to which name, at which byte, and what to do next.

    UnspoolError
    |-- InvalidRequestError            the request is invalid                                  exit 2
    |   |-- InvalidNameError
    |   |-- InvalidRangeError
    |   |-- StartPastEndError
    |   `-- TooLargeError              the server takes no file of that size
    |-- UnsupportedError               the other side does not speak this                      exit 2
    |-- NotFoundError                  no such file                                            exit 3
    |   `-- NotAFileError              a directory, socket, FIFO or device
    |-- AccessError                                                                            exit 4
    |   |-- UnauthenticatedError       the caller could not be identified
    |   |   `-- TokenRefusedError      its token was refused, and it has another one             retryable
    |   `-- PermissionDeniedError      the caller may not have the file
    |       `-- OutsideRootError       the name leads outside the served directory
    |-- FileChangedError               the file is not at the pinned revision any more         exit 5
    |   |-- FileKeepsChangingError     it changes faster than it can be downloaded
    |   `-- SourceChangedError         the local file changed while it was uploaded
    |-- AlreadyExistsError             the server has a file of that name already              exit 5
    |-- VerificationError              the bytes are not what the server says                  exit 6
    |   |-- BlockCorruptError          a block is not what its checksum says                   retryable
    |   |-- FileMismatchError          the whole file is not what the server says it is
    |   |-- DataLossError              the store returned fewer or other bytes than it holds
    |   `-- ProtocolError              the stream breaks the rules of PROTOCOL.md
    |       |-- StartIgnoredError      the bytes offered are not the ones asked for
    |       |-- SequenceError          a block is not where the one before it ended            retryable
    |       `-- TooMuchDataError       more bytes than the header promised                     retryable
    |-- TransferError                  the transfer broke; progress is kept                    exit 7
    |   |-- UnreachableError           no answer, or the connection broke                      retryable
    |   |   `-- ConnectError           no connection could be made                             retryable
    |   |       `-- TlsError           because one side uses TLS, or trusts, otherwise
    |   |-- TruncatedError             the stream ended without its summary                    retryable
    |   |-- StalledError               no message within the idle timeout                      retryable
    |   |-- OverloadedError            the server asks to try again later                      retryable
    |   |-- StreamAgeError             the server ends streams of that age                     retryable
    |   |-- NoSpaceError               the server has no space for the file
    |   `-- ServerError                the server failed in a way it did not foresee           retryable
    |-- LocalFileError                 the local file system said no                           exit 8
    |   `-- DestinationExistsError
    |-- BusyError                      another process holds this download                     exit 9
    |   `-- TakenOverError             another process goes on with this upload
    `-- IncompleteTreeError            some of several files failed, the others did not         exit 10

Rule 4: if Python has a class for an error, ours is a subclass of it, so that `except FileNotFoundError` works. Inside unspool,
code that catches OSError or ValueError must first re-raise UnspoolError, because that has been mapped already.

    InvalidRequestError     ValueError
    NotFoundError           FileNotFoundError    errno ENOENT
    AccessError             PermissionError      errno EACCES
    UnreachableError        ConnectionError
    AlreadyExistsError      FileExistsError      errno EEXIST
    StalledError            TimeoutError         errno ETIMEDOUT
    LocalFileError          OSError              errno as the operating system said
    DestinationExistsError  FileExistsError      errno EEXIST
"""

from __future__ import annotations

import errno
from typing import ClassVar, Self


def _number(error: BaseException, number: int | None, name: str | None) -> None:
    """Set the attributes that only an OSError has."""
    if isinstance(error, OSError):
        error.errno = number
        error.filename = name


class UnspoolError(Exception):
    """Base class of all errors that unspool raises.

    Args:
        message: one plain line for a person.
        name: the file concerned, if the error concerns one.
        offset: the byte offset of the error, if it has one.
        retry_after: seconds that the server asked to wait before the next attempt (google.rpc.RetryInfo), if it did.

    An error that is also an OSError has `errno` (None if unknown) and `filename`, which equals `name`.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    reason: ClassVar[str] = "INTERNAL"
    _errno: ClassVar[int | None] = None

    def __init__(
        self, message: str, *, name: str | None = None, offset: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.name = name
        self.offset = offset
        self.retry_after = retry_after
        _number(self, self._errno, name)

    def __str__(self) -> str:
        return self.message  # OSError's own __str__ puts the errno first

    def __reduce__(self) -> tuple[object, ...]:
        state = dict(vars(self))
        if isinstance(self, OSError):  # these two are not in `__dict__`
            state.update(errno=self.errno, filename=self.filename)
        return type(self), self.args, state

    @property
    def message(self) -> str:
        """The one plain line."""
        return str(self.args[0])


class InvalidRequestError(UnspoolError, ValueError):
    """The request is invalid, whatever files the server has."""

    exit_code = 2
    reason = "INVALID_REQUEST"


class InvalidNameError(InvalidRequestError):
    """The name is not a relative, `/`-separated UTF-8 key."""

    reason = "INVALID_NAME"


class InvalidRangeError(InvalidRequestError):
    """A start or length is negative."""

    reason = "INVALID_RANGE"


class StartPastEndError(InvalidRequestError):
    """The start lies beyond the end of the file."""

    reason = "START_PAST_END"


class TooLargeError(InvalidRequestError):
    """The server takes no file of that size."""

    reason = "TOO_LARGE"


class UnsupportedError(UnspoolError):
    """The other side does not speak the protocol, or not this part of it."""

    exit_code = 2
    reason = "UNSUPPORTED"


class NotFoundError(UnspoolError, FileNotFoundError):
    """There is no such file."""

    exit_code = 3
    reason = "FILE_NOT_FOUND"
    _errno = errno.ENOENT


class NotAFileError(NotFoundError):
    """The name leads to a directory, socket, FIFO or device."""

    reason = "NOT_A_FILE"


class AccessError(UnspoolError, PermissionError):
    """The server does not let this caller have the file."""

    exit_code = 4
    reason = "ACCESS"
    _errno = errno.EACCES


class UnauthenticatedError(AccessError):
    """The server could not identify the caller."""

    reason = "UNAUTHENTICATED"


class TokenRefusedError(UnauthenticatedError):
    """The server refused the token, and the client has another one: it was asked for again, or read again from its file."""

    retryable = True
    reason = "TOKEN_REFUSED"


class PermissionDeniedError(AccessError):
    """The server identified the caller and refuses the request."""

    reason = "PERMISSION_DENIED"


class OutsideRootError(PermissionDeniedError):
    """The name leads through a symbolic link to a file outside the served directory."""

    reason = "OUTSIDE_ROOT"


class FileChangedError(UnspoolError):
    """The file is not at the pinned revision, or no longer at it (AIP-154: ABORTED)."""

    exit_code = 5
    reason = "FILE_CHANGED"


class FileKeepsChangingError(FileChangedError):
    """The file kept changing on the server during the download."""

    reason = "FILE_KEEPS_CHANGING"


class SourceChangedError(FileChangedError):
    """The local file changed while it was uploaded. Nothing was committed: the name has the file that was there before."""

    reason = "SOURCE_CHANGED"


class AlreadyExistsError(UnspoolError, FileExistsError):
    """The server has a file of that name, and it was to be written only if there was none."""

    exit_code = 5
    reason = "ALREADY_EXISTS"
    _errno = errno.EEXIST


class VerificationError(UnspoolError):
    """The bytes do not agree with what the server says about them."""

    exit_code = 6
    reason = "VERIFICATION"


class BlockCorruptError(VerificationError):
    """A block does not match its CRC32C. A retry from this byte may help."""

    retryable = True
    reason = "BLOCK_CORRUPT"


class FileMismatchError(VerificationError):
    """Every block was right, but the checksum of the whole file differs from the server's."""

    reason = "FILE_MISMATCH"


class DataLossError(VerificationError):
    """The store returned fewer or other bytes than it says it holds (AIP-194: shown at once, never retried)."""

    reason = "DATA_LOSS"


class ProtocolError(VerificationError):
    """The stream breaks the rules of PROTOCOL.md."""

    reason = "PROTOCOL"


class StartIgnoredError(ProtocolError):
    """The server, or a proxy, offers other bytes than those asked for."""

    reason = "START_IGNORED"


class SequenceError(ProtocolError):
    """A block does not begin where the previous one ended. A retry from the last good byte may help."""

    retryable = True
    reason = "SEQUENCE"


class TooMuchDataError(ProtocolError):
    """More bytes arrived than the header promised. A retry from the last good byte may help."""

    retryable = True
    reason = "TOO_MUCH_DATA"


class TransferError(UnspoolError):
    """The transfer broke. The bytes that arrived are kept; the same call again resumes from there."""

    exit_code = 7
    reason = "TRANSFER"


class UnreachableError(TransferError, ConnectionError):
    """The server does not answer, or the connection broke."""

    retryable = True
    reason = "UNAVAILABLE"


class ConnectError(UnreachableError):
    """No connection could be made: the host is unknown, nothing listens on the port, or the peer does not speak gRPC.

    The client raises it if the server has never answered (`RetryPolicy.connect_wait` says how long to keep trying). If a server
    that has answered before goes away, the client raises `UnreachableError`.
    """

    reason = "CONNECT"


class TlsError(ConnectError):
    """The two sides cannot agree on a secure connection: only one uses TLS, or the server's certificate is not acceptable.

    The message says which. Waiting does not help. (A server that wants a client certificate raises `UnauthenticatedError`.)
    """

    retryable = False
    reason = "TLS"


class TruncatedError(TransferError):
    """The stream ended without its summary."""

    retryable = True
    reason = "TRUNCATED"


class StalledError(TransferError, TimeoutError):
    """No message arrived within the idle timeout."""

    retryable = True
    reason = "STALLED"
    _errno = errno.ETIMEDOUT


class OverloadedError(TransferError):
    """The server is at a limit and asks the client to try again later.

    Attributes:
        limit: which one, at the server: a field of `LimitOptions`, `waiting` or `descriptors`. Clients are not told.
    """

    retryable = True
    reason = "OVERLOADED"
    limit = ""

    def at(self, limit: str) -> Self:
        """Return this error, with `limit` set."""
        self.limit = limit
        return self


class StreamAgeError(TransferError):
    """The server ended the stream because it reached the maximum age. The transfer goes on with another stream."""

    retryable = True
    reason = "STREAM_AGE"


class NoSpaceError(TransferError):
    """The server has no space for the file: its disk is full, or a quota is used up. What it has of the file is kept."""

    reason = "NO_SPACE"


class ServerError(TransferError):
    """The server failed unexpectedly; its log has the details."""

    retryable = True
    reason = "SERVER_ERROR"


class LocalFileError(UnspoolError, OSError):
    """The local file system refused: disk full, no permission, no such directory."""

    exit_code = 8
    reason = "LOCAL_FILE"


class DestinationExistsError(LocalFileError, FileExistsError):
    """The destination has a different file, which may not be replaced."""

    reason = "DESTINATION_EXISTS"
    _errno = errno.EEXIST


class BusyError(UnspoolError):
    """Another process is downloading to the same destination."""

    exit_code = 9
    reason = "BUSY"


class TakenOverError(BusyError):
    """Another process goes on with this upload."""

    reason = "TAKEN_OVER"


class IncompleteTreeError(UnspoolError):
    """Some of several files, or of the files of a tree, failed. The others are complete."""

    exit_code = 10
    reason = "INCOMPLETE_TREE"
