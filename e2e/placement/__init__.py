"""Figures of placement (`make bench-placement`): pure ones, and live ones on KWOK nodes."""
