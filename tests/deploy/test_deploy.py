"""The files below deploy/: checked by the tools of their own, and started as they say."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from authority import Authority
from processes import ENVIRONMENT, Running, outcome_of, running, unspool
from proxies.proxy import TOOLS, program_of

REPO = Path(__file__).resolve().parents[2]
DEPLOY = REPO / "deploy"
UNIT = DEPLOY / "systemd" / "unspool.service"
CONTAINERFILE = DEPLOY / "Containerfile"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
DEPLOYMENTS = [path for path in MANIFESTS if path.name.startswith("deployment")]

KUBERNETES = "1.32"


def _printed(*command: str | Path) -> str:
    """Run a checker, which has to be content, and return all it says."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def loaded(path: Path) -> dict[str, Any]:
    """Return what a YAML file says, with the parser of the tools' environment."""
    program_of("kubernetes-validate", "`make proxies` installs it")
    command = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)"
    result: dict[str, Any] = json.loads(_printed(TOOLS / "python", "-c", command, path))
    return result


def unit_command() -> list[str]:
    """Return the arguments of `unspool` in the unit."""
    found = re.search(r"^ExecStart=/opt/unspool/bin/unspool (.*)$", UNIT.read_text(), re.MULTILINE)
    assert found is not None
    return shlex.split(found[1])


def container_command() -> list[str]:
    """Return the arguments of `unspool` in the image."""
    text = CONTAINERFILE.read_text()
    entry, command = (re.search(rf"^{word} (\[.*\])$", text, re.MULTILINE) for word in ("ENTRYPOINT", "CMD"))
    assert entry is not None
    assert command is not None
    assert json.loads(entry[1]) == ["unspool", "serve"]
    return ["serve", *json.loads(command[1])]


def pod_command(path: Path) -> list[str]:
    """Return the arguments of `unspool` in a deployment."""
    return ["serve", *container_of(path)["args"]]


def container_of(path: Path) -> dict[str, Any]:
    """Return the container of a deployment."""
    (container,) = loaded(path)["spec"]["template"]["spec"]["containers"]
    result: dict[str, Any] = container
    return result


COMMANDS: dict[str, Callable[[], list[str]]] = {
    "systemd": unit_command,
    "container": container_command,
    **{path.stem: partial(pod_command, path) for path in DEPLOYMENTS},
}


@dataclass(frozen=True)
class Started:
    """A server as a file below deploy/ starts it, and where things are."""

    process: Running
    addresses: Sequence[str]
    ca: Path
    run: Path


@contextmanager
def started(arguments: Sequence[str], base: Path) -> Iterator[Started]:
    """Run a command of deploy/, with its paths below `base`, on loopback and a free port."""
    files, tls, run = base / "files", base / "tls", base / "run"
    for directory in (files, run):
        directory.mkdir()
    (files / "hello.txt").write_text("hello\n")
    authority = Authority(tls)
    pair = authority.issue("server")  # as the unit names it; the image and the pods have names of secrets
    shutil.copy(pair.cert, tls / "tls.crt")
    shutil.copy(pair.key, tls / "tls.key")
    places = {"/srv/files": files, "/etc/unspool": tls, "/run/unspool": run}
    line = "\0".join(arguments).replace(":50051", "127.0.0.1:0")
    for theirs, ours in places.items():
        line = line.replace(theirs, str(ours))
    with (base / "log").open("wb") as log, running(*line.split("\0"), stderr=log) as process:
        assert process.stdout is not None
        ready = process.stdout.readline().decode()
        assert ready, (base / "log").read_text()
        yield Started(process, ready.partition(" on ")[2].strip().split(", "), authority.file, run)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_serves_and_drains(name: str, tmp_path: Path) -> None:
    """Each command line of deploy/ starts a server that clients reach as the file says, and SIGTERM ends it well."""
    arguments = COMMANDS[name]()
    with started(arguments, tmp_path) as server:
        secure = "--insecure" not in arguments
        address = server.addresses[0]
        assert address.startswith("unspools://") is secure
        done = unspool("cat", f"{address}/hello.txt", *(("--ca", server.ca) if secure else ()))
        assert (done.code, done.out) == (0, b"hello\n"), done.err
        server.process.send_signal(signal.SIGTERM)
        assert outcome_of(server.process).code == 0


