"""Mixed precision: which weights each layer gets, from measured sensitivities and costs and one
budget.
"""
