"""The image, built by buildah and run without a container engine.

The base here is made of this machine's own Python, because the registry of the default base may not be reachable. So
these tests cover everything that the Dockerfile adds, but not the default base itself. The wheels are chosen for this
machine's Python. Skipped if buildah is not installed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.registry import serving

from bottlerocket_ecs_updater import __version__
from bottlerocket_ecs_updater.simulator.clock import ScaledClock
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT
from bottlerocket_ecs_updater.simulator.wire import Wire
from bottlerocket_ecs_updater.simulator.world.world import World

ROOT = Path(__file__).parents[2]
BASE, IMAGE = "localhost/updater-test-base", "localhost/updater-test"
IMAGE_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
HOST = "i-00000000000000000"
SPEED = 60

pytestmark = [
    pytest.mark.skipif(shutil.which("buildah") is None, reason="buildah is not installed"),
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="chroot needs root"),
]


@dataclass
class Built:
    """The image, and a container of it."""

    container: str
    said: str

    def run(self, *words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """A command in the container, as its user."""
        given = [f"--env={name}={value}" for name, value in (environment or {}).items()]
        return buildah("run", *given, self.container, "--", *words, check=False)

    def program(self, *words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """The program, by the image's own entry point."""
        return self.run(*self.config()["Entrypoint"], *words, environment=environment)

    def config(self) -> dict[str, list[str]]:
        """The image's labels and configuration."""
        shape = json.loads(buildah("inspect", "--type", "image", IMAGE).stdout)["OCIv1"]["config"]
        return dict(shape)

    def files(self) -> Path:
        """Its file system, mounted."""
        return Path(buildah("mount", self.container).stdout.strip())


