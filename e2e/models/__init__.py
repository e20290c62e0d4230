"""The example models of the demo and the tests, and broken ones that show each way to fail.

Start at repository.py, which lays them out as a Triton model repository. resnet/ sleeps like a
vision model works, tiny_onnx/ computes with ONNX Runtime. `python -m e2e.models DEST` writes all.
"""
