"""A quantised network's operators and 8-bit activations as differentiable PyTorch, for fitting and
training.
"""
