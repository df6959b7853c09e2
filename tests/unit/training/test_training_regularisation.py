import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.training import regularisation


def test_a_text_that_cannot_be_known_by_heart_needs_none_and_one_that_can_needs_much():
    assert regularisation(0) == pytest.approx((0.0, 0.1))
    assert regularisation(7) == pytest.approx((0.0, 0.1))  # decoders on 5 MB, ten times
    assert regularisation(12) == pytest.approx((0.0, 0.1))
    assert regularisation(24) == pytest.approx((0.15, 0.3))
    assert regularisation(48, weight_decay=0.2).weight_decay == pytest.approx(2.0)
    assert regularisation(1000) == pytest.approx((0.2, 1.0))


@given(st.floats(0.0, 1000), st.floats(1.0, 10.0))
def test_more_rereading_never_means_less(times, factor):
    less, more = regularisation(times), regularisation(times * factor)
    assert more.dropout >= less.dropout - 1e-12
    assert more.weight_decay >= less.weight_decay * (1 - 1e-12)
