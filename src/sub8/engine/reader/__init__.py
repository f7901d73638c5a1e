"""A Q/DQ graph, read forward, becomes a plan."""
