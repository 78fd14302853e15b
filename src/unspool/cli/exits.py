"""The table of exit codes. Each error class (unspool.errors) has its own code; tests compare the two."""

from __future__ import annotations

DONE = 0
BUG = 1
HUNG_UP = 129
INTERRUPTED = 130
NOBODY_READS = 141
TERMINATED = 143

EXIT_CODES: dict[int, str] = {
    DONE: "done, or already complete",
    BUG: "a bug in unspool",
    2: "usage: the command, a name or a range makes no sense, or the server does not speak this",
    3: "not found",
    4: "unauthenticated or permission denied",
    5: "the file changed: with --on-change fail, or again and again; or the condition of put or rm is not met",
    6: "verification failed",
    7: "unreachable, stalled or cut, and the retry budget is spent; or the server has no space; progress is kept",
    8: "local file error: disk full, no permission, exists",
    9: "another process holds this download, or goes on with this upload",
    10: "some of several files failed, each in a line of its own; the others are done",
    HUNG_UP: "hung up (SIGHUP); progress is kept",
    INTERRUPTED: "interrupted (SIGINT); progress is kept",
    NOBODY_READS: "the reader of standard output closed it (as shells report SIGPIPE)",
    TERMINATED: "terminated (SIGTERM); progress is kept",
}
