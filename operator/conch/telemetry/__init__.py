"""What Conch says of itself: ``catalog`` has every metric, ``alerts`` and ``dashboard`` are made of
it; ``server`` serves metrics and probes, ``logs`` formats a line.
"""
