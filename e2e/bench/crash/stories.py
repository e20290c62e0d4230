"""What a person does to a service while the operator is killed: create, change, scale, delete."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from e2e.bench import services
from e2e.bench.client import SERVICES, Client, Object


@dataclass(frozen=True, slots=True)
class Story:
    """One of them. A service exists before it, unless `scaling` is None: then it is created."""

    name: str
    accelerator: str
    """Each story has a model of GPU to itself: operators of different namespaces see only their
    own pods, and would promise the same GPU twice."""
    act: Callable[[Client, Story, str], Awaitable[Any]]
    before: dict[str, Any] | None
    """`spec.scaling` of the service that exists before."""
    replicas: int
    """How many it has at the end; 0: it is gone."""
    after: dict[str, Any] = field(default_factory=dict)
    """`spec.scaling` of what is created or patched."""

    @property
    def namespace(self) -> str:
        return f"crash-{self.name}"

    def manifest(self, name: str, scaling: dict[str, Any]) -> Object:
        """The InferenceService."""
        return services.service(name, self.namespace, self.accelerator, **scaling)

    def path(self, name: str = "") -> str:
        """Of the InferenceService, or of all in the namespace."""
        return SERVICES.format(self.namespace) + (f"/{name}" if name else "")


async def _create(client: Client, story: Story, name: str) -> None:
    await client.create(story.path(), story.manifest(name, story.after))


async def _change(client: Client, story: Story, name: str) -> None:
    await client.patch(story.path(name), {"spec": {"resources": {"memory": "2Gi"}}})


async def _scale(client: Client, story: Story, name: str) -> None:
    await client.patch(story.path(name), {"spec": {"scaling": story.after}})


async def _delete(client: Client, story: Story, name: str) -> None:
    await client.delete(story.path(name))


def _fixed(replicas: int) -> dict[str, Any]:
    return {"mode": "Fixed", "replicas": replicas}


# Above one replica there is a PodDisruptionBudget, so that scaling makes and deletes an object.
STORIES = (
    Story("create", "h100-80gb-hbm3", _create, None, 2, {"minReplicas": 2}),
    Story("change", "a100-sxm4-80gb", _change, {"minReplicas": 2}, 2),
    Story("up", "l40s", _scale, _fixed(1), 3, _fixed(3)),
    Story("down", "l4", _scale, _fixed(2), 1, _fixed(1)),
    Story("delete", "t4", _delete, {"minReplicas": 2}, 0),
)
