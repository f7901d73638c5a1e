"""A plan becomes native steps for one input shape."""
