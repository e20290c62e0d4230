"""`conch capacity` and `conch place` as a shell sees them, with a cluster and with a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from conch.api import names
from conch.fetch import report
from tests.cli.conftest import FakeCluster, Run
from tests.cli.fleets import Object, collections, node, pod, service

NODES = [node("a", "NVIDIA-L4"), node("b", "Tesla-T4", gpus=1)]


@pytest.fixture
def gpus(cluster: FakeCluster) -> FakeCluster:
    cluster.collections = collections(NODES, [pod("p", "a", gpus=2)])
    return cluster


def written(folder: Path, **spec: Any) -> str:
    file = folder / "service.yaml"
    file.write_text(yaml.safe_dump(service(**spec)))
    return str(file)


def wants(*classes: str, **more: Any) -> Object:
    accelerators = {"classes": list(classes)} if classes else {}
    return {"accelerators": {**accelerators, **more}}


@pytest.mark.usefixtures("gpus")
def test_capacity_shows_a_line_per_class(run: Run) -> None:
    code, out, _ = run("capacity")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[1] == ["l4", "22.4Gi", "1", "4", "2", "0", "2", "2/1/0/0", "0.80", "0.40"]
    assert lines[2] == ["t4", "15Gi", "1", "1", "1", "0", "0", "1/0/0/0", "0.53", "-"]
    assert out.splitlines()[3] == ("Accelerators: $3.75 an hour, of which $2.14 for free ones.")


def test_what_is_wrong_with_the_fleet_is_told(run: Run, cluster: FakeCluster) -> None:
    cluster.collections = collections(
        [
            node("a", "NVIDIA-L4", unschedulable=True),
            node("b", "NVIDIA-Z9"),
            node("c", allocatable={"nvidia.com/gpu": "1"}),
        ],
        [pod("p", "b", gpus=1, cpu="8")],
    )
    _, out, _ = run("capacity")
    assert "l4: 1 node no new pod goes to (1 cordoned), 4 units free there." in out
    assert "z9: 3 free units are stranded" in out
    assert "4 units have no known price" in out
    assert "1 node with accelerators of no known class" in out


@pytest.mark.usefixtures("gpus")
def test_a_saved_fleet_answers_like_the_cluster(
    run: Run, tmp_path: Path, cluster: FakeCluster
) -> None:
    file = tmp_path / "fleet.json"
    code, shown, _ = run("capacity", "--save", str(file))
    assert code == 0
    cluster.collections = {}
    assert run("capacity", "--snapshot", str(file)) == (0, shown, "")
    assert "s3cr3t" not in file.read_text()
    assert "t0p" not in file.read_text()
    _, out, _ = run("capacity", "--snapshot", str(file), "-o", "json")
    found = json.loads(out)
    assert [line["name"] for line in found["classes"]] == ["l4", "t4"]
    assert found["classes"][0]["fits"] == {"1": 2, "2": 1, "4": 0, "8": 0}


def test_a_saved_fleet_holds_no_signed_address(run: Run, tmp_path: Path, gpus: FakeCluster) -> None:
    signed = service("signed", placement=wants("t4"))
    signed["spec"]["models"][0]["source"]["uri"] = "https://store/m.tgz?sig=s1gned"
    gpus.collections = collections(NODES, [], [signed])
    file = tmp_path / "fleet.json"
    assert run("capacity", "--save", str(file))[0] == 0
    assert "s1gned" not in file.read_text()
    assert "https://store/m.tgz" in file.read_text()
    asked = written(tmp_path, placement=wants("t4"))
    assert run("place", "-f", asked, "--snapshot", str(file))[0] == 1, "the older one has it"


def test_capacity_of_a_cluster_without_conch(run: Run, cluster: FakeCluster) -> None:
    cluster.collections = {
        path: items for path, items in collections([]).items() if "conch.dev" not in path
    }
    assert run("capacity") == (0, "No nodes.\n", "")


def test_who_may_not_list_nodes_is_told_so(run: Run, gpus: FakeCluster) -> None:
    gpus.forbidden = {"/api/v1/nodes"}
    code, _, err = run("capacity")
    assert (code, err) == (1, "conch: you may not do that: no.\n")


@pytest.mark.slow
def test_nodes_that_karpenter_may_add_are_counted_and_saved(
    run: Run, gpus: FakeCluster, tmp_path: Path
) -> None:
    group, pool = "/apis/karpenter.sh/v1", "karpenter.sh/nodepool"
    conditions = [{"type": "Launched", "status": "True"}]
    gpus.collections |= {
        "/apis/conch.dev/v1alpha1/acceleratorclasses": [
            {
                "metadata": {"name": "added", "resourceVersion": "1"},
                "spec": {"nodeSelector": {pool: "gpu"}, "memory": "24Gi"},
            }
        ],
        f"{group}/nodepools": [
            {"metadata": {"name": "gpu"}, "spec": {"limits": {"nvidia.com/gpu": 3}}}
        ],
        f"{group}/nodeclaims": [
            {
                "metadata": {"name": "gpu-1", "labels": {pool: "gpu"}},
                "status": {"allocatable": {"nvidia.com/gpu": "1"}, "conditions": conditions},
            }
        ],
    }
    file = tmp_path / "fleet.json"
    _, out, _ = run("capacity", "--save", str(file))
    assert "added: up to 3 nodes can be added by a node autoscaler." in out
    assert run("capacity", "--snapshot", str(file))[1] == out
    assert run("place", "-f", written(tmp_path, placement=wants("added")))[0] == 0
    # Without a node of Karpenter's nobody is told of what most clusters lack.
    gpus.forbidden = {f"{group}/nodepools", f"{group}/nodeclaims"}
    assert run("capacity")[2] == ""


def test_devices_are_counted_and_who_may_not_see_them_is_told_so(
    run: Run, gpus: FakeCluster, tmp_path: Path
) -> None:
    dra = "/apis/resource.k8s.io/v1"
    pool = {"name": "a", "generation": 1, "resourceSliceCount": 1}
    devices = [{"name": f"gpu-{i}"} for i in range(4)]
    slice_spec = {"driver": "gpu.example", "pool": pool, "nodeName": "a", "devices": devices}
    taken = {"driver": "gpu.example", "pool": "a", "device": "gpu-0"}
    gpus.collections |= {
        "/apis/conch.dev/v1alpha1/acceleratorclasses": [
            {
                "metadata": {"name": "claimed", "resourceVersion": "1"},
                "spec": {"deviceClassName": "gpus", "memory": "24Gi"},
            }
        ],
        f"{dra}/resourceslices": [{"metadata": {"name": "s"}, "spec": slice_spec}],
        f"{dra}/deviceclasses": [{"metadata": {"name": "gpus"}, "spec": {}}],
        f"{dra}/resourceclaims": [
            {
                "metadata": {"name": "c", "namespace": "x", "uid": "c"},
                "status": {"allocation": {"devices": {"results": [taken]}}},
            }
        ],
    }
    file = tmp_path / "fleet.json"
    _, out, err = run("capacity", "--save", str(file))
    assert out.splitlines()[1].split()[:5] == ["claimed", "24Gi", "1", "4", "3"]
    assert err == ""
    assert run("capacity", "--snapshot", str(file))[1] == out
    assert run("place", "-f", written(tmp_path, placement=wants("claimed", count=3)))[0] == 0
    assert run("place", "-f", written(tmp_path, placement=wants("claimed", count=4)))[0] == 1
    gpus.forbidden = {f"{dra}/resourceslices", f"{dra}/resourceclaims"}
    code, _, err = run("capacity")
    assert (code, err) == (
        0,
        "you may not list resourceclaims, resourceslices: taken as if there were none.\n",
    )


# --- place --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("gpus")
def test_place_says_where_it_goes_and_what_it_costs(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path, placement=wants("l4", "t4"))
    code, out, _ = run("place", "-f", file, "--replicas", "2")
    assert code == 0
    assert out.startswith("demo/new would go to l4: 2 replicas, $1.61 an hour")
    assert "chosen: " in out
    _, out, _ = run("place", "-f", file, "-o", "json")
    found = json.loads(out)
    assert (found["class_name"], found["replicas"], found["missing"]) == ("l4", 1, 0)
    assert found["cost_per_h"] == pytest.approx(0.8048)


@pytest.mark.usefixtures("gpus")
def test_place_says_what_goes_to_which_of_several_classes(run: Run, tmp_path: Path) -> None:
    """Two of l4 are free and one of t4: three find room, a fourth does not."""
    file = written(tmp_path, placement=wants("l4", "t4"))
    code, out, _ = run("place", "-f", file, "--replicas", "3")
    assert code == 0
    assert "(2 x l4 OnDemand, 1 x t4 OnDemand)" in " ".join(out.split())
    assert "chosen: 1 replica; 1 node, 0 of 1 GPU free" in " ".join(out.split())
    code, out, _ = run("place", "-f", file, "--replicas", "4")
    assert code == 1
    assert "1 of them find no room" in " ".join(out.split())


@pytest.mark.usefixtures("gpus")
def test_place_says_what_would_have_to_be_added(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path, placement=wants("l4"))
    code, out, _ = run("place", "-f", file, "--replicas", "5")
    assert code == 1
    assert "3 of them find no room" in " ".join(out.split())
    assert "3 more units of l4, $2.41 an hour" in out


@pytest.mark.usefixtures("gpus")
def test_place_says_where_what_is_added_has_to_be(run: Run, tmp_path: Path) -> None:
    at_sites = wants("l4") | {"sites": ["attic", "cellar"]}
    _, out, _ = run("place", "-f", written(tmp_path, placement=at_sites))
    assert "1 more unit of l4 at attic or cellar, $0.80 an hour" in out
    selected = wants("l4") | {"nodeSelector": {"pool": "none"}, "capacityTypes": ["Spot"]}
    _, out, _ = run("place", "-f", written(tmp_path, placement=selected))
    assert "1 more unit of l4 on nodes that are Spot with the labels of spec.placement" in out


@pytest.mark.usefixtures("gpus")
def test_place_counts_classes_of_the_same_file_as_declared(run: Run, tmp_path: Path) -> None:
    file = Path(written(tmp_path, placement=wants("mine")))
    assert run("place", "-f", str(file))[0] == 1
    mine = {
        "apiVersion": "conch.dev/v1alpha1",
        "kind": "AcceleratorClass",
        "metadata": {"name": "mine"},
        "spec": {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"}, "memory": "24Gi"},
    }
    file.write_text(f"{file.read_text()}\n---\n{json.dumps(mine)}\n")
    code, out, _ = run("place", "-f", str(file))
    assert (code, out.split(":")[0]) == (0, "demo/new would go to mine")


@pytest.mark.usefixtures("gpus")
def test_place_names_a_gpu_that_would_do_when_none_here_does(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path, placement=wants(minMemory="40Gi"))
    code, out, _ = run("place", "-f", file)
    assert code == 1
    assert "would go nowhere (NothingFits): 1 replica finds no room" in out
    assert "1 x l40s, list price $1.86 an hour" in out
    file = written(tmp_path, placement=wants("l4", minMemory="40Gi"))
    assert "What would help" not in run("place", "-f", file)[1]


def staged(gib: int, uri: str = "image:///opt/m") -> Object:
    """A pod of service `runs` whose puller told that size, and more."""
    told = report.text([report.Staged(report.model_key(uri, "", {}), gib << 30)])
    made = pod("runs-1", "b", gpus=1)
    made["metadata"] |= {
        "namespace": "demo",
        "labels": {names.LABEL_SERVICE: "runs", names.LABEL_ACCELERATOR: "t4"},
    }
    made["status"]["initContainerStatuses"] = [
        {"name": "fetch", "state": {"terminated": {"exitCode": 0, "message": told}}},
        {"name": "bake", "state": {"terminated": {"exitCode": 0, "message": "s3cr3t"}}},
    ]
    return made


def test_place_goes_by_the_size_of_a_model_that_runs_already(
    run: Run, gpus: FakeCluster, tmp_path: Path
) -> None:
    runs = service("runs", placement=wants("t4"))
    gpus.collections = collections(NODES, [staged(15)], [runs])
    saved = tmp_path / "fleet.json"
    assert run("capacity", "--save", str(saved))[0] == 0
    assert "s3cr3t" not in saved.read_text()
    file = written(tmp_path, placement=wants("t4", "l4"))
    for where in ((), ("--snapshot", str(saved))):
        _, out, _ = run("place", "-f", file, *where)
        text = " ".join(out.split())
        assert text.startswith("demo/new would go to l4: 1 replica")
        assert "a replica takes of each unit 15.6Gi (estimated: 15Gi of model files x 1 in" in text
        assert "too small: needs 15.6Gi (estimated: 15Gi of model files x 1 instance" in text
    gpus.collections = collections(NODES, [staged(30)], [runs])
    _, out, _ = run("place", "-f", written(tmp_path))
    assert "1 x l40s, list price" in out, "large enough for what is known"


def test_place_says_in_which_zones_it_runs_already(
    run: Run, gpus: FakeCluster, tmp_path: Path
) -> None:
    zoned = [node(n, "NVIDIA-L4", labels={names.LABEL_ZONE: f"eu-1{n}"}) for n in ("a", "b")]
    runs = service("new", placement=wants("l4"))
    mine = []
    for name, where in (("p1", "a"), ("p2", "b"), ("p3", "b")):
        made = pod(name, where)
        own = {names.LABEL_SERVICE: "new", names.LABEL_ACCELERATOR: "l4"}
        made["metadata"] |= {"namespace": "demo", "labels": own}
        mine.append(made)
    deployment = {
        "kind": "Deployment",
        "metadata": {
            "name": "new",
            "namespace": "demo",
            "uid": "d",
            "labels": {names.LABEL_SERVICE: "new", names.LABEL_ACCELERATOR: "l4"},
            "ownerReferences": [{"kind": names.INFERENCE_SERVICE, "uid": "u-new", "name": "new"}],
        },
        "spec": {"replicas": 3, "template": {"spec": {}}},
    }
    gpus.collections = collections(zoned, mine, [runs]) | {
        "/apis/apps/v1/deployments": [deployment]
    }
    saved = tmp_path / "fleet.json"
    assert run("capacity", "--save", str(saved))[0] == 0
    file = written(tmp_path, placement=wants("l4", count=1))
    for where in ((), ("--snapshot", str(saved))):
        code, out, _ = run("place", "-f", file, *where)
        assert code == 0
        assert "; runs 1 in eu-1a, 2 in eu-1b" in " ".join(out.split())


@pytest.mark.usefixtures("gpus")
def test_place_explains_each_class(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path, placement=wants("z9", "t4", minMemory="20Gi"))
    code, out, _ = run("place", "-f", file)
    assert code == 1
    assert "unknown: neither declared nor discovered" in out
    assert "too small: needs 20Gi, has 15Gi" in out


def test_place_tells_what_it_does_to_others(run: Run, gpus: FakeCluster, tmp_path: Path) -> None:
    waiting = service("waits", placement=wants("t4"))
    gpus.collections = collections(NODES, [], [waiting])
    file = written(tmp_path, placement=wants("t4"))
    assert run("place", "-f", file)[0] == 1, "the older one comes first"
    gpus.collections["/apis/conch.dev/v1alpha1/inferenceservices"] = []
    assert run("place", "-f", file)[0] == 0


def test_place_minds_priorities(run: Run, gpus: FakeCluster, tmp_path: Path) -> None:
    gpus.collections = collections(NODES, [], [service("waits", placement=wants("t4"))])
    important = {"metadata": {"name": "important"}, "value": 1000}
    gpus.collections["/apis/scheduling.k8s.io/v1/priorityclasses"] = [important]
    file = written(tmp_path, placement=wants("t4") | {"priorityClassName": "important"})
    code, out, _ = run("place", "-f", file)
    assert code == 0, "the younger one, but more important"
    assert "demo/waits" in out


@pytest.mark.usefixtures("gpus")
def test_place_with_a_runtime_that_is_not_there(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path, runtime="mine")
    code, out, _ = run("place", "-f", file)
    assert code == 1
    assert "the cluster has no TritonRuntime mine" in out


# --- bad files ----------------------------------------------------------------------------------

GOOD: Object = {"kind": "ConchSnapshot", "version": 1, "taken": "t", "nodes": [], "pods": []}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is no snapshot of conch capacity --save"),
        ("{", "is no snapshot of conch capacity --save"),
        ("[1]", "is no snapshot of conch capacity --save"),
        ("\xff\x00", "is no snapshot of conch capacity --save"),
        (json.dumps(GOOD | {"nodes": [1]}), "is no snapshot of conch capacity --save"),
        (json.dumps(GOOD | {"kind": "Pod"}), "is a Pod of version 1, not a ConchSnapshot"),
        (json.dumps(GOOD | {"version": 9}), "save it again with this conch"),
        (json.dumps(GOOD | {"nodes": [{"metadata": 1}]}), "node 0 can't be read"),
        (json.dumps(GOOD | {"pods": [{"spec": {"containers": 1}}]}), "pod 0 can't be read"),
        (json.dumps(GOOD | {"services": [{}]}), "a InferenceService can't be read"),
        (json.dumps(GOOD | {"classes": [{"metadata": []}]}), "a AcceleratorClass can't be read"),
        (json.dumps(GOOD | {"slices": [{"spec": 1}]}), "ResourceSlice 0 can't be read"),
    ],
)
def test_bad_snapshots_are_one_sentence(run: Run, tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "f.json"
    file.write_text(content, encoding="latin-1")
    code, out, err = run("capacity", "--snapshot", str(file))
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_bad_calls_are_one_sentence(run: Run, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.json")
    assert "can't be read: No such file" in run("capacity", "--snapshot", missing)[2]
    code, _, err = run("capacity", "--snapshot", missing, "--save", missing)
    assert (code, "exclude each other" in err) == (2, True)
    code, _, err = run("place", "-f", missing)
    assert (code, "can't be read" in err) == (2, True)
    (tmp_path / "pod.yaml").write_text("kind: Pod\n")
    code, _, err = run("place", "-f", str(tmp_path / "pod.yaml"))
    assert (code, "holds no InferenceService" in err) == (2, True)
