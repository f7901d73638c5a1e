"""One public verb each."""

from sub8.onnx_import import import_onnx_ir

import_onnx_ir()  # before anything here imports it as a whole
