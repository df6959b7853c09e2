import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.training import regularisation


def test_fresh_text_needs_none_and_text_seen_often_needs_much():
    assert regularisation(0.5) == pytest.approx((0.0, 0.1))
    assert regularisation(2) == pytest.approx((0.0, 0.1))
    assert regularisation(4) == pytest.approx((0.1, 0.3))
    assert regularisation(8, weight_decay=0.2).weight_decay == pytest.approx(2.0)
    assert regularisation(100) == pytest.approx((0.2, 1.0))


@given(st.floats(0.01, 1000), st.floats(1.0, 10.0))
def test_more_epochs_never_mean_less(epochs, factor):
    less, more = regularisation(epochs), regularisation(epochs * factor)
    assert more.dropout >= less.dropout - 1e-12
    assert more.weight_decay >= less.weight_decay * (1 - 1e-12)
