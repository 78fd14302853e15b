"""The program as a whole. Errors before a command runs take one line, like all other errors."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from unspool.cli.complaints import lose_what_cannot_be_written
from unspool.cli.exits import INTERRUPTED
from unspool.cli.output import end_quietly
from unspool.core.oserrors import reason_of
from unspool.errors import LocalFileError

COMMANDS = (
    *("access", "cat", "completion", "conformance", "demo", "get", "ls"),
    *("put", "rm", "serve", "stat", "token", "top", "verify"),
)
"""The commands. Each is in the module of its name in `unspool.cli`."""


class Program(click.Group):
    """A group of commands that reports a usage error in one line with a hint. click itself prints four lines.

    A command's module is imported when the command is needed: those of the others take 50 ms.
    """

    def list_commands(self, ctx: click.Context | None) -> list[str]:  # noqa: ARG002 - see click
        """See click."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context | None, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - see click
        """See click."""
        if cmd_name not in COMMANDS:
            return None
        found = getattr(import_module(f"unspool.cli.{cmd_name}"), cmd_name)
        assert isinstance(found, click.Command)
        return found

    @property
    def every_command(self) -> dict[str, click.Command]:
        """All commands by their names."""
        found = {name: self.get_command(None, name) for name in COMMANDS}
        return {name: command for name, command in found.items() if command is not None}

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> Any:  # type: ignore[override]
        """Run a command and exit with its code; with `standalone_mode=False` click's own ways apply."""
        if not extra.get("standalone_mode", True):
            return super().main(args, prog_name or "unspool", **extra)
        lose_what_cannot_be_written()
        with leaving():
            try:
                self._main(args, prog_name, extra)
            except BrokenPipeError:
                end_quietly()

    def make_context(self, *arguments: Any, **extra: Any) -> click.Context:
        """See click, which would make exit code 1 of a BrokenPipeError."""
        try:
            return super().make_context(*arguments, **extra)
        except BrokenPipeError:
            end_quietly()

    def invoke(self, ctx: click.Context) -> Any:
        """See click, and `make_context`."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            end_quietly()

    def _main(self, args: Sequence[str] | None, prog_name: str | None, extra: dict[str, Any]) -> NoReturn:
        try:
            code = super().main(args, prog_name or "unspool", **{**extra, "standalone_mode": False})
        except click.UsageError as error:
            click.echo(_usage(error), err=True)
            sys.exit(error.exit_code)
        except click.ClickException as error:
            click.echo(f"unspool: {error.format_message()}", err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(INTERRUPTED)
        except OSError as error:  # from `--help` or `--version`: a command reports its own errors
            sys.stdout = None  # otherwise Python reports the error again when it flushes at exit
            click.echo(f"unspool: standard output: {reason_of(error)}", err=True)
            sys.exit(LocalFileError.exit_code)
        sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def leaving() -> Iterator[None]:
    """End the process at once when the `with` exits it.

    The interpreter would free every module and object first: a seventh of the processor time of a small `get` (measured). mypy
    does the same as we. And obstore's threads may abort it meanwhile (SIGABRT; PyO3/pyo3-async-runtimes#40).
    """
    try:
        yield
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        atexit._run_exitfuncs()  # as the interpreter would
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()
            except OSError:
                code = code or LocalFileError.exit_code
        os._exit(code)


def _usage(error: click.UsageError) -> str:
    if type(error).__name__ == "NoArgsIsHelpError":  # new in click 8.2; its message is the help
        return error.format_message()
    command = error.ctx.command_path if error.ctx is not None else "unspool"
    if isinstance(error, click.BadParameter) and error.ctx is not None and error.param is not None:
        name, prefix = error.param.name or "", error.ctx.auto_envvar_prefix
        if prefix is not None and error.ctx.get_parameter_source(name) is ParameterSource.ENVIRONMENT:
            error.param_hint = f"{prefix}_{name.upper()}"
    message = error.format_message().rstrip(".")
    see = " See" if message.endswith("?") else "; see"
    return f"{command}: {message[:1].lower()}{message[1:]}{see} `{command} --help`"
