"""unspool put."""

from __future__ import annotations

import dataclasses
import io
import json as jsons
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Literal

import click

from unspool.cli.advice import with_flags
from unspool.cli.command import command
from unspool.cli.completion import complete_paths
from unspool.cli.filtering import filter_options
from unspool.cli.logoption import begin_log, log_option
from unspool.cli.output import in_short, printable
from unspool.cli.putcommand import STANDARD_INPUT, PutCommand, Source, placed
from unspool.cli.retryoptions import heartbeat_option, retry_options
from unspool.cli.security import security_options
from unspool.cli.transferoptions import idle_timeout_option, jobs_option, json_option, limit_rate_option
from unspool.options import Security, TransferOptions

if TYPE_CHECKING:
    from unspool.client.client import Client
    from unspool.client.writeresults import PutResult
    from unspool.core.filters import Filter
    from unspool.core.retry import RetryPolicy


@click.command(cls=PutCommand)
@click.argument("words", nargs=-1, metavar="FILE... URL", shell_complete=complete_paths)
@click.option("--recursive", "-r", is_flag=True, help="All files below the directory FILE, into the directory URL.")
@filter_options
@click.option("--checksum", is_flag=True, help="With -r: compare every file by checksum, even if size and time are the same.")
@jobs_option("With -r: batches and large files at the same time (default: 4).")
@click.option("--if-absent", is_flag=True, help="Only if the server has no file of that name.")
@click.option("--if-revision", metavar="REVISION", default=None, help="Only if the server has the file at this revision.")
@click.option("--dry-run", "-n", is_flag=True, help="Print what would be sent, and its size; send nothing.")
@idle_timeout_option
@limit_rate_option
@click.option("--resume/--no-resume", default=True, help="Go on with an interrupted upload (default), or begin again.")
@click.option("--times/--no-times", default=True, help="Give the file at the server the local modification time (default).")
@click.option("--executable/--no-executable", default=True, help="Give it the local executable bit (default).")
@click.option("--verbose", "-v", is_flag=True, help="With -r: name what is left out.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
@log_option
@json_option
@command
@security_options
@heartbeat_option
@retry_options
async def put(
    *,
    url: str,
    sources: list[str],
    recursive: bool,
    filters: list[Filter],
    checksum: bool,
    jobs: int | None,
    if_absent: bool,
    if_revision: str | None,
    dry_run: bool,
    retry: RetryPolicy,
    heartbeat_limit: float | None,
    security: Security,
    idle_timeout: float,
    limit_rate: int | None,
    resume: bool,
    times: bool,
    executable: bool,
    verbose: bool,
    quiet: bool,
    log_format: Literal["human", "json"] | None,
    json: bool,
) -> None:
    """Upload each FILE to URL; - is standard input. If URL ends in / or has no name, it is a directory.

    The server has the whole file, verified, or what was there before. Run it again after any interruption and it goes on from
    what the server has. A file that the server already has is not sent.

    With --recursive: all files below the directory FILE, under their names below it, into URL (HOST:PORT/PREFIX). Files that
    the server has with the same size and modification time are skipped. Nothing is removed at the server. If FILE is a file, it
    is uploaded as without --recursive.
    """
    from unspool.cli.statedir import usable_key_file  # noqa: PLC0415
    from unspool.client.client import Client  # noqa: PLC0415
    from unspool.core.address import parse_address  # noqa: PLC0415

    options = TransferOptions(
        retry=retry,
        heartbeat_limit=heartbeat_limit,
        idle_timeout=idle_timeout,
        resume=resume,
        jobs=jobs,
        times=times,
        executable=executable,
    )
    quiet = quiet or log_format is not None
    address = parse_address(url)
    recursive = recursive and not os.path.isfile(sources[0])  # noqa: PTH113, ASYNC240 - unlike Path.is_file, this raises nothing
    files = [] if recursive else placed(sources, url)
    key = None if dry_run or sources == [STANDARD_INPUT] or not resume else await usable_key_file(quiet=quiet)
    async with Client(
        address.target,
        options=options,
        limit_rate=limit_rate,
        upload_key=key,
        observers=begin_log(log_format),
        **security,
    ) as client:
        if recursive and dry_run:
            from unspool.cli.dryrun import Plan, plan_upload_tree  # noqa: PLC0415

            plan = Plan(quiet=quiet, json=json, verbose=verbose, verb="send", place="there")
            await plan_upload_tree(client, sources[0], address, filters, checksum=checksum, plan=plan)
        elif recursive:
            from unspool.cli.puttree import put_tree  # noqa: PLC0415

            upload = partial(client.put_tree, filters=filters, checksum=checksum, if_absent=if_absent)
            await put_tree(upload, sources[0], address, verbose=verbose, quiet=quiet, json=json)
        elif dry_run:
            from unspool.cli.dryrun import Plan, plan_uploads  # noqa: PLC0415

            await plan_uploads(client, files, Plan(quiet=quiet, json=json, verb="send", place="there"))
        else:
            await _put_all(client, files, if_absent=if_absent, if_revision=if_revision, quiet=quiet, json=json)


async def _put_all(
    client: Client, files: list[Source], *, if_absent: bool, if_revision: str | None, quiet: bool, json: bool
) -> None:
    """Upload one file after another. If one fails, the others are still uploaded, unless the server is gone."""
    from unspool.cli.failures import error_of_some  # noqa: PLC0415 - it loads the results of trees
    from unspool.cli.jsonresults import describe_error  # noqa: PLC0415
    from unspool.client.endings import ENDS_ALL  # noqa: PLC0415
    from unspool.errors import UnspoolError  # noqa: PLC0415

    failed: list[UnspoolError] = []
    for file in files:
        try:
            result = await _put(client, file, if_absent=if_absent, if_revision=if_revision, quiet=quiet or json)
        except UnspoolError as error:
            if len(files) == 1:
                raise
            if isinstance(error, ENDS_ALL):
                raise
            failed.append(error)
            click.echo(in_short(f"unspool: {with_flags(error.message)}"), err=True)
            if json:
                click.echo(jsons.dumps({"url": str(file.address)} | describe_error(error)))
        else:
            if json:
                click.echo(jsons.dumps(({"url": str(file.address)} if len(files) > 1 else {}) | dataclasses.asdict(result)))
            elif not quiet:
                from unspool.cli.units import say_put  # noqa: PLC0415

                click.echo(printable(say_put(result, str(file.address))), err=True)
    if failed:
        raise error_of_some(failed, len(files), "there")


async def _put(client: Client, file: Source, *, if_absent: bool, if_revision: str | None, quiet: bool) -> PutResult:
    from unspool.cli.progress import progress  # noqa: PLC0415
    from unspool.errors import LocalFileError  # noqa: PLC0415

    with progress(file.address.name, quiet=quiet, sending=True) as observer:
        if file.path != STANDARD_INPUT:
            return await client.put(
                file.path, file.address.name, if_absent=if_absent, if_revision=if_revision, observers=[observer]
            )
        if sys.stdin is None:
            raise LocalFileError("standard input: is closed; nothing can be read from it")
        with io.FileIO(sys.stdin.fileno(), closefd=False) as reader:
            return await client.put(
                reader, file.address.name, if_absent=if_absent, if_revision=if_revision, observers=[observer]
            )
