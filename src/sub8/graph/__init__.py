"""ONNX in, normalised; the Q/DQ form out. All graph handling goes through onnx-ir."""
