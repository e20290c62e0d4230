"""The figures that `make bench` prints.

Look next at `figure.py` (what a figure is), `registry.py` (all of them), `run.py` (how they are
measured and shown), and `operator.py` (the operator under test).
"""
