"""A tiny perceptron run by ONNX Runtime; onnxfile.py writes its file."""
