"""Packages that not everybody has: who lacks one is told what to install, in one sentence."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tools.extras import USES

import unspool
from unspool.core.extras import MissingExtraError, extra

HIDDEN = ("azure", "botocore", "fsspec", "h2", "hypothesis", "jwt", "obstore", "opentelemetry", "prometheus_client", "pytest")

ROOT = Path(unspool.__file__).parent

# fsspec is looked for where the package of those modules is imported.
MODULES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if path.parent.name != "filesystem")

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
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([list(USES.values()), HIDDEN]),
        capture_output=True,
        text=True,
        check=True,
    )
    for name, said in zip(USES, json.loads(done.stdout), strict=True):
        assert said.startswith("MissingExtraError: the package "), said
        assert said.endswith(f" is not installed: run pip install 'unspool[{name}]'")


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_them_where_the_error_is_made(path: str) -> None:
    """Every module can be imported first, so each has the packages of an extra within `with extra`."""
    bare = [
        statement
        for statement in ast.parse((ROOT / path).read_text()).body
        if isinstance(statement, (ast.Import, ast.ImportFrom))
        and (statement.module or "" if isinstance(statement, ast.ImportFrom) else statement.names[0].name).partition(".")[0]
        in HIDDEN
    ]
    assert [ast.unparse(statement) for statement in bare] == []


def test_a_module_of_our_own_that_is_missing_is_a_defect() -> None:
    """Only packages of others can be installed; another error stays what it is."""
    with pytest.raises(ModuleNotFoundError, match=r"unspool\.nothing"), extra("objects"):
        import unspool.nothing  # type: ignore[import-not-found]  # noqa: F401, PLC0415
    with pytest.raises(MissingExtraError, match="the package nothing_of_the_kind is"), extra("objects"):
        import nothing_of_the_kind.below  # type: ignore[import-not-found]  # noqa: F401, PLC0415
    with pytest.raises(KeyError), extra("objects"):
        raise KeyError
