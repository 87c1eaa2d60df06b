"""`--executor` and `--address`."""

from __future__ import annotations

import importlib.util

import pytest

from lrm_cli import exits
from tests.cli.common import Run, Small

HAS_RAY = importlib.util.find_spec("ray") is not None


def test_an_address_goes_with_ray(lrm: Run, small: Small) -> None:
    result = lrm("matrix", "fill", small(), "--address", "auto", code=exits.USAGE)
    assert "goes with `--executor ray`" in result.stderr


@pytest.mark.skipif(HAS_RAY, reason="ray is installed here")
def test_without_ray_it_is_said_how_to_get_it(lrm: Run, small: Small) -> None:
    result = lrm("matrix", "fill", small(), "--executor", "ray", code=exits.RETRY)
    assert "pip install 'lrm[ray]'" in result.stderr


@pytest.mark.skipif(not HAS_RAY, reason="ray is not installed here")
def test_a_cluster_that_is_not_there(lrm: Run, small: Small) -> None:
    result = lrm("matrix", "fill", small(), "--executor", "ray", "--address", "127.0.0.1:9", code=exits.RETRY)
    assert "no Ray cluster can be reached at 127.0.0.1:9" in result.stderr


def test_nothing_missing_needs_no_cluster(lrm: Run, small: Small) -> None:
    spec = small()
    lrm("matrix", "fill", spec)
    again = lrm("matrix", "fill", spec, "--executor", "ray", "--address", "127.0.0.1:9")
    assert "nothing" in again.stderr
