"""What Conch's API is made of; everything else may import it, and it imports nothing of ours.

Start with ``v1alpha1``: the three kinds. ``scaling``, ``placement`` and ``status`` are parts of an
InferenceService, ``fields`` what fields are made of, ``crdgen`` makes CRDs of them. ``conditions``
holds every condition and reason, ``names`` every label, annotation and child's name.
"""
