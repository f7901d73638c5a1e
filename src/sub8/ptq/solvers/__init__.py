"""Solvers: real weights of one layer to one clustered weight (``solve``) or a sum of several
(``solve_terms``).
"""

from sub8.ptq.solvers.residual import solve_terms
from sub8.ptq.solvers.single import solve

__all__ = ["solve", "solve_terms"]