def buildah(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Buildah, isolated from configuration of this machine that could fail here."""
    environment = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
    result = subprocess.run(["buildah", *words], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0 or not check, result.stderr
    return result


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    said = built_once(tmp_path_factory)
    container = buildah("from", "--pull=never", IMAGE).stdout.strip()
    yield Built(container, said)
    buildah("rm", container)


def built_once(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the image, or wait for another process of the same test run that builds it; returns the build's output."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return build(tmp_path_factory.mktemp("base"))
    shared = tmp_path_factory.getbasetemp().parent / f"image-{run}"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.is_file():
            shared.write_text(build(tmp_path_factory.mktemp("base")))
        return shared.read_text()


def build(root: Path) -> str:
    """Build the base, and the image on it."""
    lay_out_base(root)
    scratch = buildah("from", "scratch").stdout.strip()
    buildah("add", "--quiet", scratch, str(root), "/")
    buildah("commit", "--quiet", "--rm", scratch, BASE)
    command = ["image/build", sys.executable, "--engine", "buildah", "--tag", IMAGE, "--base", BASE]
    command += ["--python", IMAGE_PYTHON]
    environment = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return made.stdout


def lay_out_base(root: Path) -> None:
    """A root file system with Python and its libraries, certificates, and nothing else: no shell."""
    (root / "usr/bin").mkdir(parents=True)
    for folder in ("etc/ssl/certs", "tmp", "proc", "dev", "sys"):
        (root / folder).mkdir(parents=True)
    python = Path(sys.executable).resolve()
    copy(python, root)
    if python != Path("/usr/bin/python3"):
        (root / "usr/bin/python3").symlink_to(python)
    standard = Path(sysconfig.get_path("stdlib"))
    unneeded = shutil.ignore_patterns("site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "*.a")
    shutil.copytree(standard, inside(standard, root), ignore=unneeded, dirs_exist_ok=True, symlinks=True)
    for library in sorted({found for each in (python, *standard.rglob("*.so")) for found in linked_to(each)}):
        copy(library, root)
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.is_file():
        copy(certificates, root)


def inside(path: Path, root: Path) -> Path:
    return root / path.relative_to("/")


def copy(path: Path, root: Path) -> None:
    target = inside(path, root)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    shutil.copymode(path, target)


def linked_to(binary: Path) -> set[Path]:
    """The shared libraries that a binary is linked to, including its loader."""
    said = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout
    return {Path(word) for word in said.split() if word.startswith("/")}


def test_the_build_says_what_it_made(built: Built) -> None:
    assert "is built by buildah" in built.said


@pytest.mark.usefixtures("built")
def test_what_is_published_is_in_the_registry_under_the_digest_of_the_line_that_installs_it() -> None:
    with serving() as registry:
        command = ["image/publish", sys.executable, f"{registry.host}/ops", "--engine", "buildah", "--base", BASE]
        environment = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot", "NO_PROXY": "127.0.0.1"}
        words = [*command, "--python", IMAGE_PYTHON, "--insecure"]
        made = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    [name] = registry.manifests
    assert name.startswith(f"ops/bottlerocket-ecs-updater:{__version__}-")
    image = f"{registry.host}/ops/bottlerocket-ecs-updater@{registry.digest(name)}"
    assert f"UpdaterImage={image}\n" in made.stdout
    layers = json.loads(registry.manifests[name])["layers"]
    assert {layer["digest"] for layer in layers} <= registry.blobs.keys()


def test_nothing_is_published_without_a_registry() -> None:
    made = subprocess.run(["image/publish", sys.executable], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (made.returncode, "say which registry" in made.stderr) == (2, True)


def test_the_program_runs_in_it(built: Built) -> None:
    result = built.program("--version")
    assert (result.returncode, result.stdout.strip()) == (0, __version__)


def test_it_runs_as_nobody_who_could_write_to_it(built: Built) -> None:
    code = "import os; print(os.getuid(), os.getgid(), os.access('/opt/bottlerocket-ecs-updater', os.W_OK))"
    assert built.run("python3", "-c", code).stdout.split() == ["65532", "65532", "False"]


def test_there_is_no_shell_in_it(built: Built) -> None:
    found = [
        name for folder in ("bin", "usr/bin") for name in ("sh", "bash") if (built.files() / folder / name).exists()
    ]
    assert found == []


def test_its_licences_are_in_it(built: Built) -> None:
    folders = {folder.name.rsplit("-", 1)[0].lower() for folder in _licences(built).iterdir()}
    assert {"botocore", "cattrs", "cyclopts", "jinja2", "bottlerocket-ecs-updater"} <= folders
    assert all(any(folder.iterdir()) for folder in _licences(built).iterdir())


def test_its_bill_of_materials_names_every_distribution_in_it(built: Built) -> None:
    bill = json.loads((built.files() / "usr/share/sbom/bottlerocket-ecs-updater.cdx.json").read_text())
    named = {component["purl"] for component in bill["components"]} | {bill["metadata"]["component"]["purl"]}
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert len(named) == len(list(_licences(built).iterdir()))


def test_a_run_in_it_updates_a_cluster_and_writes_no_file(built: Built) -> None:
    clock = ScaledClock(SPEED)
    origin = clock.now()
    repository = Repository([Release(version, "aws-ecs-2") for version in ("1.20.0", "1.21.0")])
    world = World(clock, repository=repository)
    world.add_instance(HostSpec(HOST, version="1.20.0"), "us-east-1a")
    before = _listing(built)
    clock.start()
    try:
        with Wire(world) as wire:
            names = ["--check-document", CHECK, "--apply-document", APPLY, "--reboot-document", REBOOT]
            time = ["--time-scale", str(SPEED), "--time-origin", origin.isoformat()]
            result = built.program("run", "--cluster", "demo", *names, *time, environment=wire.environment())
    finally:
        clock.stop()
    assert result.returncode == 0, result.stderr
    assert world.findings().versions == {HOST: "1.21.0"}
    assert _listing(built) == before


def _licences(built: Built) -> Path:
    return built.files() / "usr/share/licenses/bottlerocket-ecs-updater"


def _listing(built: Built) -> set[str]:
    """All files of the program, and of the places where programs leave files."""
    root = built.files()
    return {str(path) for folder in ("opt", "tmp", "usr/share") for path in (root / folder).rglob("*")}
