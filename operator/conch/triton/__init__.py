"""Everything Conch knows about the Triton server itself.

- ``arguments``  its command line, gated by release (pure)
- ``capability`` which GPUs a release runs on (pure)
- ``sample``     what one look at one pod gives: the values the autoscaler is fed
- ``metrics``    its Prometheus text, parsed (pure)
- ``statistics`` its ``/v2/models/stats`` answer, parsed (pure)
- ``configuration`` its ``/v2/models/M/config`` answer: what a model runs (pure)
- ``waiting``    what of a model's times a client waits for: ensembles and streams (pure)
- ``http``       one request to one pod, as cheap as looking at thousands has to be
- ``scrape``     one look at one pod
- ``repository`` why a model could not be loaded
- ``prometheus`` the same looks from a Prometheus, while pods cannot be reached

Whether a pod is *ready* is the kubelet's to find out; nothing here loads or unloads a model.
"""
