"""From a Q/DQ graph to integer inference: plan, lowering to the native core, and the run-time
Session.
"""
