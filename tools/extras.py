"""Builds the sdist, the wheel from that, and installs the wheel into an empty environment: alone, and with each extra.

Without its extra, each part that needs one has to fail; with it, to work. `make rows` runs the tests of the wheel.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

from tools.rows import ROOT, UV, run

WORK = ROOT / "build" / "extras"

USES = {
    "objects": "from unspool.stores import ObjectStore; ObjectStore('memory://')",
    "azure": (
        "from unspool.ingest.azure import AzureBlocks; "
        "AzureBlocks('c', '', {'AZURE_STORAGE_ACCOUNT_NAME': 'a', 'AZURE_STORAGE_ACCOUNT_KEY': 'eA=='})"
    ),
    "fsspec": "import unspool.filesystem, fsspec; fsspec.filesystem('unspool')",
    "jwt": "from unspool.access.jwtkeys import JwtKeys; JwtKeys('keys.json', audience='a', issuer='i')",
    "testing": "import unspool; from unspool.testing import faultserver; faultserver.FaultServer(unspool.MemoryStore())",
    "metrics": "from unspool.watch.metrics import ServerMetrics; list(ServerMetrics().collect())",
    "otel": "from unspool.watch.tracing import ServerTracing; ServerTracing()",
    "contract": "from unspool.testing import StoreContract",
}
"""What each extra is for, as a program that needs it."""


KEYS = '{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
"""The public key of RFC 8037, appendix A.2."""


def build() -> Path:
    """Build the sdist, and the wheel from nothing but that; return the wheel."""
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", WORK)
    (sdist,) = WORK.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(WORK / "sdist", filter="data")
    (source,) = (WORK / "sdist").iterdir()
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", WORK, cwd=source)
    (wheel,) = WORK.glob("*.whl")
    return wheel


def installed(name: str, wanted: str) -> Path:
    """Install what is wanted into an environment of its own; return its directory of programs."""
    run(UV, "venv", "--quiet", "--no-project", "--python", sys.executable, WORK / name)
    run(UV, "pip", "install", "--quiet", "--python", WORK / name / "bin" / "python", wanted)
    return WORK / name / "bin"


def main() -> None:
    """Try the wheel alone, then each extra."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    (WORK / "keys.json").write_text(KEYS)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wheel = build()
    alone = installed("alone", str(wheel))
    run(alone / "unspool", "demo", "--size", "64M", cwd=WORK)
    run(alone / "python", "-c", "import unspool; [getattr(unspool, name) for name in unspool.__all__]", cwd=WORK)
    for extra in extras:
        without = subprocess.run([alone / "python", "-c", USES[extra]], cwd=WORK, capture_output=True, text=True, check=False)
        if without.returncode == 0:
            sys.exit(f"{extra}: works without its packages")
        if f"run pip install 'unspool[{extra}]'" not in without.stderr.splitlines()[-1]:
            sys.exit(f"{extra}: does not say that it is missing: {without.stderr}")
        run(installed(extra, f"{wheel}[{extra}]") / "python", "-W", "error", "-c", USES[extra], cwd=WORK)
        print(f"-- {extra}: works with its packages; without: {without.stderr.splitlines()[-1]}", flush=True)


if __name__ == "__main__":
    main()
