"""The readable NumPy definition of sub8's integer arithmetic, which every backend must match bit
for bit.
"""
