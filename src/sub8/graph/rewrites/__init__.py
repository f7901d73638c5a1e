"""Rules that ``normalise`` applies, each a family of forms of the graph brought into one."""
