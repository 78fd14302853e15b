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
    """Add the options for TLS and for the token to a command, which gets them as `security`, a Security."""

    @click.option(
        "--token-file",
        metavar="FILE",
        default=None,
        shell_complete=complete_paths,
        help="The file with the token to show (default: the one in the environment variable UNSPOOL_TOKEN).",
    )
    @click.option(
        "--token-in-clear", is_flag=True, help="Send the token even in clear to another machine, where others can read it."
    )
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
    async def body(
        *,
        tls: bool,
        ca: str | None,
        cert: str | None,
        key: str | None,
        token_file: str | None,
        token_in_clear: bool,
        **arguments: Any,
    ) -> None:
        from unspool.cli.credentials import token_of  # noqa: PLC0415

        token = token_of(token_file)
        security = Security(tls=tls, ca=ca, cert=cert, key=key, token=token, token_in_clear=token_in_clear)
        await work(security=security, **arguments)

    return body


def server_security_options(work: F) -> F:
    """Add `--cert`, `--key`, `--client-ca` and `--insecure` to `serve`, which gets them under these names."""
    for option in (
        click.option(
            "--insecure",
            is_flag=True,
            help="Allow an address that other machines reach to be served in clear, and tokens there.",
        ),
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
