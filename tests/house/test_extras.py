"""Packages that not everybody has: who lacks one is told what to install, in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tools.extras import USES

from unspool.core.extras import MissingExtraError, extra

HIDDEN = ("fsspec", "h2", "hypothesis", "jwt", "obstore", "opentelemetry", "prometheus_client", "pytest")

MORE = {
    "unspool.ingest.objects": "objects",
    "unspool.testing.deletecontract": "contract",
    "unspool.testing.ingestcontract": "contract",
    "unspool.testing.storecontract": "contract",
    "unspool.testing.http2": "testing",
    "unspool.watch.clientmetrics": "metrics",
    "unspool.watch.families": "metrics",
    "unspool.watch.pageserver": "metrics",
}
"""Modules that are public, or imported first by others, and what each needs."""

PROGRAM = """
import json, sys
programs, hidden = json.load(sys.stdin)
sys.modules.update(dict.fromkeys(hidden))  # as if they were not installed
said = []
for program in programs:
    try:
        exec(program, {})
        said.append("")
    except ImportError as error:
        said.append(f"{type(error).__name__}: {error}")
print(json.dumps(said))
"""


def test_what_lacks_a_package_says_what_to_install() -> None:
    """Each part that needs an extra raises the same error without it, which `except ImportError` catches, too."""
    wanted = list(USES) + list(MORE.values())
    programs = list(USES.values()) + [f"import {module}" for module in MORE]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps([programs, HIDDEN]), capture_output=True, text=True, check=True
    )
    for name, said in zip(wanted, json.loads(done.stdout), strict=True):
        assert said.startswith("MissingExtraError: the package "), said
        assert said.endswith(f" is not installed: run pip install 'unspool[{name}]'")


def test_a_module_of_our_own_that_is_missing_is_a_defect() -> None:
    """Only packages of others can be installed; another error stays what it is."""
    with pytest.raises(ModuleNotFoundError, match=r"unspool\.nothing"), extra("objects"):
        import unspool.nothing  # type: ignore[import-not-found]  # noqa: F401, PLC0415
    with pytest.raises(MissingExtraError, match="the package nothing_of_the_kind is"), extra("objects"):
        import nothing_of_the_kind.below  # type: ignore[import-not-found]  # noqa: F401, PLC0415
    with pytest.raises(KeyError), extra("objects"):
        raise KeyError
