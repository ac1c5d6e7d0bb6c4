"""Python reads our checkpoints, and we read those that Python writes back.

usage: checkpoint_python_test.py CHECKPOINT_SAMPLE
Exit code 77 (skipped) where Python has no safetensors.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy
    import safetensors.numpy
    from safetensors import safe_open
except ImportError as error:
    print(f"SKIPPED: {error}; pip install safetensors numpy torch", file=sys.stderr)
    sys.exit(77)
try:
    import torch
except ImportError:
    torch = None
    print("torch is not installed: its tests are skipped", file=sys.stderr)

SAMPLE = ""


class CheckpointInPython(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        subprocess.run([SAMPLE, "write", cls.folder], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def path(self, name):
        return self.folder / f"{name}.safetensors"

    def expected(self, name):
        return json.loads((self.folder / f"{name}.json").read_text())

    def test_tensors_have_the_documented_names_shapes_and_bits(self):
        for name in ("mlp", "logistic"):
            tensors = safetensors.numpy.load_file(self.path(name))
            expected = self.expected(name)["tensors"]
            self.assertEqual(set(tensors), set(expected))
            for key, tensor in tensors.items():
                values = numpy.array(expected[key]["values"], numpy.float32)
                self.assertEqual(tensor.dtype, numpy.float32)
                numpy.testing.assert_array_equal(tensor, values.reshape(expected[key]["shape"]))

    def test_metadata_describes_model_and_classes(self):
        with safe_open(self.path("mlp"), "numpy") as f:
            metadata = json.loads(f.metadata()["lockstep"])
        self.assertEqual(metadata["model"]["layers"][1], {"type": "dropout", "p": 0.25})
        self.assertEqual(metadata["class_names"][1], "caf\u00e9")
        self.assertEqual(bytes(metadata["class_names"][2]), b"caf\xe9\n\"\\")
        self.assertEqual(metadata["seed"], 2**64 - 1)

    def test_training_state_holds_optimizer_tensors_and_position(self):
        with safe_open(self.path("state"), "numpy") as f:
            self.assertIn("optimizer.variance.layers.4.bias", f.keys())
            self.assertIn("best.layers.0.weight", f.keys())
            metadata = json.loads(f.metadata()["lockstep"])
        self.assertEqual(metadata["position"]["global_step"], 2**53 + 1)
        self.assertEqual(metadata["position"]["epoch_loss"], 0.1 + 0.2)

    def test_a_file_that_python_writes_back_loads(self):
        for name in ("mlp", "logistic"):
            tensors = safetensors.numpy.load_file(self.path(name))
            with safe_open(self.path(name), "numpy") as f:
                metadata = f.metadata()
            copy = self.folder / "copy.safetensors"
            safetensors.numpy.save_file(tensors, copy, metadata)
            result = subprocess.run([SAMPLE, "hash", copy], check=True, capture_output=True)
            self.assertEqual(result.stdout.decode().strip(), self.expected(name)["sha256"])

    def check_logits(self, name, model):
        # The lines that the README shows.
        with safe_open(self.path(name), "pt") as f:
            names = json.loads(f.metadata()["lockstep"])["torch"]
            model.load_state_dict({names[name]: f.get_tensor(name) for name in names})

        expected = self.expected(name)
        with safe_open(self.path(name), "pt") as f:
            normalization = json.loads(f.metadata()["lockstep"])["normalization"]
        x = torch.tensor(expected["inputs"])
        if normalization["scale"]:
            x = x * torch.tensor(normalization["scale"]) + torch.tensor(normalization["offset"])
        with torch.no_grad():
            logits = model.eval()(x)
        torch.testing.assert_close(logits, torch.tensor(expected["logits"]), rtol=1e-5, atol=1e-5)

    @unittest.skipIf(torch is None, "torch is not installed")
    def test_torch_gives_the_same_logits(self):
        from torch.nn import Dropout, Linear, ReLU, Sequential

        self.check_logits("mlp", Sequential(Linear(6, 5), ReLU(), Dropout(0.25), Linear(5, 4),
                                            ReLU(), Dropout(0.25), Linear(4, 3)))
        self.check_logits("logistic", Sequential(Linear(4, 1)))


if __name__ == "__main__":
    SAMPLE = sys.argv.pop(1)
    unittest.main(verbosity=2)
