"""What happens to the cluster of pending_over_10s: seeded chance, one change at a time.

Somebody else's pods keep each class as full as its tide says, and the tides turn: so every class is
scarce at times. They go through the scheduler like anybody's.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conch.api import names
from e2e.bench import services
from e2e.bench.client import PODS, SERVICES, Client, Object, Objects
from e2e.placement import live
from e2e.placement.pending import CLASSES, PRODUCT, Wanted, takes_pods, units
from e2e.testbed import TestbedError, gpus

OTHERS = "bench-others"
_PODS = PODS.format(OTHERS)
_SERVICES = SERVICES.format(services.NAMESPACE)
_CORDONED = 20
_NOTICE_S = 15.0
_NOTICE = {"key": "aws-node-termination-handler/spot-itn", "value": "1", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Weather:
    """How scarce room is, and how soon that changes."""

    tides: tuple[int, ...] = (0, 0, 4, 12)
    """Free GPUs that somebody else's pods leave of a class, one of them by chance."""
    tide_s: float = 40.0
    pairs: float = 0.2
    """The share of services with two GPUs to a replica."""
    most_replicas: int = 6
    full: float = 0.78
    """Of the nodes, full of somebody else's pods at the start."""


USUAL = Weather()
STORM = Weather(tides=(0, 0, 0, 2, 5), tide_s=20.0, pairs=0.4, most_replicas=7, full=0.65)
"""To look for causes: harder than what the figure is about."""


