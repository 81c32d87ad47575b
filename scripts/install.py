#!/usr/bin/env python3
"""Puts naslab, and the libraries of libtorch that it loads, below a folder of their own, so that it works when the checkout is gone.

    install.py PROGRAM PREFIX

PREFIX/bin/naslab is PROGRAM without its debugging information; PREFIX/lib/naslab/ has the libraries in libtorch's own layout, which the program finds relative to itself. Those for NVIDIA
cards are copied where all of what they need is there. What an earlier installation put into PREFIX/lib/naslab/ is replaced. DESTDIR is put before PREFIX, as packagers expect.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Loaded by name where there is a card.
OF_A_CARD = ["libtorch_cuda.so", "libtorch_cuda_linalg.so", "libc10_cuda.so"]


def fail(message):
    sys.exit(f"install: {message}")


def needed(binary):
    """Paths of the shared libraries that a binary loads, and the names of those that are missing."""
    text = subprocess.run(["ldd", binary], check=True, capture_output=True, text=True).stdout
    found = [pathlib.Path(path) for path in re.findall(r"=> (/\S+) \(", text)]
    return found, re.findall(r"^\s*(\S+) => not found", text, re.MULTILINE)


def libraries(program, libtorch):
    """What lies in or beside libtorch of all that the program loads: (source, path below the folder that holds libtorch as `torch`)."""
    of_a_card = [libtorch / "lib" / name for name in OF_A_CARD]
    if not all(path.exists() and not needed(path)[1] for path in of_a_card):
        of_a_card = []
    binaries = [program, *of_a_card]
    beside = libtorch.resolve().parent
    paths = {path for binary in binaries for path in [*needed(binary)[0], *of_a_card]}
    for path in sorted(paths):
        # The path by which it was found says where others look for it.
        plain = pathlib.Path(os.path.normpath(path))
        if plain.is_relative_to(libtorch):
            yield path, pathlib.Path("torch") / plain.relative_to(libtorch)
        elif plain.resolve().is_relative_to(beside):
            yield path, plain.resolve().relative_to(beside)


def main():
    if len(sys.argv) != 3:
        fail("say which program and which folder: install.py PROGRAM PREFIX")
    program, prefix = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).absolute()
    prefix = pathlib.Path(os.environ.get("DESTDIR", "") + str(prefix))
    libtorch = pathlib.Path(os.environ.get("LIBTORCH") or ROOT / ".libtorch" / "torch").resolve()
    home, bin_ = prefix / "lib" / "naslab", prefix / "bin"
    try:
        bin_.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(home, ignore_errors=True)
        for source, place in libraries(program, libtorch):
            (home / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, home / place)
        # A program that runs cannot be written to, but its name can be given to another.
        fresh = bin_ / ".naslab.new"
        shutil.copy(program, fresh)
        if shutil.which("strip"):
            subprocess.run(["strip", fresh], check=True)
        fresh.replace(bin_ / "naslab")
    except OSError as e:
        fail(f"{e.filename or prefix}: {e.strerror}; choose a folder that you may write to: make install PREFIX=$HOME/.local")
    size = sum(f.stat().st_size for f in [bin_ / "naslab", *home.rglob("*")] if f.is_file())
    print(f"{bin_ / 'naslab'} ({size / 1e6:.0f} MB with libtorch)")


if __name__ == "__main__":
    main()
