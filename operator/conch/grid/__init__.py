"""What is outside the cluster and measures: grids' carbon intensity, power meters in Prometheus.

Start with ``sources.make``; ``intensity`` holds the values, ``service`` the one way to ask.
"""
