"""The options for TLS: of every command that contacts a server, and of `serve`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from unspool.cli.completion import complete_paths
from unspool.options import Security

F = TypeVar("F", bound=Callable[..., Any])


def security_options(work: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """Add `--tls`, `--ca`, `--cert` and `--key` to a command, which gets them as `security`, a Security."""

    @click.option("--tls", is_flag=True, help="Connect over TLS, as a URL that begins with unspools:// does.")
    @click.option(
        "--ca",
        metavar="FILE",
        default=None,
        shell_complete=complete_paths,
        help="The authorities that may sign the server's certificate (PEM; default: those that gRPC ships with).",
    )
    @click.option(
        "--cert", metavar="FILE", default=None, shell_complete=complete_paths, help="The certificate of this client (PEM)."
    )
    @click.option(
        "--key",
        metavar="FILE",
        default=None,
        shell_complete=complete_paths,
        help="Its private key (PEM, without a passphrase; default: in the file of --cert).",
    )
    @functools.wraps(work)
    async def body(*, tls: bool, ca: str | None, cert: str | None, key: str | None, **arguments: Any) -> None:
        await work(security=Security(tls=tls, ca=ca, cert=cert, key=key), **arguments)

    return body


def server_security_options(work: F) -> F:
    """Add `--cert`, `--key`, `--client-ca` and `--insecure` to `serve`, which gets them under these names."""
    for option in (
        click.option("--insecure", is_flag=True, help="Allow an address that other machines reach to be served in clear."),
        click.option(
            "--client-ca",
            metavar="FILE",
            default=None,
            shell_complete=complete_paths,
            help="Ask clients for certificates that these authorities signed (PEM).",
        ),
        click.option(
            "--key",
            metavar="FILE",
            default=None,
            shell_complete=complete_paths,
            help="Its private key (PEM, without a passphrase; default: in the file of --cert).",
        ),
        click.option(
            "--cert",
            metavar="FILE",
            default=None,
            shell_complete=complete_paths,
            help="Serve over TLS with this certificate (PEM, with intermediate ones). Read again when it changes.",
        ),
    ):
        work = option(work)
    return work
