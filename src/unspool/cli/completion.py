"""unspool completion.

click does the completion: the shell's script calls `unspool` with the words typed so far in the environment, and click answers
before any command runs. So completion loads no more modules than `--help`, and contacts no server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from unspool.cli.command import command

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMPLETE = "_UNSPOOL_COMPLETE"
"""The variable that asks for completion. click makes it from the program's name."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="SHELL")
@command
async def completion(*, shell: str) -> None:
    """Print a script that teaches SHELL to complete commands, options and local files.

    \b
    For this shell, or in its start-up file for all of them:
      bash  source <(unspool completion bash)
      zsh   source <(unspool completion zsh)    after compinit
      fish  unspool completion fish | source
    """  # noqa: D301 - click wants the character itself
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    kind = get_completion_class(shell)
    program = click.get_current_context().find_root().command
    assert kind is not None
    click.echo(kind(program, {}, "unspool", _COMPLETE).source())


def complete_paths(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Have the shell complete local files; see click's `shell_complete`."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only needed now

    return [CompletionItem(incomplete, type="file")]


def complete_directories(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Have the shell complete local directories; see click's `shell_complete`."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only needed now

    return [CompletionItem(incomplete, type="dir")]
