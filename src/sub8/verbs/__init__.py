"""One public verb each."""
