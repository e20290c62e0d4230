"""crash_points_ok: the operator is killed after every single write, and must not be changed by it.

Look next at `figure.py` (what is counted), `lane.py` (one story's points, one after another),
`proxy.py` (where the operator is cut off) and `oracle.py` (what "the same end" means).
"""
