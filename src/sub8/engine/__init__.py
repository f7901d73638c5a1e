"""From a Q/DQ graph to integer inference: plan, lowering to the native core, and the run-time
Session.
"""

from sub8.onnx_import import import_onnx_ir

import_onnx_ir()  # before anything here imports it as a whole
