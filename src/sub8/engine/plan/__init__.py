"""Integer operators as plain data, what they mean, and the proofs that they fit."""
