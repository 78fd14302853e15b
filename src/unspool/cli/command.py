"""How every command runs: its signals, and its errors as one plain line and an exit code."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import click

from unspool.cli.advice import advice
from unspool.cli.exits import BUG, HUNG_UP, INTERRUPTED, TERMINATED
from unspool.cli.output import ClosedOutput, end_quietly, in_short, is_output_open, printable
from unspool.core.oserrors import reason_of
from unspool.core.value import value
from unspool.errors import IncompleteTreeError, LocalFileError, UnspoolError

F = TypeVar("F", bound=Callable[..., Any])

_ENDED = {signal.SIGTERM: ("terminated", TERMINATED), signal.SIGHUP: ("hung up", HUNG_UP)}
"""The word and the exit code for each signal that ends a command."""


def command(work: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a coroutine function the body of a command: run it, and turn its errors into a line and an exit code.

    Adds the option `--debug`, which also shows the traceback and gRPC's own log.
    """

    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(work)
    def body(*, debug: bool, **arguments: Any) -> None:
        import asyncio  # noqa: PLC0415 - it is not needed to print the help

        from unspool.cli.descriptors import fill_standard, raise_limit  # noqa: PLC0415
        from unspool.loops import keep_freed_memory, run  # noqa: PLC0415

        url = arguments.get("url")
        fail = _Failing(debug=debug, json=arguments.get("json", False), elsewhere=arguments.get("dest") == "-")
        if not debug:
            # gRPC logs errors that unspool reports too, in one line.
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        ended_by: list[signal.Signals] = []
        try:
            fill_standard()
            if sys.stdout is None:
                sys.stdout = ClosedOutput()
            raise_limit()
            keep_freed_memory()
            gc.freeze()  # what is imported stays: collections need not look at it (30,000 objects of 52,000 for a `get`)
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there is progress to keep
            run(_ended_by_signals(functools.partial(work, **arguments), ended_by))
        except UnspoolError as error:
            if isinstance(error.__cause__, BrokenPipeError):
                end_quietly()
            name = f"{work.__name__} -" if _takes_standard_input(arguments) else work.__name__
            fail(advice(error, url, command=name), error.exit_code, error.reason)
        except KeyboardInterrupt:
            fail(_interrupted(arguments, "interrupted"), INTERRUPTED, "INTERRUPTED")
        except asyncio.CancelledError:
            if not ended_by:
                raise
            said, code = _ENDED[ended_by[0]]
            fail(_interrupted(arguments, said), code, "INTERRUPTED")
        except BrokenPipeError:
            end_quietly()
        except OSError as error:
            # Only writing to our own output raises this: all other errors of the system have become errors of unspool.
            sys.stdout = None
            said = f"standard output: {reason_of(error)}"
            fail(said, LocalFileError.exit_code, LocalFileError.reason)
        except click.ClickException:
            raise
        except Exception as error:  # noqa: BLE001 - any other error is a bug, and is reported as one
            fail(in_short(f"internal error, please report it: {type(error).__name__}: {error}"), BUG, UnspoolError.reason)

    return body


async def _ended_by_signals(work: Callable[[], Coroutine[Any, Any, None]], ended_by: list[signal.Signals]) -> None:
    """Run the command. SIGTERM and SIGHUP cancel it as Ctrl-C does, and are added to `ended_by`."""
    import asyncio  # noqa: PLC0415 - as above

    from unspool.cli import signals  # noqa: PLC0415

    task = asyncio.current_task()
    assert task is not None

    def end(number: signal.Signals) -> None:
        ended_by.append(number)
        task.cancel()

    signals.on(*_ENDED, call=end)
    await work()


def _takes_standard_input(arguments: dict[str, Any]) -> bool:
    return arguments.get("sources") == ["-"]


def _interrupted(arguments: dict[str, Any], how: str) -> str:
    if "url" not in arguments:
        return how
    url = arguments["url"]  # None if there are several
    if _takes_standard_input(arguments):  # nobody can go on with it
        return f"{url}: {how}"
    return f"{url}: {how}; run the same command again" if url else f"{how}; run the same command again"


@value
class _Failing:
    """Reports the failure of a command, and exits.

    Attributes:
        debug: show the traceback first.
        json: also print an object about the failure.
        elsewhere: print it to standard error, because standard output receives a file.
    """

    debug: bool
    json: bool
    elsewhere: bool

    def __call__(self, message: str, code: int, reason: str) -> NoReturn:
        if self.debug:
            import traceback  # noqa: PLC0415

            for text in traceback.format_exc().splitlines():
                click.echo(in_short(text), err=True)
        click.echo(f"unspool: {printable(message)}", err=True)
        # The JSON result of a tree already contains its failures.
        if self.json and reason != IncompleteTreeError.reason and is_output_open():
            import json  # noqa: PLC0415

            click.echo(json.dumps({"error": message, "reason": reason, "exit_code": code}), err=self.elsewhere)
        sys.exit(code)
