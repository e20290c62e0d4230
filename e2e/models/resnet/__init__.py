"""A model that sleeps like a vision model works."""
