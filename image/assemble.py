"""Assembles what the image contains, in build/image/ARCH: the program with locked dependencies, licences, and an SBOM.

    python image/assemble.py amd64 3.13

Prints the version. Wheels are chosen for the image's platform, not for this machine's, so an image for either
architecture can be built on either.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

from sbom import write_sbom

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTION = "bottlerocket-ecs-updater"

PYTHON_VERSION = "3.13"
"""The Python version of the default base image."""

PLATFORMS = {"amd64": "manylinux2014_x86_64", "arm64": "manylinux2014_aarch64"}

SERVICES = frozenset(
    {
        "autoscaling",
        "cloudwatch",
        "ec2",
        "ecs",
        "events",
        "s3",
        "secretsmanager",
        "sns",
        "ssm",
        "sso",
        "sso-oidc",
        "sts",
    }
)
"""The service descriptions that botocore keeps: those of all other services are four fifths of the image."""

LICENCE_WORDS = ("licen", "copying", "notice", "authors")


def main(arch: str, python: str = PYTHON_VERSION) -> None:
    """Assemble for one architecture and the base's Python."""
    target = ROOT / "build" / "image" / arch
    shutil.rmtree(target, ignore_errors=True)
    app = target / "app"
    install(app, arch, python, target / "wheel")
    prune(app)
    found = sorted(distributions(path=[str(app)]), key=lambda each: each.name.lower())
    for each in found:
        copy_licences(each, target / "licenses")
    own = next(each for each in found if each.name == DISTRIBUTION)
    write_sbom(own, [each for each in found if each is not own], target / "sbom.cdx.json")
    compile_bytecode(app, python)
    shutil.rmtree(target / "wheel")
    sys.stdout.write(f"{own.version}\n")


def install(app: Path, arch: str, python: str, scratch: Path) -> None:
    """Install the locked dependencies by their hashes, and the wheel of this tree."""
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(scratch), str(ROOT))
    chosen = ("--only-binary=:all:", "--implementation=cp", f"--python-version={python}")
    chosen += (f"--platform={PLATFORMS[arch]}", "--no-compile", f"--target={app}")
    pip("install", *chosen, "--require-hashes", "--requirement", str(ROOT / "requirements" / "runtime.lock"))
    pip("install", *chosen, "--no-deps", "--no-index", *(str(wheel) for wheel in scratch.glob("*.whl")))


def pip(*arguments: str) -> None:
    """Run pip, quietly; its errors are shown."""
    # Send its output to standard error: standard output is for the version.
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 - our own words


def prune(app: Path) -> None:
    """Delete what never runs in the image."""
    shutil.rmtree(app / "bin", ignore_errors=True)
    data = app / "botocore" / "data"
    for folder in data.iterdir():
        if folder.is_dir() and folder.name not in SERVICES:
            shutil.rmtree(folder)
    for folder in (app / "boto3" / "examples", app / "boto3" / "data"):
        shutil.rmtree(folder, ignore_errors=True)
    # The simulator needs packages that are not installed here.
    shutil.rmtree(app / "bottlerocket_ecs_updater" / "simulator", ignore_errors=True)


def copy_licences(distribution: Distribution, target: Path) -> None:
    """Copy every licence text of a distribution. Ends the build if a distribution has none, and names none."""
    folder = target / f"{distribution.name}-{distribution.version}"
    folder.mkdir(parents=True)
    named = distribution.metadata.get("License-Expression") or distribution.metadata.get("License") or ""
    classified = [text for text in distribution.metadata.get_all("Classifier") or () if text.startswith("License")]
    texts = [Path(str(path.locate())) for path in distribution.files or () if is_licence(path.name)]
    for place, text in enumerate(text for text in texts if text.is_file()):
        shutil.copyfile(text, folder / (text.name if place == 0 else f"{place}-{text.name}"))
    if not named and not classified and not any(folder.iterdir()):
        raise SystemExit(f"{distribution.name} comes without a licence")
    (folder / "METADATA").write_text("\n".join([named, *classified]).strip() + "\n", encoding="utf-8")


def is_licence(name: str) -> bool:
    """Whether a file is about licences, by its name."""
    lower = name.lower()
    return any(word in lower for word in LICENCE_WORDS) and not lower.endswith((".py", ".pyc", ".json", ".gz"))


def compile_bytecode(app: Path, python: str) -> None:
    """Compile bytecode ahead of time, because the image is read-only. Only the base's own Python can produce it."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == python:
        options = ("-q", "--invalidation-mode", "unchecked-hash", "-s", str(app), "-p", "/opt/bottlerocket-ecs-updater")
        command = [sys.executable, "-m", "compileall", *options, str(app)]
        subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 - our own words


if __name__ == "__main__":
    main(*sys.argv[1:3])