def health(target: str) -> int:
    """Run the probe of the image."""
    command = [sys.executable, str(DEPLOY / "health.py"), target]
    return subprocess.run(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL, timeout=30, check=False).returncode


def test_the_probe_of_the_image_asks_the_health_service(tmp_path: Path) -> None:
    """Through the socket that the image and the deployment name, the probe finds a server that serves, and only that."""
    arguments = container_command()
    probe = container_of(DEPLOY / "kubernetes" / "deployment.yaml")["readinessProbe"]["exec"]["command"]
    socket = probe[-1]
    assert socket in arguments
    assert json.dumps(probe) in CONTAINERFILE.read_text()
    with started(arguments, tmp_path) as server:
        here = socket.replace("/run/unspool", str(server.run))
        assert health(here) == 0
    assert health(here) == 2


def test_the_unit_is_one(tmp_path: Path) -> None:
    """systemd-analyze finds nothing to say about the unit, and rates its exposure as 2 of 10 or less."""
    analyze = program_of("systemd-analyze", "it belongs to systemd")
    text = UNIT.read_text().replace("/opt/unspool/bin/unspool", sys.executable)
    unit = tmp_path / UNIT.name
    unit.write_text(text)
    assert _printed(analyze, "verify", "--man=no", unit) == ""
    _printed(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", unit)


def test_the_containerfile_is_one(tmp_path: Path) -> None:
    """The linter hadolint finds nothing, and what is copied into the build is enough to build the package."""
    assert _printed(program_of("hadolint", "`make proxies` installs it"), CONTAINERFILE) == ""
    for line in re.findall(r"^COPY (?!--)(.*)$", CONTAINERFILE.read_text(), re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            assert (REPO / source).exists(), source
            if not target.startswith("/source"):
                continue
            place = tmp_path / target.removeprefix("/")
            if (REPO / source).is_dir():
                shutil.copytree(REPO / source, place)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(REPO / source, place)
    _printed(
        *(
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            tmp_path / "wheel",
        ),
        tmp_path / "source",
    )
    assert list((tmp_path / "wheel").glob("unspool-*.whl"))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_manifest_keeps_the_schema(path: Path) -> None:
    """kubernetes-validate, strictly: no key that Kubernetes does not know, and no value of another type."""
    said = _printed(program_of("kubernetes-validate", "`make proxies` installs it"), "-k", KUBERNETES, "--strict", path)
    assert "passed" in said


def test_the_kustomization_has_every_manifest_but_the_other_deployment() -> None:
    """Whatever is to be applied is listed."""
    listed = set(loaded(DEPLOY / "kubernetes" / "kustomization.yaml")["resources"])
    assert listed == {path.name for path in MANIFESTS} - {"deployment-mesh.yaml"}


@pytest.mark.parametrize("path", DEPLOYMENTS, ids=lambda path: path.stem)
def test_the_manifests_agree(path: Path) -> None:
    """The service, the budget and the policy select the pods; the ports have one name; there is time to drain."""
    deployment = loaded(path)["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    service, budget, policy = (
        loaded(DEPLOY / "kubernetes" / f"{name}.yaml")["spec"] for name in ("service", "poddisruptionbudget", "networkpolicy")
    )
    assert service["selector"] == labels
    assert deployment["selector"]["matchLabels"] == labels
    assert budget["selector"]["matchLabels"] == labels
    assert policy["podSelector"]["matchLabels"] == labels
    container = container_of(path)
    (port,) = container["ports"]
    assert service["clusterIP"] == "None"
    assert [entry["targetPort"] for entry in service["ports"]] == [port["name"]]
    assert [entry["port"] for entry in policy["ingress"][0]["ports"]] == [port["name"]]
    assert container["livenessProbe"]["tcpSocket"]["port"] == port["name"]
    pod = deployment["template"]["spec"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    grace = next(float(argument.partition("=")[2]) for argument in container["args"] if argument.startswith("--grace="))
    assert pod["terminationGracePeriodSeconds"] > pause + grace
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_unit_waits_for_the_drain() -> None:
    """It kills later than the server ends its last streams."""
    arguments = unit_command()
    found = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert found is not None
    assert int(found[1]) > float(arguments[arguments.index("--grace") + 1])
