"""Figures of the autoscaler on a live cluster with real servers. Start at ``__main__``."""
