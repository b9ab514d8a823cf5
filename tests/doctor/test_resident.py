from bridgelab.doctor.resident import resident


def test_this_process_holds_memory():
    assert 10**7 < resident() <= resident("VmHWM")
