"""The activator's place in the service's path: when it enters, and when it leaves.

It enters with the decision for zero, before the last server leaves, and stays until a server is
ready that Kubernetes sends requests to: at every moment somebody accepts them. A server that fails
later on does not bring it back: above zero it is never in the path.
"""

from __future__ import annotations

from conch.api import names
from conch.kube.views import Object
from conch.observe.activation import hold_s
from conch.observe.state import Observation
from conch.render.endpointslice import Holding


def judge(obs: Observation, wanted: int) -> Holding | None:
    """The service's slice as it should be; None: it should have none.

    ``wanted`` replicas. A service that may go to zero no more keeps the slice until it is served.
    """
    live = obs.children.get(("EndpointSlice", obs.key.name))
    may = obs.service is not None and obs.service.spec.scaling.idle is not None
    inside = _addresses(live)
    in_path = (may and wanted == 0) or (bool(inside) and not _served(obs))
    if obs.activation is None or not (may or in_path):
        return None
    family = str(live["addressType"]) if live is not None else obs.activation.family
    if not family:
        return None  # there is no activator, and there never was one
    notes = {} if live is None else live["metadata"].get("annotations", {})
    # Those that are in the path stay there as long as nobody better is known: after a start of
    # the operator, and while it reaches none of them.
    addresses = obs.activation.addresses or inside
    return Holding(
        port=obs.activation.port,
        addresses=addresses if in_path else (),
        family=family,
        hold_s=hold_s(obs.cold_starts_s, notes.get(names.ANNOTATION_HOLD_S, "")),
    )


def _addresses(live: Object | None) -> tuple[str, ...]:
    endpoints = (live or {}).get("endpoints") or ()
    return tuple(address for e in endpoints for address in e.get("addresses", ()))


def _served(obs: Observation) -> bool:
    """Whether one of Kubernetes' own slices has an endpoint that is ready."""
    return any(
        (endpoint.get("conditions") or {}).get("ready")
        for (kind, _), child in obs.children.items()
        if kind == "EndpointSlice"
        and child["metadata"].get("labels", {}).get(names.LABEL_SLICE_MANAGER)
        != names.SLICE_MANAGER
        for endpoint in child.get("endpoints") or ()
    )
