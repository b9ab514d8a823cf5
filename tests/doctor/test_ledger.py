import torch

from bridgelab.doctor.ledger import END, START, allocated, part

CPU = torch.device("cpu")


def test_parts_have_the_most_that_was_held_in_them():
    kept = []

    def call():
        first = torch.empty(1000)
        part("one")
        torch.empty(500)  # gone at once
        kept.append(torch.empty(200))
        part("two")
        del first

    found = allocated(call, CPU)
    assert found == {START: 4000, "one": 6000, "two": 4800, END: 800}


def test_what_an_earlier_call_left_may_be_given_back():
    held = []
    allocated(lambda: held.append(torch.empty(1000)), CPU)
    found = allocated(held.clear, CPU)
    assert found == {START: 0, END: -4000}


def test_what_a_backward_pass_needs_is_held_until_then():
    x = torch.ones(1000, requires_grad=True)

    def call():
        y = x.exp().exp().exp()  # each output is kept for its gradient
        part("backward")
        y.backward(torch.ones_like(y))

    found = allocated(call, CPU)
    assert found[START] == 3 * 4000
    assert 4 * 4000 <= found["backward"] <= 6 * 4000
    assert found[END] == 4000  # the gradient
