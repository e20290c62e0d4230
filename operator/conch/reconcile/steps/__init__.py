"""One module per condition: gather nothing, judge, and say why.

Each step is a pure function of the observation that returns its condition (reason and message are
the judgement) and what follows from it. Read them in the order of ``reconcile.plan``.
"""
