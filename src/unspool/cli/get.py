"""unspool get."""

from __future__ import annotations

import dataclasses
import sys
from functools import partial
from typing import TYPE_CHECKING, Literal

import click

from unspool.cli.command import command
from unspool.cli.completion import complete_directories, complete_paths
from unspool.cli.filtering import filter_options
from unspool.cli.getcommand import GetCommand
from unspool.cli.logoption import begin_log, log_option
from unspool.cli.mixedservers import mixed_servers
from unspool.cli.output import binary_output, printable
from unspool.cli.retryoptions import heartbeat_option, retry_options
from unspool.cli.security import security_options
from unspool.cli.targets import targets
from unspool.cli.transferoptions import dialect_option, idle_timeout_option, jobs_option, json_option, limit_rate_option
from unspool.options import OnChange, Security, TransferOptions

if TYPE_CHECKING:
    from unspool.client.client import Client
    from unspool.core.address import Address
    from unspool.core.filters import Filter
    from unspool.core.retry import RetryPolicy

_DEFAULTS = TransferOptions()


@click.command(cls=GetCommand)
@click.argument("words", nargs=-1, metavar="URL... [DEST]", shell_complete=complete_paths)
@click.option(
    "--input-file",
    "-i",
    "listed",
    metavar="FILE",
    default=None,
    shell_complete=complete_paths,
    help="A file with more URLs, one a line; - is standard input.",
)
@click.option("--recursive", "-r", is_flag=True, help="All files below URL, into the directory DEST.")
@filter_options
@click.option(
    "--record",
    metavar="DIRECTORY",
    default=None,
    shell_complete=complete_directories,
    help="With -r: keep the record in DIRECTORY (default: in DEST).",
)
@click.option("--no-record", is_flag=True, help="With -r: keep no record; compare the files in DEST.")
@click.option("--checksum", is_flag=True, help="With -r: compare every file in DEST, even if the record vouches for it.")
@click.option("--dry-run", "-n", is_flag=True, help="Print what would be fetched, and its size; write nothing.")
@jobs_option("Streams at the same time, each on its own connection (default: as many as make it faster).")
@idle_timeout_option
@limit_rate_option
@click.option(
    "--on-change",
    type=click.Choice(["restart", "fail"]),
    default=_DEFAULTS.on_change,
    show_default=True,
    help="What to do when the file changed on the server.",
)
@click.option("--resume/--no-resume", default=True, help="Resume an interrupted download (default), or begin again.")
@click.option(
    "--overwrite/--no-overwrite", default=True, help="Whether a different file at DEST may be replaced (default: yes)."
)
@click.option(
    "--times/--no-times", default=True, help="Keep the server's modification time (default), or the time of download."
)
@click.option("--executable/--no-executable", default=True, help="Keep the server's executable bit (default: yes).")
@dialect_option
@click.option("--verbose", "-v", is_flag=True, help="With -r: name what the server leaves out.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
@log_option
@json_option
@command
@security_options
@heartbeat_option
@retry_options
async def get(
    *,
    url: str | None,
    urls: list[str],
    dest: str | None,
    listed: str | None,
    recursive: bool,
    filters: list[Filter],
    record: str | None,
    no_record: bool,
    checksum: bool,
    dry_run: bool,
    jobs: int | None,
    retry: RetryPolicy,
    heartbeat_limit: float | None,
    security: Security,
    idle_timeout: float,
    limit_rate: int | None,
    on_change: OnChange,
    resume: bool,
    overwrite: bool,
    times: bool,
    executable: bool,
    dialect: str,
    verbose: bool,
    quiet: bool,
    log_format: Literal["human", "json"] | None,
    json: bool,
) -> None:
    """Download URL to DEST: a file, a directory, or - for standard output. Without DEST: the name's last part, here.

    Several URLs, of one server or of several, go into the directory DEST, or here without it.

    With --recursive: all files below URL (HOST:PORT/PREFIX), into the directory DEST; those already complete are skipped. If
    URL is a file, it is downloaded as without --recursive.

    Run it again after any interruption and it goes on from the last good byte.
    """
    from unspool.client.client import Client  # noqa: PLC0415
    from unspool.client.ratelimit import RateLimit  # noqa: PLC0415
    from unspool.core.address import parse_address  # noqa: PLC0415

    if dry_run:
        from unspool.cli.dryrun import Plan, plan_file, plan_files, plan_tree  # noqa: PLC0415
    options = TransferOptions(
        retry=retry,
        heartbeat_limit=heartbeat_limit,
        idle_timeout=idle_timeout,
        on_change=on_change,
        resume=resume,
        overwrite=overwrite,
        jobs=jobs,
        times=times,
        executable=executable,
    )
    quiet = quiet or log_format is not None
    with mixed_servers(quiet=quiet or json) as mixed:
        connect = partial(
            Client,
            dialect=dialect,  # type: ignore[arg-type]  # click checked
            options=options,
            limit_rate=None if limit_rate is None else RateLimit(limit_rate),
            **security,
            observers=(mixed, *begin_log(log_format)),
        )
        if url is None:
            from unspool.cli.getseveral import get_several  # noqa: PLC0415

            wanted = targets(urls, listed, dest)
            if dry_run:
                await plan_files(wanted, connect, Plan(quiet=quiet, json=json))
            else:
                await get_several(wanted, dest or ".", connect, options, quiet=quiet, json=json)
            return
        address = parse_address(url)
        if not recursive and (not address.name or address.name.endswith("/")):
            if not address.name:
                raise click.UsageError(
                    f"{url} names a server and no file: write {address}NAME, or use -r to get all its files."
                )
            raise click.UsageError(f"{url} names a directory: use -r to get the files below it.")
        async with connect(address.target) as client:
            if recursive and not await _is_file(client, address.name):
                from unspool.cli.gettree import directory_for, get_tree  # noqa: PLC0415

                directory = directory_for(address.name, dest)
                kept = record or not no_record
                if dry_run:
                    plan = Plan(quiet=quiet, json=json, verbose=verbose)
                    await plan_tree(client, address, directory, filters, record=kept, checksum=checksum, plan=plan)
                else:
                    fetch = partial(client.get_tree, filters=filters, record=kept, checksum=checksum)
                    await get_tree(fetch, address, directory, verbose=verbose, quiet=quiet, json=json)
            elif dry_run:
                await plan_file(client, address, dest, Plan(quiet=quiet, json=json))
            else:
                await _get_file(client, address, dest, quiet=quiet, json=json)


async def _get_file(client: Client, address: Address, dest: str | None, *, quiet: bool, json: bool) -> None:
    from unspool.cli.progress import progress  # noqa: PLC0415

    destination = binary_output() if dest == "-" else dest or "."
    # Data and progress would mix on a terminal that shows both.
    mixed = dest == "-" and sys.stdout.isatty()
    with progress(address.name, quiet=quiet or json or mixed) as observer:
        result = await client.get(address.name, destination, observers=[observer])
    if dest == "-":
        binary_output().flush()
    if json:
        import json as jsons  # noqa: PLC0415 - see below

        click.echo(jsons.dumps(dataclasses.asdict(result)), err=dest == "-")
    elif not quiet:
        from unspool.cli.units import say_result  # noqa: PLC0415

        click.echo(printable(say_result(result)), err=True)


async def _is_file(client: Client, name: str) -> bool:
    """Return whether the URL of `-r` is a file, which is then downloaded as without `-r`."""
    from unspool.errors import NotFoundError, UnsupportedError  # noqa: PLC0415

    if not name or name.endswith("/"):
        return False
    try:
        await client.stat(name)
    except (NotFoundError, UnsupportedError):
        return False  # a directory, or a name that does not exist: then the listing fails
    return True
