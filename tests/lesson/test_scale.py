"""`COURSE_SCALE`: how a budget's work is shortened, and what then is not judged."""

import pytest

import course
from course.lesson import recording, settings
from course.lesson.proofs import Broken, claim, prove


@pytest.mark.parametrize(
    "scale, budget, least, value",
    [
        (None, "full", 10, 60_000),
        (None, "quick", 10, 4_000),
        ("1", "full", 10, 60_000),
        ("0.001", "full", 10, 60),
        ("0.001", "full", 500, 500),
        ("0.001", "quick", 10, 10),
        ("0.001", "quick", 5_000, 4_000),  # never more than without a scale
        ("0.5", "full", 1, 30_000),
        ("0.001", "full", None, 60_000),  # no amount of work
    ],
)
def test_a_scale_shortens_amounts_alone(monkeypatch, scale, budget, least, value):
    monkeypatch.setenv("COURSE_BUDGET", budget)
    monkeypatch.delenv("COURSE_SCALE", raising=False)
    if scale:
        monkeypatch.setenv("COURSE_SCALE", scale)
    found = course.budget(quick=4_000, full=60_000, least=least)
    assert found == value and isinstance(found, int)


@pytest.mark.parametrize("text", ["0", "-1", "2", "x", "nan", "inf", "0.1.1"])
def test_a_bad_scale_is_named(monkeypatch, text):
    monkeypatch.setenv("COURSE_SCALE", text)
    with pytest.raises(settings.SettingError, match="COURSE_SCALE"):
        settings.scale()


def test_at_a_scale_claims_are_not_judged_and_proofs_are(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_SCALE", "0.001")
    claim("6.1", "it is so", False)
    assert capsys.readouterr().out == "claim 6.1 – not judged at COURSE_SCALE=0.001: it is so\n"
    with pytest.raises(Broken):
        prove("6.1", lambda x: x, lambda x: x + 1, [1])
    monkeypatch.delenv("COURSE_SCALE")
    with pytest.raises(Broken, match="claim 6.1 ✗ not true in this run"):
        claim("6.1", "it is so", False)


@pytest.mark.parametrize(
    "listed, system, name",
    [
        (
            "processor\t: 0\nmodel name\t: A fast one: 9000\nmodel name\t: A fast one: 9000\n",
            "Linux",
            "A fast one: 9000",
        ),
        ("processor\t: 0\n", "Linux", "p"),
        (None, "Windows", "p"),
        (None, "Darwin", "p"),
    ],
)
def test_the_processor_has_a_name(monkeypatch, tmp_path, listed, system, name):
    path = tmp_path / "cpuinfo"
    if listed is not None:
        path.write_text(listed)
    monkeypatch.setattr(recording, "CPUINFO", path)
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.processor", lambda: "p")
    monkeypatch.setenv("PATH", str(tmp_path))  # without sysctl
    assert recording.processor_name() == name
