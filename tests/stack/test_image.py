"""The image, built by buildah and run without a container engine.

The base here is made of this machine's own Python, because the registry of the default base may not be reachable. So
these tests cover everything that the Dockerfile adds, but not the default base itself. The wheels are chosen for this
machine's Python. Skipped if buildah is not installed.
Each test run keeps its images and containers in a folder of its own, and deletes it.
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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
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
BASE = "localhost/updater-test-base"
IMAGE_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
UNNEEDED = ("site-packages", "dist-packages", "test", "tests", "ensurepip", "idlelib", "tkinter", "*.a", "*.opt-*")
"""Of a standard library: half of its size, and each layer of an image is a copy."""

HOST = "i-00000000000000000"
SPEED = 60

pytestmark = [
    pytest.mark.skipif(shutil.which("buildah") is None, reason="buildah is not installed"),
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="chroot needs root"),
]


@dataclass(frozen=True)
class Buildah:
    """Buildah, isolated from configuration of this machine that could fail here."""

    store: Path
    """Where its images and containers are."""

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = self.call("buildah", *words)
        assert result.returncode == 0 or not check, result.stderr
        return result

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program that calls buildah."""
        return subprocess.run(words, cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=False)

    def environment(self) -> dict[str, str]:
        variables = {"BUILDAH_ISOLATION": "chroot", "CONTAINERS_STORAGE_CONF": str(self.store / "storage.conf")}
        return {**os.environ, **variables, "NO_PROXY": "127.0.0.1"}

    def begin(self) -> None:
        """Lay out an empty store."""
        self.store.mkdir()
        places = f'graphroot = "{self.store / "images"}"\nrunroot = "{self.store / "run"}"\n'
        (self.store / "storage.conf").write_text(f'[storage]\ndriver = "vfs"\n{places}')


@dataclass(frozen=True)
class Published:
    """What is in the registry after the image was built and published, and what was said meanwhile."""

    host: str
    printed: str
    log: str
    name: str
    digest: str
    manifest: str
    blobs: list[str]

    @property
    def tag(self) -> str:
        """The image's name in the local store."""
        return f"{self.host}/{self.name}"


@dataclass
class Built:
    """The image, and a container of it."""

    buildah: Buildah
    container: str
    published: Published

    def run(self, *words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """A command in the container, as its user."""
        given = [f"--env={name}={value}" for name, value in (environment or {}).items()]
        return self.buildah("run", *given, self.container, "--", *words, check=False)

    def program(self, *words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """The program, by the image's own entry point."""
        return self.run(*self.config()["Entrypoint"], *words, environment=environment)

    def config(self) -> dict[str, list[str]]:
        """The image's labels and configuration."""
        shape = json.loads(self.buildah("inspect", "--type", "image", self.published.tag).stdout)["OCIv1"]["config"]
        return dict(shape)

    def files(self) -> Path:
        """Its file system, mounted."""
        return Path(self.buildah("mount", self.container).stdout.strip())


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    with image_of_the_run(tmp_path_factory) as (buildah, published):
        container = buildah("from", "--pull=never", published.tag).stdout.strip()
        yield Built(buildah, container, published)
        buildah("rm", container)


@contextmanager
def image_of_the_run(factory: pytest.TempPathFactory) -> Iterator[tuple[Buildah, Published]]:
    """The image, which the first process of a test run builds and publishes, and the last one deletes."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    place = factory.getbasetemp().parent if run else factory.getbasetemp()
    buildah, said, users = Buildah(place / f"image{run}"), place / f"said{run}", place / f"users{run}"
    with locked(place / f"lock{run}"):
        if not buildah.store.exists():
            buildah.begin()
            said.write_text(json.dumps(asdict(build(buildah, factory.mktemp("base")))))
        counted(users, 1)
    try:
        yield buildah, Published(**json.loads(said.read_text()))
    finally:
        with locked(place / f"lock{run}"):
            if counted(users, -1) == 0:
                shutil.rmtree(buildah.store)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def counted(users: Path, more: int) -> int:
    """Add to the number of processes that use the image."""
    number = more + (int(users.read_text()) if users.exists() else 0)
    users.write_text(str(number))
    return number


def build(buildah: Buildah, root: Path) -> Published:
    """Build the base, and on it the image, as `make publish` does for a registry."""
    lay_out_base(root)
    scratch = buildah("from", "scratch").stdout.strip()
    buildah("add", "--quiet", scratch, str(root), "/")
    buildah("commit", "--quiet", "--rm", scratch, BASE)
    with serving() as registry:
        command = ["image/publish", sys.executable, f"{registry.host}/ops", "--engine", "buildah", "--base", BASE]
        made = buildah.call(*command, "--python", IMAGE_PYTHON, "--insecure")
    assert made.returncode == 0, made.stderr
    [name] = registry.manifests
    digest, manifest = registry.digest(name), registry.manifests[name].decode()
    return Published(registry.host, made.stdout, made.stderr, name, digest, manifest, [*registry.blobs])


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
    unneeded = shutil.ignore_patterns(*UNNEEDED)
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


def test_the_build_prints_its_tag_and_engine(built: Built) -> None:
    assert f"{built.published.tag} is built by buildah" in built.published.log


def test_the_published_image_has_the_digest_of_the_printed_command(built: Built) -> None:
    published = built.published
    assert published.name.startswith(f"ops/bottlerocket-ecs-updater:{__version__}-")
    image = f"{published.host}/ops/bottlerocket-ecs-updater@{published.digest}"
    assert f"UpdaterImage={image}\n" in published.printed
    layers = json.loads(published.manifest)["layers"]
    assert {layer["digest"] for layer in layers} <= set(published.blobs)


def test_nothing_is_published_without_a_registry() -> None:
    made = subprocess.run(["image/publish", sys.executable], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (made.returncode, "say which registry" in made.stderr) == (2, True)


def test_the_program_runs_in_it(built: Built) -> None:
    result = built.program("--version")
    assert (result.returncode, result.stdout.strip()) == (0, __version__)


def test_it_runs_as_a_user_who_cannot_write_to_it(built: Built) -> None:
    code = "import os; print(os.getuid(), os.getgid(), os.access('/opt/bottlerocket-ecs-updater', os.W_OK))"
    result = built.run("python3", "-c", code)
    assert result.stdout.split() == ["65532", "65532", "False"], result.stderr


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
