from conch.autoscale.strain import MOST, Strain

TARGET_S = 0.4


def watched(seconds: int, latencies: list[float], start: Strain | None = None) -> Strain:
    strain = start or Strain()
    begin = int(strain.settled_s)
    for now_s in range(begin, begin + seconds, 2):
        strain = strain.after(float(now_s), 2, 3, True, latencies, TARGET_S)
    return strain


def test_lasting_lateness_of_most_pods_raises_it_slowly_up_to_a_limit() -> None:
    assert watched(70, [0.5, 0.5, 0.3]).factor == 1
    assert 1.05 < watched(100, [0.5, 0.5, 0.3]).factor < 1.2
    assert watched(1000, [0.5, 0.5, 0.3]).factor == MOST


def test_one_slow_pod_does_not() -> None:
    assert watched(1000, [0.9, 0.3, 0.3]).factor == 1


def test_nothing_is_learned_while_replicas_change_or_a_backlog_drains() -> None:
    strain = Strain()
    for now_s in range(0, 1000, 2):
        strain = strain.after(float(now_s), 2, 3, False, [0.9] * 3, TARGET_S)
        strain = strain.after(float(now_s), 2, 3 + now_s // 60 % 2, True, [0.9] * 3, TARGET_S)
    assert strain.factor == 1


def test_comfort_gives_it_back_much_more_slowly() -> None:
    strained = Strain(1.3, 3, 0.0)
    assert 1.2 < watched(300, [0.2] * 3, strained).factor < 1.3
    assert watched(4000, [0.2] * 3, strained).factor == 1
    assert watched(4000, [0.35] * 3, strained).factor == 1.3


def test_no_latency_reported_changes_nothing() -> None:
    assert watched(1000, []).factor == 1


def test_a_missed_target_is_said_until_it_is_met_again() -> None:
    late = watched(100, [0.6, 0.6, 0.3])
    assert late.missed
    assert watched(30, [0.6, 0.6, 0.3]).missed
    assert not watched(20, [0.6, 0.6, 0.3]).missed  # a rise is being met
    assert not watched(100, []).missed
    assert not watched(100, [0.45] * 3).missed
    assert late.after(200.0, 2, 3, True, [0.45] * 3, TARGET_S).missed
    assert not late.after(200.0, 2, 3, True, [0.35] * 3, TARGET_S).missed
    assert not late.after(200.0, 2, 4, True, [0.6] * 4, TARGET_S).missed
