"""`course measure` records all of a chapter's runs or none, and `record` sets a run beside the recorded ones."""

import pytest

import course
from course.authoring import measuring
from course.lesson import recording

MEASURED = """
from course import claim, record, seed, start
start("42")
claim("42.1", "a seed below the bound is lucky", seed() < BOUND)
record(luck=seed() / 10)
"""


@pytest.mark.parametrize("bound, said", [(3, None), (1, "2 of 3 runs failed; results/42.json is as it was")])
def test_measure_records_all_seeds_or_nothing(bound, said, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    source = tmp_path / "42_luck.py"
    source.write_text(MEASURED.replace("BOUND", str(bound)))
    if said:
        with pytest.raises(measuring.MeasureError, match="42.1.*(?s:.)*" + said) as caught:
            measuring.measure(source, "quick", range(3))
        assert "seed 1 failed" in str(caught.value) and "seed 2 failed" in str(caught.value)
        assert not (tmp_path / "42.json").exists()
    else:
        measuring.measure(source, "quick", range(3))
        run = recording.load("42", tmp_path)["quick"]
        assert run["seeds"] == [0, 1, 2] and run["figures"] == {"luck": [0.0, 0.1, 0.2]}
        assert len(run["wall_seconds"]) == 3 and min(run["peak_memory_mb"]) > 10
    assert capsys.readouterr().out.count("42 quick, seed") == 3


def test_record_sets_the_run_beside_the_recorded_ones(monkeypatch, tmp_path, capsys):
    run = {"figures": {"accuracy": [0.98, 0.99]}, "seeds": [0, 1], "device": "2 CPU cores", "data": "MNIST"}
    monkeypatch.setattr(recording, "load", lambda chapter: {"quick": run})
    course.record(accuracy=0.5, paper={"accuracy": 0.99})
    out = capsys.readouterr().out
    assert "recorded, quick" in out and "0.985 ± 0.007" in out and "0.5" in out and "2 seeds, 2 CPU cores" in out
