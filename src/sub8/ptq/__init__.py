"""Post-training quantisation: calibrate, solve, correct."""
