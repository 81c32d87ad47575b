"""Tests of setup.py that download nothing."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

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

    def test_a_relative_or_empty_path_is_refused(self):
        for value in ("", "libtorch"):
            self.assertIn("not an absolute path", self.run_with(value).stderr)

    def test_everything_is_pinned_by_version_and_hash(self):
        for card in (False, True):
            arguments = setup.pip_arguments(card)
            self.assertIn("--no-deps", arguments)
            self.assertIn("--require-hashes", arguments)
            for line in setup.requirements(card).read_text().splitlines():
                if not line.startswith("#"):
                    self.assertRegex(line, r"^[a-z0-9-]+==[0-9][0-9.]* --hash=sha256:[0-9a-f]{64}$")

    def test_a_card_adds_packages_and_changes_none(self):
        cpu, cuda = (set(setup.requirements(card).read_text().splitlines()) for card in (False, True))
        pins = {line for line in cpu if not line.startswith("#")}
        self.assertEqual(len(pins), 3)
        self.assertLess(pins, cuda)
        self.assertTrue(any(line.startswith("nvidia-cublas==") for line in cuda))
        self.assertNotEqual(setup.stamp(True), setup.stamp(False))

    def test_a_folder_counts_as_installed_only_with_the_stamp_of_this_kind(self):
        with tempfile.TemporaryDirectory() as folder:
            home, calls = pathlib.Path(folder), []
            environment = {name: value for name, value in os.environ.items() if name != "LIBTORCH"}
            with mock.patch.multiple(setup, HOME=home, install=calls.append, has_card=lambda: False), mock.patch.dict(os.environ, environment, clear=True):
                setup.main()
                setup.stamp_file(home).write_text(setup.stamp(True))
                setup.main()
                setup.stamp_file(home).write_text(setup.stamp(False))
                setup.main()
            self.assertEqual(calls, [False, False])

    def test_packages_of_the_tests_are_pinned_by_version_and_hashes(self):
        lines = [line for line in setup.package_list().read_text().splitlines() if not line.startswith("#")]
        self.assertIn("--no-deps", setup.package_arguments())
        self.assertIn("--require-hashes", setup.package_arguments())
        for line in lines:
            self.assertRegex(line, r"^[a-z0-9-]+==[0-9][0-9.]*( --hash=sha256:[0-9a-f]{64})+$")
        self.assertTrue({"onnx", "onnxruntime", "tensorboard"} <= {line.split("==")[0] for line in lines})

    def test_packages_are_installed_again_for_another_list_or_python(self):
        with tempfile.TemporaryDirectory() as folder:
            home, calls = pathlib.Path(folder), []
            with mock.patch.multiple(setup, PACKAGES=home, install_packages=lambda: calls.append(1)):
                setup.setup_packages()
                setup.stamp_file(home).write_text(setup.package_stamp() + "more")
                setup.setup_packages()
                setup.stamp_file(home).write_text(setup.package_stamp())
                setup.setup_packages()
            self.assertEqual(len(calls), 2)

    def test_packages_that_cannot_be_installed_are_an_error_in_ci_only(self):
        with tempfile.TemporaryDirectory() as folder:
            refused = mock.Mock(returncode=1)
            partial = pathlib.Path(folder) / "partial"
            with mock.patch.multiple(setup, PACKAGES_PARTIAL=partial), mock.patch.object(subprocess, "run", return_value=refused):
                with mock.patch.dict(os.environ, {"CI": ""}), mock.patch("builtins.print"):
                    setup.install_packages()
                with mock.patch.dict(os.environ, {"CI": "true"}), mock.patch("builtins.print"), self.assertRaises(SystemExit):
                    setup.install_packages()


if __name__ == "__main__":
    unittest.main()
