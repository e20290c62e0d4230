"""What to do about one InferenceService: a pure function of what was observed."""
