"""Security contexts: Pod Security level `restricted`, for every container, without exception."""

from __future__ import annotations

from conch.api import v1alpha1
from conch.kube.views import Object


def pod_security(security: v1alpha1.RuntimeSecurity) -> Object:
    """The pod's security context; the group owns the volumes that are written."""
    return {
        "runAsNonRoot": True,
        "runAsUser": security.run_as_user,
        "runAsGroup": security.fs_group,
        "fsGroup": security.fs_group,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Object:
    """The security context of each container."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
