"""The report of a class in a real browser: an override decided on the page, a phone's width, and print."""

import pytest

from course.classroom import rules
from course.classroom.report import writing

selenium = pytest.importorskip("selenium", reason="Selenium is not installed: pip install -e '.[dev]'")
import lab_page  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

pytestmark = pytest.mark.skipif(bool(lab_page.missing()), reason=lab_page.missing())
STARS = {"03": {"3.1": 1, "3.2": 2}, "06": {"6.1": 2}}
NAMES = ['Zoë "Z" \\ Li', "anna\u202efdp", "b" * 70]
LONG = "averylongwordthatdoesnotend" * 20


def result(student, chapter, states=("wrong", "passed")):
    rows = [
        {"exercise": n, "state": state, "right": 3, "cases": 24, "points": of if state == "passed" else 0, "of": of,
         "hint": LONG, "message": f"twice(2) gave 5\n  {LONG}", "note": LONG}
        for (n, of), state in zip(STARS[chapter].items(), states)
    ]  # fmt: skip
    answers = {n: f"def answer(x):\n    return x  # {LONG}" for n in STARS[chapter]}
    return {
        "student": student, "chapter": chapter, "file": f"{student}/{LONG}.ipynb", "status": "graded", "reason": "",
        "submitted": "2026-03-01T10:00:00+00:00", "graded": "2026-03-01T10:00:00+00:00", "notes": [LONG],
        "seconds": 1.0, "sandboxed": False, "exercises": rows, "answers": answers,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    results = [rules.apply(rules.Rules(STARS), result(name, chapter)) for name in NAMES for chapter in STARS]
    writing.write_reports(folder, results, chapters={"03": "03_convolution", "06": "06_lenet"}, remarks=[LONG])
    return folder


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with lab_page.browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def find(driver, selector):
    return driver.find_element(By.CSS_SELECTOR, selector)


@pytest.mark.parametrize("student", range(len(NAMES)))
def test_an_override_is_decided_beside_the_answer_and_written_as_the_rules_want_it(driver, folder, tmp_path, student):
    driver.get("about:blank")
    driver.get(f"{(folder / 'report.html').as_uri()}#s{student}-3-1")
    exercise = find(driver, f"#s{student}-3-1")
    assert "return x" in exercise.text and "twice(2) gave 5" in exercise.text, "what is linked to is unfolded"
    exercise.find_element(By.CSS_SELECTOR, "button.decide").click()
    points, reason = (exercise.find_element(By.NAME, name) for name in ("points", "reason"))
    points.clear()
    points.send_keys("0.5")
    add = exercise.find_element(By.NAME, "add")
    add.click()
    assert not find(driver, "#overrides").is_displayed(), "there is none without a reason"
    reason.send_keys('right, "but" for a \\ (é)')
    add.click()
    assert "1 override for rules.toml" in find(driver, "#overrides").text
    assert exercise.find_element(By.CSS_SELECTOR, "button.decide").text == "override: 0.5 of 1"
    file = tmp_path / "rules.toml"
    file.write_text(find(driver, "#toml").text, encoding="utf-8")
    name = sorted(NAMES, key=lambda n: (n.casefold(), n))[student]
    row = rules.apply(rules.read_rules(file, STARS), result(name, "03"))["exercises"][0]
    assert (row["points"], row["override"]) == (0.5, 'right, "but" for a \\ (é)')


@pytest.mark.parametrize("page", ["report.html", "feedback"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(driver, folder, page, width):
    path = folder / page if page.endswith("html") else next((folder / page).rglob("*.html"))
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        driver.get("about:blank")
        driver.get(path.as_uri())
        driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        beside = "return arguments[0].getBoundingClientRect().top"
        for exercise in driver.find_elements(By.CSS_SELECTOR, ".exercise.wrong"):
            answer, verdict = (exercise.find_element(By.CSS_SELECTOR, f".{name}") for name in ("answer", "verdict"))
            tops = [driver.execute_script(beside, one) for one in (answer, verdict)]
            assert (tops[0] == tops[1]) == (width > 600), "beside each other, or below on a phone"
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_everything_is_open_in_print_and_folded_again(driver, folder):
    driver.get("about:blank")
    driver.get((folder / "report.html").as_uri())
    shut = "return document.querySelectorAll('details:not([open])').length"
    before = driver.execute_script(shut)
    assert before >= len(NAMES)
    driver.execute_script("window.seen = []; addEventListener('beforeprint', () => seen.push(document.querySelectorAll("
                          "'details:not([open])').length))")  # fmt: skip
    driver.execute_cdp_cmd("Page.printToPDF", {})
    assert driver.execute_script("return seen") == [0] and driver.execute_script(shut) == before


def test_the_page_makes_no_complaint(driver, folder):
    driver.get("about:blank")
    driver.get((folder / "report.html").as_uri())
    assert [entry for entry in driver.get_log("browser") if "beforeunload" not in entry["message"]] == []
