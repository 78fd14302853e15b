"""The command line. No other room reads the environment or prints.

Modules are imported when they are needed: `--version` needs nothing, and a command only its own.

program.py       the program as a whole; commands.py: all commands; version.py: `--version`; command.py: how each runs
advice.py        advice for errors; exits.py: the table of exit codes; failures.py: the error if some of several files failed
output.py        text and bytes on standard output; complaints.py: standard error; jsonresults.py: what `--json` prints;
                 treeoutput.py: the result of a tree; units.py: numbers as text

get.py, getcommand.py, getseveral.py, gettree.py, targets.py    unspool get
put.py, putcommand.py, puttree.py, statedir.py                  unspool put
rm.py, rmtree.py                                                unspool rm
verify.py, verifytree.py                                        unspool verify
cat.py, ls.py, stat.py, top.py, topview.py, conformance.py      the commands of these names
token.py, access.py, completion.py                              those that contact no server
demo.py, demonstration.py                                       unspool demo

retryoptions.py, transferoptions.py, security.py, filtering.py, logoption.py  options that commands share
credentials.py   the token
sizes.py, durations.py, numbers.py   values of options; omissions.py: names that are left out
dryrun.py        what would be done; mixedservers.py: a warning about replicas that differ
progress.py      shows progress, treeprogress.py that of a tree; bar.py, barline.py: the bar; meter.py: its rate; terminal.py

serve.py, serveaccess.py, servewriting.py   unspool serve; logs.py: its log
settings.py      its settings; config.py: from a file; settingplaces.py: in which line
serving.py       runs it; workers.py: in several processes; worker.py: one of them; watching.py: their metrics
systemd.py       what systemd is told; signals.py; descriptors.py: how many files may be open
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers read it; `typing` itself takes a while to import
if TYPE_CHECKING:
    from unspool.cli.commands import main

__all__ = ["main"]


def __getattr__(name: str) -> object:
    if name != "main":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from unspool.cli.commands import main as found  # noqa: PLC0415 - see above

    return found
