"""The versions that sub8 writes."""

OPSET = 25  # the first with int2 tensors and their blocked DequantizeLinear
IR_VERSION = 13  # the first with the int2 tensor type
