import hashlib
import threading

from bridgelab.data.features.claims import BUCKETS, GROUP_SIZE, claimed, groups


def hashes(number):
    return [hashlib.sha256(str(k).encode()).hexdigest() for k in range(number)]


def test_groups_hold_each_image_and_each_bucket_once():
    for number in (1, 5, 300, 5000):
        made = groups(hashes(number))
        assert sorted(one for _, images in made for one in images) == sorted(hashes(number))
        buckets = [bucket for own, _ in made for bucket in own]
        assert len(buckets) == len(set(buckets)) <= BUCKETS
        assert all(len(images) >= GROUP_SIZE for _, images in made[:-1])
    assert len(groups(hashes(5000))) > 10
    assert groups([]) == []


def test_an_image_has_one_bucket_whatever_else_is_wanted():
    def bucket_sets(made):
        return {one: set(own) for own, images in made for one in images}

    few, many = bucket_sets(groups(hashes(50))), bucket_sets(groups(hashes(40_000)))
    assert all(len(many[one]) == 1 and many[one] <= few[one] for one in few)


def test_claims_that_overlap_exclude_each_other(tmp_path):
    with claimed(tmp_path, [1, 2], wait=False) as own:
        assert own
        with claimed(tmp_path, [2, 3], wait=False) as other:
            assert not other
        with claimed(tmp_path, [3, 4], wait=False) as other:
            assert other
        waiter = threading.Thread(target=lambda: claimed(tmp_path, [2, 3], wait=True).__enter__())
        waiter.start()
        waiter.join(0.1)
        assert waiter.is_alive()
    waiter.join(60)
    assert not waiter.is_alive()
