#!/usr/bin/env python3
"""Puts libtorch where the build looks for it, once.

A LIBTORCH that is set is used as it is and nothing is downloaded. Otherwise the PyTorch wheel is unpacked to .libtorch/: with only the two
small CUDA packages that libtorch_cpu.so loads, or with everything that the wheel requires where an NVIDIA card is present. All packages are
pinned by version and hash.

With --tests it also puts the Python packages of the tests into .python/. Without them the tests that need them are skipped.
"""

import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

VERSION = "2.11.0"
ROOT = pathlib.Path(__file__).resolve().parent.parent
HOME = ROOT / ".libtorch"
PARTIAL = ROOT / ".libtorch.tmp"
# Packages of the tests, beside those of the system.
PACKAGES = ROOT / ".python"
PACKAGES_PARTIAL = ROOT / ".python.tmp"
# The wheel for one Python serves all: nothing of Python in it is used.
WHEEL = ["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp", "--abi", "cp312", "--abi", "abi3", "--abi", "none"]
# Named one by one: pip takes only what is listed, and the packages are built for different ones.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)] + ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]


def fail(message):
    sys.exit(f"setup: {message}")


def version_of(libtorch):
    """Version of the libtorch in a folder, from its header, or None."""
    for header in ("torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"):
        path = libtorch / "include" / header
        if path.is_file():
            parts = dict(re.findall(r"#define TORCH_VERSION_(MAJOR|MINOR|PATCH) (\d+)", path.read_text()))
            if len(parts) == 3:
                return "{MAJOR}.{MINOR}.{PATCH}".format(**parts)
    return None


def check_given(libtorch):
    """Checks a libtorch that the user brings."""
    if not libtorch.is_absolute():
        fail(f"LIBTORCH='{libtorch}' is not an absolute path, and each crate would take it relative to its own folder; write the whole path")
    found = version_of(libtorch)
    if found is None:
        fail(f"LIBTORCH={libtorch} holds no libtorch with headers; unset LIBTORCH to have {VERSION} installed")
    if found != VERSION:
        fail(f"LIBTORCH={libtorch} is version {found}, naslab needs {VERSION}; unset LIBTORCH to have {VERSION} installed")


def has_card():
    """True if an NVIDIA card is present."""
    if pathlib.Path("/proc/driver/nvidia/version").exists():
        return True
    tool = shutil.which("nvidia-smi")
    return tool is not None and subprocess.run([tool, "-L"], capture_output=True).returncode == 0


def requirements(card):
    """The closed list of packages for a machine with or without a card."""
    return ROOT / "scripts" / ("libtorch-cuda.txt" if card else "libtorch-cpu.txt")


def pip_arguments(card):
    """Arguments of `pip install` for a machine with or without a card."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    common = ["--disable-pip-version-check", "--no-warn-script-location", "--target", str(PARTIAL)] + WHEEL + platforms
    return common + ["--no-deps", "--require-hashes", "-r", str(requirements(card))]


def install(card):
    """Unpacks libtorch next to its place and moves it there when it is whole."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        fail(f"no libtorch package is pinned for {platform.system()} {platform.machine()}; install libtorch {VERSION} and set LIBTORCH to its folder")
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        fail(f"{sys.executable} has no pip; install it (Debian: apt install python3-pip)")
    shutil.rmtree(PARTIAL, ignore_errors=True)
    # pip unpacks in its temporary folder first: here there is room, and what an interruption leaves is cleared next time.
    scratch = PARTIAL / "pip"
    scratch.mkdir(parents=True)
    size = "5 GB" if card else "0.5 GB to download, 1.2 GB on disk"
    print(f"setup: installing libtorch {VERSION} ({size}) to {HOME.name}/", flush=True)
    quiet = dict(os.environ, PIP_ROOT_USER_ACTION="ignore", TMPDIR=str(scratch))
    if subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *pip_arguments(card)], env=quiet).returncode != 0:
        fail(f"pip could not install libtorch (see above). Try again, or install libtorch {VERSION} and set LIBTORCH to its folder")
    shutil.rmtree(scratch)
    (PARTIAL / "torch" / "build-version").write_text(f"{VERSION}\n")  # torch-sys reads it
    stamp_file(PARTIAL).write_text(stamp(card))
    shutil.rmtree(HOME, ignore_errors=True)
    PARTIAL.rename(HOME)


def package_list():
    return ROOT / "scripts" / "test-packages.txt"


def package_stamp():
    """What the installed packages are made of: the list, and the Python that they are for."""
    return f"Python {sys.version_info.major}.{sys.version_info.minor} {platform.machine()}\n{package_list().read_text()}"


def package_arguments():
    """Arguments of `pip install` for the packages of the tests."""
    return ["--disable-pip-version-check", "--target", str(PACKAGES_PARTIAL), "--only-binary=:all:", "--no-deps", "--require-hashes", "-r", str(package_list())]


def install_packages():
    """Installs the packages of the tests; a test says itself what it misses, but where CI is set it must not miss anything."""
    shutil.rmtree(PACKAGES_PARTIAL, ignore_errors=True)
    print(f"setup: installing Python packages of the tests (60 MB to download, 200 MB on disk) to {PACKAGES.name}/", flush=True)
    quiet = dict(os.environ, PIP_ROOT_USER_ACTION="ignore")
    if subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *package_arguments()], env=quiet).returncode != 0:
        shutil.rmtree(PACKAGES_PARTIAL, ignore_errors=True)
        what = "pip could not install the Python packages of the tests (see above); they are for Python 3.11 to 3.14 on x86_64"
        if os.environ.get("CI"):
            fail(what)
        print(f"setup: {what}; the tests that read ONNX models and event files are skipped", file=sys.stderr)
        return
    stamp_file(PACKAGES_PARTIAL).write_text(package_stamp())
    shutil.rmtree(PACKAGES, ignore_errors=True)
    PACKAGES_PARTIAL.rename(PACKAGES)


def setup_packages():
    done = stamp_file(PACKAGES)
    if not done.is_file() or done.read_text() != package_stamp():
        install_packages()


def stamp_file(folder):
    return folder / "naslab-setup"


def stamp(card):
    return f"libtorch {VERSION} {'with' if card else 'without'} CUDA packages\n"


def main():
    given = os.environ.get("LIBTORCH")
    if given is not None:
        check_given(pathlib.Path(given))
        return
    card = has_card()
    done = stamp_file(HOME)
    if not done.is_file() or done.read_text() != stamp(card):
        install(card)


if __name__ == "__main__":
    try:
        main()
        if "--tests" in sys.argv[1:]:
            setup_packages()
    except KeyboardInterrupt:
        fail("interrupted; run it again")
