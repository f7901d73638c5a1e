"""ONNX in, normalised; the Q/DQ form out. All graph handling goes through onnx-ir."""

from sub8.onnx_import import import_onnx_ir

import_onnx_ir()  # before anything here imports it as a whole
