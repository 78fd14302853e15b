"""unspool serve."""

from __future__ import annotations

from typing import Any

import click

from unspool.cli.command import command
from unspool.cli.completion import complete_directories, complete_paths
from unspool.cli.config import config_option, places_of
from unspool.cli.numbers import Number
from unspool.cli.security import server_security_options
from unspool.cli.serveaccess import access_options
from unspool.cli.servewriting import write_options
from unspool.cli.sizes import Size, write_size
from unspool.options import ServerOptions

_DEFAULTS = ServerOptions()


@click.command(context_settings={"auto_envvar_prefix": "UNSPOOL"})
@click.argument("root", required=False, envvar="UNSPOOL_ROOT", shell_complete=complete_directories)
@config_option
@click.option("--check-config", is_flag=True, allow_from_autoenv=False, help="Check all settings and files, and do not serve.")
@click.option(
    "--listen",
    multiple=True,
    default=("127.0.0.1:50051",),
    show_default=True,
    help="HOST:PORT, PORT for all interfaces, or unix:PATH; port 0 picks a free one. tls:, mtls: or plain: before it says what "
    "secures it. May be given several times.",
)
@server_security_options
@access_options
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes that share the port; the limits in all are divided among them.",
)
@click.option(
    "--grace",
    type=Number(0),
    default=_DEFAULTS.grace,
    show_default=True,
    help="Seconds that running streams may take to finish when the server drains.",
)
@click.option(
    "--block-size",
    type=Size(1, _DEFAULTS.service.largest_block),
    default=write_size(_DEFAULTS.service.block_size),
    show_default=True,
    help="Bytes per block, unless the client asks otherwise.",
)
@click.option(
    "--max-block-size",
    type=Size(1, 3 << 20),
    default=write_size(_DEFAULTS.service.largest_block),
    show_default=True,
    help="Most bytes per block that a client may ask for.",
)
@click.option(
    "--max-page-size",
    type=click.IntRange(1, 10_000),
    default=_DEFAULTS.service.largest_page,
    show_default=True,
    help="Most entries per page of a listing that a client may ask for.",
)
@click.option(
    "--max-streams",
    type=click.IntRange(1),
    default=_DEFAULTS.limits.streams,
    show_default=True,
    help="Streams running at the same time, in all.",
)
@click.option(
    "--max-streams-per-peer",
    type=click.IntRange(1),
    default=_DEFAULTS.limits.streams_per_peer,
    show_default=True,
    help="Streams running at the same time for one peer: a principal, or else an address.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1),
    default=_DEFAULTS.limits.connections,
    show_default=True,
    help="Connections that have streams running.",
)
@click.option(
    "--max-open-connections",
    type=click.IntRange(1),
    default=None,
    help="Connections in all, idle ones included (default: what `ulimit -n` allows).",
)
@click.option(
    "--max-requests",
    type=Number(0, min_open=True),
    default=_DEFAULTS.limits.requests,
    show_default=True,
    help="Requests per second from one peer.",
)
@click.option(
    "--max-stream-age",
    type=Number(0, min_open=True),
    default=None,
    help="Seconds after which a stream is ended between two blocks; its client goes on with another (default: never).",
)
@click.option(
    "--max-stream-bandwidth",
    type=Size(1),
    default=None,
    help="Bytes per second of one stream (default: no limit).",
)
@click.option(
    "--max-bandwidth-per-peer",
    type=Size(1),
    default=None,
    help="Bytes per second of all streams of one peer, in each process (default: no limit).",
)
@click.option("--max-bandwidth", type=Size(1), default=None, help="Bytes per second in all (default: no limit).")
@click.option(
    "--checksums",
    metavar="FILE",
    default=None,
    shell_complete=complete_paths,
    help="Keep learned checksums in FILE, for the next start (default: in memory only).",
)
@click.option(
    "--revision",
    type=click.Choice(["stat", "content"]),
    default="stat",
    show_default=True,
    help="What revisions are made of: inode, size and times; or the SHA-256, the same for copies on other machines.",
)
@write_options
@click.option("--hidden", is_flag=True, help="Serve dotfiles too: files and directories whose names begin with a dot.")
@click.option("--demo/--no-demo", default=True, help="Also answer the tutorial's demo.Files (default: yes).")
@click.option("--bytestream/--no-bytestream", default=False, help="Also speak google.bytestream.ByteStream (default: no).")
@click.option("--admin", is_flag=True, help="Also answer `unspool top`, to callers that have the right `watch`.")
@click.option("--metrics", metavar="HOST:PORT", default=None, help="Show metrics to Prometheus there; PORT is on 127.0.0.1.")
@click.option("--log-format", type=click.Choice(["human", "json"]), default="human", show_default=True, help="Of the log.")
@click.option("--quiet", "-q", is_flag=True, help="Log warnings and errors only.")
@command
async def serve(*, root: str | None, check_config: bool, **parameters: Any) -> None:
    """Serve the files below ROOT: a directory, or a bucket as s3://BUCKET/PREFIX, gs://... or az://....

    Prints one line with the address when it is ready. Logs a line for each call to standard error when the call ends.

    SIGTERM or SIGINT (Ctrl-C) drains: the server accepts no new streams, running streams may finish within the grace time, and
    then the server ends them and asks their clients to come back. A second signal ends the server at once. SIGHUP reads tokens,
    rules and certificates again; without any, it drains the server, too.

    Options may also be in a file (--config FILE), and in the environment: --max-streams is UNSPOOL_MAX_STREAMS there. The
    command line overrides the environment, which overrides the file.
    """
    from unspool.cli.serving import serve_alone, serve_by_workers  # noqa: PLC0415
    from unspool.cli.settings import Settings  # noqa: PLC0415

    context = click.get_current_context()
    if root is None:
        raise click.UsageError("Missing argument 'ROOT'.")
    settings = Settings(root=root, places=places_of(context), **parameters)
    if check_config:
        await settings.check()
        click.echo("unspool: the configuration has no error")
    elif settings.workers == 1:
        await serve_alone(settings)
    else:
        await serve_by_workers(settings, debug=context.params["debug"])
