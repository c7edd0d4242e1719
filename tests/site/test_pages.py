"""The website, built once of the whole course, as files and in a real browser."""

import functools
import http.server
import re
import threading
import urllib.parse

import pytest

pytest.importorskip("myst_nb", reason="what the site is made with is not installed: make .venv/.site-ready")
import build as site_build  # noqa: E402
from website import built, typesetting  # noqa: E402

pytestmark = pytest.mark.skipif(bool(typesetting.missing()), reason=typesetting.missing())
LIMIT = 2_000_000  # bytes that a page takes to open
CHAPTER = "03_convolution.html"
IN_SIGHT = "return arguments[0].getBoundingClientRect().top < innerHeight"
SHIFTING = "return document.querySelectorAll('article img:not([width])').length"
SIDEWAYS = "return [document.documentElement.scrollWidth, window.innerWidth]"
CUT = """
return Array.from(document.querySelectorAll(".equation .formula"))
    .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.parentElement.id);
"""
OUTSIDE = """
return performance.getEntriesByType("resource").map(one => one.name).filter(one => !one.startsWith(location.origin));
"""
# Formulas as they are drawn are hidden from screen readers, which get MathML; and they are thousands of elements.
AXE = """
const done = arguments[arguments.length - 1];
axe.run({exclude: [".katex-html"]}, {resultTypes: ["violations"]}).then(found => done(found.violations.map(
    one => `${one.id}: ${one.help}; ${one.nodes.slice(0, 3).map(node => node.html).join(" | ")}`)));
"""


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """The folder of the built site."""
    return site_build.build(tmp_path_factory.mktemp("site"), say=lambda text: None)


@pytest.fixture(scope="session")
def address(html):
    """The address of a server of the built site."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=html)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    pytest.importorskip("selenium", reason="Selenium is not installed: pip install -e '.[dev]'")
    import lab_page

    if lab_page.missing():
        pytest.skip(lab_page.missing())
    with lab_page.browser(tmp_path_factory.mktemp("browser") / "profile") as driver:
        yield driver


@pytest.fixture
def page(driver, address):
    """A function that opens a page of the site, in a window of some width, light or dark."""
    import lab_page

    def open_page(name, width=1280, theme="light"):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get("about:blank")
        driver.get(urllib.parse.urljoin(address, name))
        driver.execute_script("document.body.dataset.theme = arguments[0]", theme)
        lab_page.wait(driver, lambda: driver.execute_script("return document.fonts.status") == "loaded", "the fonts")
        return driver

    return open_page


def test_every_lesson_is_a_page_and_none_is_heavy(html):
    from course.authoring import chapters

    assert {f"{entry.stem}.html" for entry in chapters.entries()} <= {path.name for path in html.glob("*.html")}
    pages, largest = built.sizes(html)
    assert largest < LIMIT, f"the heaviest of {pages} pages takes {largest} bytes"


def test_a_lesson_shows_equation_proof_figure_and_folded_code_and_no_answer(html):
    text = (html / CHAPTER).read_text(encoding="utf-8")
    assert 'href="#proof-3-3">✓ 200 cases' in text and 'id="proof-3-3"' in text
    assert 'alt="Figure 3.1. Left: a digit at two places.' in text
    assert "Draws figure 3.1" in text and "exercise 3.1 ✓" in re.sub(r"<[^>]+>", "", text)
    solution = "a kernel of size </span>"
    assert solution not in text and solution in (html / "solutions-03.html").read_text(encoding="utf-8")


def test_from_the_landing_page_to_an_exercise_by_clicks(page):
    import lab_page
    from selenium.webdriver.common.by import By

    driver = page("index.html", 1440)
    lab_page.click(driver, "article .chapters a", "3. The convolution operation")
    lab_page.wait(driver, lambda: driver.current_url.endswith(CHAPTER), "the lesson")
    lab_page.click(driver, ".toc-tree a", "Exercise 3.2")
    exercise = driver.find_element(By.ID, "exercise-3-2")
    assert "shift_kernel" in exercise.text and "Open this lesson" in exercise.text
    assert not driver.execute_script(SHIFTING), "every image has its size"
    there = functools.partial(driver.execute_script, IN_SIGHT, exercise)
    lab_page.wait(driver, there, "the exercise in sight")


def test_the_search_finds_a_lesson(page):
    import lab_page

    driver = page("index.html")
    field = lab_page.find(driver, ".sidebar-search")
    field.send_keys("receptive field\n")
    found = lab_page.find(driver, "#search-results li a", "4. Pooling")
    assert "Solutions" not in driver.find_element("id", "search-results").text
    found.click()
    lab_page.wait(driver, lambda: "04_" in driver.current_url, "the lesson")
    assert "04_receptive_fields.html" in driver.current_url


def test_equations_are_typeset_and_asides_open(page):
    import lab_page

    driver = page(CHAPTER)
    formula = lab_page.find(driver, "#equation-3-3 .katex-html")
    assert formula.size["height"] > 30 and "\\frac" not in formula.text
    assert driver.execute_script("return document.fonts.check('16px KaTeX_Main')")
    code = "return Array.from(document.querySelectorAll('details pre')).filter(one => one.checkVisibility()).length"
    assert driver.execute_script(code) == 0
    lab_page.click(driver, "details summary")
    assert driver.execute_script(code) == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", CHAPTER, "glossary.html"], ids=["landing", "lesson", "glossary"])
def test_nothing_bars_a_reader(page, name, theme):
    axe = site_build.HERE / "node_modules" / "axe-core" / "axe.min.js"
    driver = page(name, theme=theme)
    driver.set_script_timeout(120)
    driver.execute_script(axe.read_text(encoding="utf-8"))
    assert driver.execute_async_script(AXE) == []


def test_a_narrow_page_has_no_sideways_scroll_and_no_cut_equation(page, html):
    narrow = [(path.name, 390) for path in sorted(html.glob("*.html")) if not path.name.startswith("solutions-")]
    for name, width in [*narrow, ("index.html", 820), (CHAPTER, 820)]:
        driver = page(name, width)
        wide, window = driver.execute_script(SIDEWAYS)
        assert wide <= window, f"{name} is {wide} pixels wide"
        assert driver.execute_script(CUT) == [], name


def test_no_request_leaves_the_machine(page):
    for name in ("index.html", CHAPTER, "search.html?q=stride"):
        assert page(name).execute_script(OUTSIDE) == []
