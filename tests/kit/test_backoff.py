from beta9_provisioning.kit.backoff import Backoff


def test_pauses_grow_up_to_a_bound_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(first=0.1, longest=1.0)
    pauses = [backoff.next() for _ in range(200)]
    assert all(pause <= 0.1 * 2**number for number, pause in enumerate(pauses[:4]))
    assert 0.5 < max(pauses) <= 1.0
    assert len(set(pauses)) > 100
    backoff.reset()
    assert backoff.next() <= 0.1
