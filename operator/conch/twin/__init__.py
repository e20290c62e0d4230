"""The digital twin: what a Triton service, its metrics and its scaler would have done on a trace.

Design: docs/design/002-twin-and-scaler.md. Needs the extra ``twin`` (numba, numpy); the operator's
import path never comes here.
"""