class Disturbance:
    """Makes the world, then changes it."""

    def __init__(self, client: Client, seed: int, weather: Weather) -> None:
        self.services: dict[str, Wanted] = {}
        """As asked for now."""
        self.made: Counter[str] = Counter()
        """Changes by kind."""
        self._client = client
        self._rng = random.Random(seed)
        self._weather = weather
        self._nodes: dict[str, Object] = {}
        self._next_node = self._next_service = self._next_pod = 0
        self._cordoned: list[str] = []
        self._noticed: dict[str, float] = {}  # node -> when the provider takes it
        self._tides: dict[str, int] = dict.fromkeys(CLASSES, weather.tides[1])
        self._turn_s = 0.0

    async def prepare(self, nodes: int, count: int) -> None:
        """The nodes, most of them full, then the services."""
        await self._client.namespace(OTHERS)
        bodies = [self._node() for _ in range(nodes)]
        await live.at_once(self._client.create(live.NODES, body) for body in bodies)
        await self._client.until(live.NODES, lambda there: all(map(takes_pods, there.values())))
        await self._client.until(
            f"/api/v1/namespaces/{OTHERS}/serviceaccounts", lambda there: "default" in there
        )
        full = [body for body in bodies if self._rng.random() < self._weather.full]
        await live.at_once(self._client.create(_PODS, self._filling(body)) for body in full)
        await self._client.until(_PODS, lambda pods: all(map(live.is_ready, pods.values())))
        await live.at_once(self._create_service() for _ in range(count))
        self.made.clear()

    async def begun(self) -> None:
        """Wait until every service has a pod."""
        await self._client.until(live.OWN_PODS, self._all_began)

    def _all_began(self, pods: Objects) -> bool:
        return {p["metadata"]["labels"][names.LABEL_SERVICE] for p in pods.values()} == set(
            self.services
        )

    async def change(self, now_s: float, free: Mapping[str, list[int]], pods: Objects) -> None:
        """One change. What was there a moment ago and is gone now is no error."""
        try:
            await self._change(now_s, free, pods)
        except TestbedError as error:
            if not any(f": {code}:" in str(error) for code in (404, 409, 429)):
                raise

    async def _change(self, now_s: float, free: Mapping[str, list[int]], pods: Objects) -> None:
        if now_s > self._turn_s + self._weather.tide_s:
            self._turn_s = now_s
            self._tides = {name: self._rng.choice(self._weather.tides) for name in CLASSES}
        due = [name for name, at_s in self._noticed.items() if at_s <= now_s]
        if due:
            await self._reclaim(due[0], pods)
            return
        dice = self._rng.random()
        if dice < 0.30:
            await self._resize()
        elif dice < 0.36:
            await self._replace_service()
        elif dice < 0.46:
            await self._cordon()
        elif dice < 0.50:
            await self._lose_node()
        elif dice < 0.54:
            await self._notice(now_s)
        else:
            await self._follow_tide(free, pods)

    # --- services --------------------------------------------------------------------------------

    async def _create_service(self) -> None:
        name = f"s{self._next_service:03}"
        self._next_service += 1
        classes = tuple(self._rng.sample(sorted(CLASSES), self._rng.randint(1, 4)))
        count = 2 if self._rng.random() < self._weather.pairs else 1
        wanted = Wanted(name, classes, count, self._rng.randint(1, self._weather.most_replicas))
        body = services.service(name, mode="Fixed", replicas=wanted.replicas)
        body["spec"]["placement"]["accelerators"] = {"classes": list(classes), "count": count}
        await self._client.create(_SERVICES, body)
        self.services[name] = wanted
        self.made["services made"] += 1

    async def _replace_service(self) -> None:
        name = self._rng.choice(sorted(self.services))
        del self.services[name]
        await self._client.delete(f"{_SERVICES}/{name}")
        await self._create_service()

    async def _resize(self) -> None:
        old = self.services[self._rng.choice(sorted(self.services))]
        step = self._rng.choice((-3, -2, -1, 1, 2, 3))
        replicas = min(self._weather.most_replicas, max(1, old.replicas + step))
        scaling = {"mode": "Fixed", "replicas": replicas}
        await self._client.patch(f"{_SERVICES}/{old.name}", {"spec": {"scaling": scaling}})
        self.services[old.name] = Wanted(old.name, old.classes, old.count, replicas)
        self.made["services resized"] += 1

    # --- nodes -----------------------------------------------------------------------------------

    def _node(self) -> Object:
        model = self._rng.choice(sorted(CLASSES))
        body = live.node(self._next_node, CLASSES[model], self._rng.randint(1, 2))
        self._next_node += 1
        self._nodes[body["metadata"]["name"]] = body
        return body

    async def _cordon(self) -> None:
        if len(self._cordoned) < _CORDONED and self._rng.random() < 0.6:
            name = self._rng.choice(sorted(self._nodes))
            self._cordoned.append(name)
            change, what = True, "nodes cordoned"
        elif self._cordoned:
            name = self._cordoned.pop(0)
            change, what = False, "nodes uncordoned"
        else:
            return
        await self._client.patch(f"{live.NODES}/{name}", {"spec": {"unschedulable": change}})
        self.made[what] += 1

    async def _lose_node(self) -> None:
        """One goes without a word, another comes."""
        name = self._rng.choice(sorted(self._nodes))
        self._drop(name)
        await self._client.delete(f"{live.NODES}/{name}")
        await self._client.create(live.NODES, self._node())
        self.made["nodes lost and made"] += 1

    async def _notice(self, now_s: float) -> None:
        name = self._rng.choice(sorted(self._nodes.keys() - self._noticed.keys()))
        self._noticed[name] = now_s + _NOTICE_S
        await self._client.patch(f"{live.NODES}/{name}", live.taints(_NOTICE))
        self.made["nodes reclaimed"] += 1

    async def _reclaim(self, name: str, pods: Objects) -> None:
        """The provider takes the node; another comes."""
        self._drop(name)
        await self._client.delete(f"{live.NODES}/{name}")
        for pod in [p for p in pods.values() if p["spec"].get("nodeName") == name]:
            meta = pod["metadata"]
            await self._delete_pod(f"{PODS.format(meta['namespace'])}/{meta['name']}")
        await self._client.create(live.NODES, self._node())

    def _drop(self, name: str) -> None:
        self._nodes.pop(name, None)
        self._noticed.pop(name, None)
        if name in self._cordoned:
            self._cordoned.remove(name)

    # --- somebody else's pods --------------------------------------------------------------------

    async def _follow_tide(self, free: Mapping[str, list[int]], pods: Objects) -> None:
        name = self._rng.choice(sorted(CLASSES))
        there = sum(free[name])
        others = defaultdict(list)
        waiting = 0
        for pod in pods.values():
            if pod["metadata"]["namespace"] == OTHERS and live.alive(pod):
                product = pod["spec"]["nodeSelector"][PRODUCT]
                others[product].append(pod["metadata"]["name"])
                if product == CLASSES[name].product and not pod["spec"].get("nodeName"):
                    waiting += units(pod)
        mine = sorted(others[CLASSES[name].product])
        if there - waiting > self._tides[name]:
            await self._client.create(_PODS, self._other(CLASSES[name], self._rng.randint(1, 2)))
            self.made["others' pods made"] += 1
        elif mine:
            await self._delete_pod(f"{_PODS}/{self._rng.choice(mine)}")
            self.made["others' pods ended"] += 1

    def _filling(self, node: Object) -> Object:
        """A pod that is on the node and takes all of it."""
        product = node["metadata"]["labels"][PRODUCT]
        model = next(m for m in CLASSES.values() if m.product == product)
        pod = self._other(model, int(node["status"]["allocatable"][gpus.RESOURCE]))
        pod["spec"]["nodeName"] = node["metadata"]["name"]
        return pod

    def _other(self, model: gpus.GpuModel, count: int) -> Object:
        name = f"f{self._next_pod:05}"
        self._next_pod += 1
        amounts = {gpus.RESOURCE: str(count), "cpu": "100m", "memory": "128Mi"}
        container: dict[str, Any] = {
            "name": "work",
            "image": "registry.example/work:1",
            "resources": {"requests": amounts, "limits": amounts},
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "containers": [container],
                "nodeSelector": {PRODUCT: model.product},
                "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
                "terminationGracePeriodSeconds": 1,
                "automountServiceAccountToken": False,
            },
        }

    async def _delete_pod(self, path: str) -> None:
        await self._client.delete(path)
