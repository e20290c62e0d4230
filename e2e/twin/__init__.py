"""The twin's own figures: how fast it is, and how far from real servers.

``speed`` needs nothing, ``validate`` the test bed with a real node; ``python -m e2e.twin`` runs
both.
"""
