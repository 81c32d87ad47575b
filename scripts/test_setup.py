"""Tests of setup.py that download nothing."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
import setup  # noqa: E402


def libtorch(folder, major, minor, patch):
    header = pathlib.Path(folder) / "include" / "torch" / "headeronly" / "version.h"
    header.parent.mkdir(parents=True)
    header.write_text(f"#define TORCH_VERSION_MAJOR {major}\n#define TORCH_VERSION_MINOR {minor}\n#define TORCH_VERSION_PATCH {patch}\n")


class Setup(unittest.TestCase):
    def run_with(self, value):
        environment = dict(os.environ, LIBTORCH=value)
        return subprocess.run([sys.executable, setup.__file__], env=environment, capture_output=True, text=True)

    def test_a_given_libtorch_of_the_right_version_is_used(self):
        with tempfile.TemporaryDirectory() as folder:
            libtorch(folder, 2, 11, 0)
            done = self.run_with(folder)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_a_wrong_version_is_named_with_both_versions(self):
        with tempfile.TemporaryDirectory() as folder:
            libtorch(folder, 2, 9, 1)
            done = self.run_with(folder)
            self.assertEqual(done.returncode, 1)
            self.assertIn("2.9.1", done.stderr)
            self.assertIn("2.11.0", done.stderr)

    def test_a_folder_without_libtorch_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertIn("holds no libtorch", self.run_with(folder).stderr)

    def test_only_a_machine_with_a_card_gets_all_requirements(self):
        self.assertIn("--no-deps", setup.pip_arguments(card=False))
        self.assertIn("--require-hashes", setup.pip_arguments(card=False))
        self.assertNotIn("--no-deps", setup.pip_arguments(card=True))
        self.assertIn("torch==2.11.0", setup.pip_arguments(card=True))
        self.assertNotEqual(setup.stamp(True), setup.stamp(False))


if __name__ == "__main__":
    unittest.main()
