"""Runs commands of unspool in processes that are forked from one that has imported everything already.

Half of a command's processor time is importing, and the tests run thousands of them. A forked command is a process of its
own, with its own descriptors, directory, signals and exit code. What happens before the first line of `main` is tested
elsewhere, with processes that are started anew.

The program is started as `forkserver.py DESCRIPTOR`, with a socket on which each message is a request: the arguments as JSON,
with three descriptors: standard output, standard error, and a socket for the answers. The answers are the process id, and
later the status as `waitpid` returns it. When the socket is closed, the program ends.
"""

import importlib
import json
import os
import pkgutil
import random
import selectors
import signal
import socket
import sys

import unspool

_LARGEST = 1 << 20

_LEFT_OUT = ("unspool.__main__", "unspool.filesystem", "unspool.testing", "unspool.watch")
"""Packages that no command needs at its start, or that need what is not everywhere."""

_BUCKETS = ("object", "bucket", "s3", "azure", "obspec")
"""Parts of the names of modules that need the extra `objects` or `azure`."""


def import_all() -> None:
    """Import what commands import."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # as commands do before they import gRPC
    for module in pkgutil.walk_packages(unspool.__path__, "unspool."):
        if not module.name.startswith(_LEFT_OUT) and not any(part in module.name for part in _BUCKETS):
            importlib.import_module(module.name)
    for name in ("grpc.aio", "uvloop"):
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name)


def serve(requests: socket.socket) -> list[str] | None:
    """Answer requests. Returns the arguments in each forked process, and None in this one at the end."""
    answers: dict[int, socket.socket] = {}
    ended, ending = os.pipe()
    os.set_blocking(ending, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ending, warn_on_full_buffer=False)
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is requests:
                    data, descriptors, _, _ = socket.recv_fds(requests, _LARGEST, 3)
                    if not data:
                        return None
                    pid = os.fork()
                    if not pid:
                        signal.set_wakeup_fd(-1)
                        for descriptor in (ended, ending, requests.fileno(), descriptors[2]):
                            os.close(descriptor)
                        for answer in answers.values():
                            answer.close()
                        return _become(json.loads(data), descriptors[0], descriptors[1])
                    os.close(descriptors[0])
                    os.close(descriptors[1])
                    answers[pid] = socket.socket(fileno=descriptors[2])
                    answers[pid].send(str(pid).encode())
                else:
                    os.read(ended, _LARGEST)
                    _reap(answers)


def _reap(answers: dict[int, socket.socket]) -> None:
    """Tell the status of the processes that have ended."""
    while answers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with answers.pop(pid) as answer:
            try:
                answer.send(str(status).encode())
            except OSError:
                continue  # the test has given up


def _become(told: dict[str, object], out: int, err: int) -> list[str]:
    """Make this process what a command that was started anew would be."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which the suite may have been started without, by nohup
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    random.seed()
    os.chdir(str(told["directory"]))
    os.umask(int(str(told["umask"])))
    arguments = told["arguments"]
    assert isinstance(arguments, list)
    return arguments


if __name__ == "__main__":
    import_all()
    found = serve(socket.socket(fileno=int(sys.argv[1])))
    if found is not None:
        from unspool.__main__ import main

        sys.argv = ["unspool", *found]
        main()
