"""`unspool serve --config FILE`: the options of a command in a TOML file.

Each key is the long name of an option without its dashes, or the name of an argument. The command line and the environment
override the file (click's `default_map`).

Rule 1: an error names the line.
Rule 2: a value has the type that it has in TOML: `8` is a number, `"8"` is not.
"""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from unspool.cli.completion import complete_paths
from unspool.cli.output import printable
from unspool.cli.sizes import Size
from unspool.core.oserrors import local_file_error, reason_of
from unspool.errors import InvalidRequestError, UnspoolError

_PLACES = "unspool.places"
"""Where a context keeps the line of each parameter that the file sets."""

_LARGEST = 1 << 20
"""Bytes. A file with every option takes a few KiB."""


class _FailedError(click.ClickException):
    """An error in the file, in one line and with the exit code of its kind."""

    def __init__(self, error: UnspoolError) -> None:
        super().__init__(printable(error.message))
        self.exit_code = error.exit_code  # type: ignore[misc]  # click's is of the class


def _read(ctx: click.Context, _: click.Parameter, path: str | None) -> str | None:
    if path is not None and not ctx.resilient_parsing:
        try:
            _Reader(ctx, path).read()
        except UnspoolError as error:
            raise _FailedError(error) from None
    return path


config_option = click.option(
    "--config",
    metavar="FILE",
    default=None,
    is_eager=True,  # before the parameters that it sets
    expose_value=False,
    callback=_read,
    shell_complete=complete_paths,
    help="Read options from a TOML file; the command line and UNSPOOL_... in the environment override it.",
)


def places_of(ctx: click.Context) -> dict[str, str]:
    """Return the file and the line of each parameter whose value comes from the file."""
    lines: dict[str, str] = ctx.meta.get(_PLACES, {})
    return {name: line for name, line in lines.items() if ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP}


class _Reader:
    """Reads the parameters of one command from one file."""

    def __init__(self, ctx: click.Context, path: str) -> None:
        self._ctx = ctx
        self._path = path
        self._known = {_key(one): one for one in ctx.command.params if one.name not in (None, "config", "check_config")}

    def read(self) -> None:
        from unspool.core.tomlfile import TomlFile  # noqa: PLC0415 - few commands read such a file

        file = TomlFile(self._text(), self._path)
        values: dict[str, object] = {}
        places: dict[str, str] = {}
        for key, given in file.document().items():
            line = file.line_of(key)
            parameter = self._known.get(key)
            if parameter is None or parameter.name is None:
                raise file.error(line, self._unknown(key))
            try:
                value = _typed(parameter, given)
                parameter.type_cast_value(self._ctx, value)
            except click.BadParameter as error:
                said = error.message.rstrip(".")
                raise file.error(line, f"{key}: {said[:1].lower()}{said[1:]}") from None
            values[parameter.name] = value
            places[parameter.name] = f"{self._path}: line {line}"
        self._ctx.default_map = values
        self._ctx.meta[_PLACES] = places

    def _text(self) -> str:
        try:
            with Path(self._path).open("rb") as opened:
                data = opened.read(_LARGEST + 1)
        except OSError as error:
            raise local_file_error(f"{self._path}: {reason_of(error)}", error) from error
        if len(data) > _LARGEST:
            raise InvalidRequestError(f"{self._path}: is too large for a configuration")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise InvalidRequestError(f"{self._path}: line {line}: not UTF-8") from None

    def _unknown(self, key: str) -> str:
        from difflib import get_close_matches  # noqa: PLC0415 - only for this error

        near = get_close_matches(key.replace("_", "-"), self._known, 1)
        return f"{key!r} is no option of {self._ctx.info_name}" + (f"; did you mean {near[0]}?" if near else "")


def _key(parameter: click.Parameter) -> str:
    """Return the key of a parameter: its first long option without dashes, or the name of the argument."""
    long = [option for option in parameter.opts if option.startswith("--")]
    return long[0].removeprefix("--") if long else str(parameter.name)


def _typed(parameter: click.Parameter, given: object) -> object:
    """Return the value for a parameter, if it has the type that the parameter takes. Raises BadParameter otherwise."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        if not isinstance(given, bool):
            raise click.BadParameter("write true or false")
        return given
    if parameter.multiple:
        several = [given] if isinstance(given, str) else given
        if not isinstance(several, list) or not several or not all(_is_text(one) for one in several):
            raise click.BadParameter("write a string, or a list of strings")
        return several
    if isinstance(parameter.type, Size):
        if isinstance(given, bool) or not isinstance(given, (int, str)):
            raise click.BadParameter('write a number of bytes, or a string with a unit, as "64K"')
        return str(given)
    if isinstance(parameter.type, (click.IntRange, click.FloatRange)):
        whole = isinstance(parameter.type, click.IntRange)
        if isinstance(given, bool) or not isinstance(given, int if whole else (int, float)):
            raise click.BadParameter(f"write a {'whole ' if whole else ''}number, without quotes")
        return given
    if not _is_text(given):
        raise click.BadParameter("write a string, in quotes")
    return given


def _is_text(given: object) -> bool:
    """Whether a value is a string that the system takes as a path."""
    return isinstance(given, str) and "\0" not in given
