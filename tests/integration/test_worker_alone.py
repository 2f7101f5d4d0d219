"""What is measured of a worker alone: that its figures are those of a worker at work, and that growth is found."""

from pathlib import Path

import pytest

from bench import soak, system
from bench.soak import Look


def test_a_worker_alone_is_measured_without_and_with_a_network(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.system._WARM", 8)
    at_once, over_network = system.alone([samples / "obama.jpg"], jobs=64)
    for row in (at_once, over_network):
        assert row["photos"] >= 64 - 2 * 8 - 8
        assert row["photos/s"] > 1
        assert 0.5 < row["busy share"] <= 1.0
        assert 1 < row["photos a batch"] <= 8
        assert row["child CPU ms"] > row["other CPU ms"] > 0
    assert (at_once["a call takes ms"], over_network["a call takes ms"]) == (0.0, 25.0)


def test_a_soak_looks_at_all_processes_of_a_worker(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.tables.OUT", tmp_path)
    monkeypatch.setattr("bench.soak._SECONDS", 0.02)
    assert soak.main(["--photos", "40", str(samples)]) in (0, 1)  # so few photos are all warming up
    table = capsys.readouterr().out
    assert all(kind in table for kind in ("parent", "nursery", "child"))
    assert (tmp_path / "soak.json").exists()


def test_a_soak_wants_photos(tmp_path: Path) -> None:
    assert soak.main([str(tmp_path)]) == 2


@pytest.mark.parametrize(("slope", "grown"), [(0.0, False), (0.02, False), (0.2, True)])
def test_growth_is_what_the_last_quarter_has_over_the_second(slope: float, grown: bool) -> None:
    looks = [Look(answered, {"child": 100 + slope * answered}) for answered in range(100)]
    row = soak._row("child", looks, 100)
    assert row["quarter 2, MiB"] == pytest.approx(100 + slope * 37)
    assert row["growth"] == pytest.approx((100 + slope * 87) / (100 + slope * 37))
    assert soak.has_grown(row) is grown
