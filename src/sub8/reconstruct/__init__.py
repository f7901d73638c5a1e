"""Block reconstruction: the integers of neighbouring layers fitted together, by gradients, on
calibration data.
"""
