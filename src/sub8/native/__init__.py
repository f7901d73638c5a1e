"""The C++ core: plan executor and micro-kernels, one folder per instruction set, chosen at run
time.
"""
