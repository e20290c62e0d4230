"""Classes as nodes come and go, and what a declared one leaves out."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from conch.api.v1alpha1 import AcceleratorClassSpec
from conch.observe.classes import ClassBook
from conch.observe.discovery import discover, merge
from conch.observe.inventory import declared_kind
from conch.observe.types import AcceleratorKind

GPU = "nvidia.com/gpu"
MI = 1024**2


def labels(product: str, **more: str) -> dict[str, str]:
    return {f"{GPU}.product": product, f"{GPU}.memory": "15360", **more}


def mine(**fields: object) -> AcceleratorKind:
    kind = AcceleratorKind("mine", {"pool": "a"}, GPU, 10 * MI, None, declared=True)
    return replace(kind, **fields)  # type: ignore[arg-type]  # a test's own words


def book(*shown: dict[str, str]) -> ClassBook:
    made = ClassBook()
    for index, node_labels in enumerate(shown):
        made.show(f"n{index}", node_labels, {GPU: 1})
    return made


def test_a_declared_class_gets_what_it_leaves_out_from_its_nodes() -> None:
    classes = book(labels("Tesla-T4", pool="a"), labels("NVIDIA-L4", pool="b"))
    found, other = sorted(classes.kinds((mine(),)), key=lambda k: not k.declared)
    assert (found.name, found.memory_bytes, found.compute_capability) == ("mine", 10 * MI, (7, 5))
    assert (found.price_per_h, found.idle_watts, found.max_watts) == (0.526, 8, 70)
    assert other.name == "l4"


def test_without_nodes_its_own_labels_say_what_it_is() -> None:
    selector = {f"{GPU}.product": "Tesla-T4"}
    (found,) = book().kinds((mine(node_selector=selector),))
    assert (found.price_per_h, found.compute_capability) == (0.526, (7, 5))
    (unknown,) = book().kinds((mine(),))
    assert unknown == mine()


def test_a_jetson_that_no_label_tells_can_be_declared() -> None:
    spec = {"nodeSelector": {"pool": "a"}, "memory": "32Gi", "integratedGPU": True}
    kind = declared_kind("mine", AcceleratorClassSpec.model_validate(spec))
    assert kind.integrated
    assert [one.integrated for one in book().kinds((kind,))] == [True]
    assert [one.integrated for one in book(labels("NVIDIA-L4", pool="a")).kinds((kind,))] == [True]


def test_what_it_says_wins_and_money_is_not_mixed() -> None:
    classes = book(labels("NVIDIA-L4", pool="a"))
    (found,) = classes.kinds((mine(price_per_h=0.6, max_watts=60.0, compute_capability=(8, 8)),))
    assert (found.price_per_h, found.spot_price_per_h) == (0.6, None)
    assert (found.max_watts, found.compute_capability) == (60.0, (8, 8))


def test_watts_of_the_catalogue_never_contradict_those_declared() -> None:
    classes = book(labels("Tesla-T4", pool="a"))
    (low,) = classes.kinds((mine(max_watts=5.0),))
    assert (low.idle_watts, low.max_watts) == (None, 5.0)
    (high,) = classes.kinds((mine(idle_watts=90.0),))
    assert (high.idle_watts, high.max_watts) == (90.0, None)


def test_a_class_of_several_products_has_figures_that_hold_for_all() -> None:
    classes = book(labels("Tesla-T4", pool="a"), labels("NVIDIA-A100-SXM4-80GB", pool="a"))
    (found,) = classes.kinds((mine(),))
    assert (found.compute_capability, found.max_watts) == ((7, 5), 400)
    assert found.price_per_h == 3.4309


def test_the_same_tuple_until_classes_change() -> None:
    classes = book(labels("Tesla-T4", pool="a"))
    before = classes.kinds(())
    classes.show("n1", labels("Tesla-T4", pool="b"), {GPU: 4})
    assert classes.kinds(()) is before
    classes.forget("n0")
    assert classes.kinds(()) is before
    classes.show("n1", labels("NVIDIA-L4"), {GPU: 4})
    assert [k.name for k in classes.kinds(())] == ["l4"]
    classes.forget("n1")
    classes.forget("n1")
    assert classes.kinds(()) == ()


POOLS = st.sampled_from(["a", "b"])
PRODUCTS = st.sampled_from(["Tesla-T4", "NVIDIA-L4", "NVIDIA-L4-SHARED", "MIG-INVALID"])
NODES = st.sampled_from(["n1", "n2", "n3"])
EVENTS = st.lists(
    st.tuples(NODES, st.none() | st.tuples(PRODUCTS, POOLS), st.booleans()), max_size=25
)


@given(EVENTS)
def test_same_as_from_scratch(
    events: list[tuple[str, tuple[str, str] | None, bool]],
) -> None:
    classes, nodes = ClassBook(), dict[str, dict[str, str]]()
    for name, shown, declared in events:
        if shown is None:
            nodes.pop(name, None)
            classes.forget(name)
        else:
            nodes[name] = labels(shown[0], pool=shown[1])
            classes.show(name, nodes[name], {GPU: 1})
        found = classes.kinds((mine(),) if declared else ())
        left = [n for n in nodes.values() if not declared or n["pool"] != "a"]
        expected = merge(item for n in left for item in discover(n, {GPU: 1}))
        assert [k for k in found if not k.declared] == expected
        assert sum(k.declared for k in found) == declared
