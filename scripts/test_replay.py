"""Tests of replay.py's comparing and of its table; they need neither PyTorch nor a release."""

import math
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from replay import compare, ghn_block  # noqa: E402


class Compare(unittest.TestCase):
    def test_a_difference_is_relative_to_the_release(self):
        self.assertAlmostEqual(compare.relative([3.0, 4.5], [3.0, 4.0]), 0.1)
        self.assertEqual(compare.relative([0.0], [0.0]), 0.0)
        self.assertEqual(compare.relative([1.0], [0.0]), math.inf)
        self.assertTrue(math.isnan(compare.relative([math.nan], [1.0])))
        with self.assertRaises(ValueError):
            compare.relative([1.0], [1.0, 2.0])

    def test_steps_become_quantities_and_a_step_may_lack_one(self):
        steps = [{"loss": (1e-8, 2e-8)}, {"loss": (3e-8, 4e-8), "alpha gradient": (5e-7, 6e-7)}]
        loss, alpha = compare.gather(steps)
        self.assertEqual((loss.name, loss.ours, loss.release), ("loss", [1e-8, 3e-8], [2e-8, 4e-8]))
        self.assertEqual((alpha.name, alpha.ours), ("alpha gradient", [5e-7]))

    def test_the_median_and_the_worst_step_decide(self):
        passes = lambda name, ours, release=(1e-8,): compare.Quantity(name, ours, list(release)).passes()
        self.assertTrue(passes("weight gradient", [1e-7, 2e-7, 5e-3]), "a ReLU at the edge in one step")
        self.assertFalse(passes("weight gradient", [1e-7, 2e-4, 5e-3]))
        self.assertFalse(passes("weight gradient", [1e-7, 2e-7, 0.2]))
        self.assertTrue(passes("weight gradient", [2e-4, 2e-4, 2e-4], [1e-4]), "rounding is as large in the release")
        self.assertFalse(passes("weight gradient", [2e-4, 2e-4, 2e-4], [5e-5]))
        self.assertFalse(passes("weights after", [1e-7, 2e-7, 5e-3]), "a wrong learning rate in one step")
        self.assertTrue(passes("weights after Adam", [1e-7, 2e-7, 5e-4]), "signs of gradients near zero")
        self.assertFalse(passes("weights after Adam", [1e-7, 2e-7, 5e-3]))
        self.assertFalse(passes("loss", [1e-8, math.nan, 1e-8]))

    def test_the_table_shows_both_precisions_and_the_verdict(self):
        good = compare.Quantity("loss", [1e-8, 2e-8, 3e-8], [4e-8, 5e-8, 6e-8])
        bad = compare.Quantity("weights after", [1e-3, 2e-3, 1e-7], [1e-8, 1e-8, 1e-8])
        lines = compare.table([good, bad]).splitlines()
        self.assertEqual(lines[2], "| loss | 3 | 2.0e-08 | 3.0e-08 | 0 | 5.0e-08 | 6.0e-08 | 0 | ok |")
        self.assertEqual(lines[3], "| weights after | 3 | 1.0e-03 | 2.0e-03 | 2 | 1.0e-08 | 1.0e-08 | 0 | DIFFERS |")
        self.assertEqual(len({line.count("|") for line in lines}), 1)


class GhnBlock(unittest.TestCase):
    def test_a_block_is_a_graph_with_one_sink(self):
        node = lambda op, a, b: [{"op": op, "from": a}, {"op": op, "from": b}]
        kinds, edges = ghn_block.block({"nodes": [node("conv_1x1", 1, 0), node("identity", 2, 0)], "concat": [3]})
        self.assertEqual(kinds, ["input", "input", "conv_1x1", "identity", "output"])
        self.assertEqual(edges, [(1, 2), (0, 2), (2, 3), (0, 3), (3, 4)])
        self.assertTrue(set(kinds) < set(ghn_block.KINDS))

    def test_branches_have_the_papers_sizes(self):
        # As in reproductions/ghn/README.md: 64 hidden features and a bias for each number.
        sizes = {kind: 65 * sum(math.prod(s) for s in tensors.values()) for kind, tensors in ghn_block.shapes(32, 3, 10).items()}
        self.assertEqual((sizes["stem"], sizes["conv_1x7_7x1"], sizes["head"]), (56_160, 931_840, 83_850))

    def test_a_weight_knows_its_vertex_and_its_half(self):
        names = ["block0.in0.conv0.weight", "block12.in1.conv0.weight", "block12.in1.conv1.weight", "block3.node10.first.conv1.weight", "stem.conv0.weight", "head.bias"]
        self.assertEqual([ghn_block.source(name, names) for name in names],
                         [("block0.in0", "conv0.weight", None), ("block12.in1", "conv0.weight", 0), ("block12.in1", "conv0.weight", 1),
                          ("block3.node10", "conv1.weight", None), ("stem", "conv0.weight", None), ("head", "bias", None)])


if __name__ == "__main__":
    unittest.main()
