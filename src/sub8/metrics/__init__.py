"""How good a network's answers are: beside another network's, and beside the truth."""
