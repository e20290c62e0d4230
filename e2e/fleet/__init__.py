"""A fleet of fake Triton pods: one process answers for thousands of addresses, told apart by them.

KWOK's pods exist in the API server only; inside the test bed's network namespace all their
addresses are local, so a server on every address plays the servers behind them. load.py says what
a pod is asked to show, counters.py lets its counters run accordingly (a fluid queue, no events),
exposition.py writes them as Triton 24.10 does, faults.py spoils answers, server.py speaks HTTP.
Start it with `python -m e2e.fleet`, steer it through its control port.
"""
