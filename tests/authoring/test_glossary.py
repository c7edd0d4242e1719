"""Terms and symbols: what a header says of them, where they must stand in the text, and the page made of them."""

import pytest
from helpers import SMALL_SOURCE, point_at

from course.authoring import chapters, glossary, pages, review, skeleton
from course.files import load_notebook

TERM = "#   - {{term: {}, means: What is left., zh: 和}}\n"
BEFORE = "# sources:"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that writes the small chapter under a number, with more in its header and its text."""
    (tmp_path / "solutions").mkdir()
    point_at(monkeypatch, tmp_path)

    def written(header="", text="The **sum** of numbers. $s$", number="90"):
        source = SMALL_SOURCE.read_text(encoding="utf-8").replace("90.", f"{number}.")
        source = source.replace(BEFORE, header + BEFORE).replace("# Sum:", f"# {text}\n#\n# Sum:")
        path = tmp_path / "solutions" / f"{number}_adding.py"
        path.write_text(source, encoding="utf-8")
        return chapters.read_chapter(path)

    return written


def said(chapter, words):
    return [str(problem) for problem in review.problems(chapter) if words in str(problem)]


@pytest.mark.parametrize(
    "header, words",
    [
        ("# terms: sum\n", "header field 'terms' must be a list"),
        (
            "# terms: [sum]\n",
            "one of terms has the fields term, means, zh, symbol, symbol only where it has one: 'sum'",
        ),
        ("# terms:\n#   - {term: sum, means: All., zh: 和, tag: x}\n", "one of terms has the fields"),
        ("# terms:\n#   - {term: sum, means: All.}\n", "the term 'sum' needs a line of text in 'zh'"),
        ("# terms:\n#   - {term: sum, means: '', zh: 和}\n", "the term 'sum' needs a line of text in 'means'"),
        ("# symbols: [$s$]\n", "header field 'symbols' must be a dict"),
        ("# symbols: {s: the sum}\n", "one of symbols is written as"),
        ("# symbols: {$s$: 1}\n", "one of symbols is written as"),
    ],
)
def test_a_wrong_header_is_named(write, header, words):
    with pytest.raises(chapters.ChapterError, match="90_adding.py: ") as caught:
        write(header)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "term, text",
    [
        ("sum", "The **sum** of numbers; later the sum."),
        ("sum", "## The sum\n#\n# - add a sum\n#\n# *Figure 90.1. A sum.*\n#\n# Many **Sums**. A sum."),
        ("entropy", "Two **entropies**."),
        ("feature map", "Some `feature map`, and **feature\n# maps.**"),
        ("sum", "Consumers, summands, a **sum**."),
        ("sum", "You will\n# - find a\n#   sum;\n# - add.\n#\n# The **sum** is"),
        ("sum", "Two words:\n#\n# - **sum**: what is left;\n# - rest.\n#\n# The sum is"),
    ],
)
def test_a_term_in_bold_at_its_first_use_will_do(write, term, text):
    assert said(write("# terms:\n" + TERM.format(term), text), "term ") == []


@pytest.mark.parametrize(
    "text, words",
    [
        ("Once.\n# A sum, the **sum**.", "90_adding.py:15: the term 'sum' is first used here: put it in bold, **sum**"),
        ("The sums.\n#\n# A **sum**.", "90_adding.py:14: the term 'sum' is first used here"),
        ("A **sum of all**.", "the term 'sum' is first used here"),
        ("## Nothing", "90_adding.py:16: the term 'sum' is first used here"),  # "Sum:" follows, as in the small chapter
    ],
)
def test_a_term_that_is_not_is_named(write, text, words):
    assert len(said(write("# terms:\n" + TERM.format("sum"), text), words)) == 1


def test_what_is_missing_is_named(write):
    assert said(write("# terms:\n" + TERM.format("difference")), "stands in no sentence of the chapter")
    assert said(write("# terms:\n" + TERM.format("sum").replace("和", "he")), "has no Chinese name: zh is 'he'")
    assert said(write("# symbols: {$\\beta$: all}\n"), r"the symbol $\beta$ stands in no equation")
    assert said(write(), "the header defines 0 terms; at least 8")


def test_a_term_is_defined_once(write):
    write("# terms:\n" + TERM.format("Sum"), number="89")
    chapter = write("# terms:\n" + TERM.format("sum"))
    assert said(chapter, "the term 'sum' is defined in 89_adding.py too")
    assert said(write("# terms:\n" + 2 * TERM.format("sum")), "the term 'sum' is defined in 90_adding.py too")


def test_a_symbol_has_one_meaning(write):
    write("# symbols: {$s$: the sum}\n", number="89")
    assert said(write("# symbols: {$ s $: the sum}\n"), "a symbol has one meaning") == []
    chapter = write("# symbols: {$s$: the stride}\n")
    assert said(chapter, "$s$ is 'the stride' and, in 89_adding.py, 'the sum': a symbol has one meaning")
    named = write("# terms:\n" + TERM.format("sum").replace("zh", "symbol: $s$, zh"))
    assert said(named, "$s$ is 'sum' and, in 89_adding.py, 'the sum'")


@pytest.mark.parametrize(
    "formula, symbol, found",
    [
        (r"$$ a + \lambda_i $$", r"$\lambda$", True),
        (r"$\lambda_{ij}$", r"$\lambda_{i j}$", True),
        (r"$\beta$", "$b$", False),
        (r"$\lfloor n / 2 \rfloor$", r"$\lfloor\cdot\rfloor$", True),
        (r"$\rfloor \lfloor$", r"$\lfloor\cdot\rfloor$", False),
    ],
)
def test_a_symbol_is_found_as_a_whole(formula, symbol, found):
    assert glossary.holds(glossary.tokens(formula), symbol) == found


def test_the_page(write):
    write("# terms:\n" + TERM.format("sum") + TERM.format("Adding up") + "# symbols: {'$|s|$': 'a|b'}\n", number="89")
    write("# terms:\n#   - {term: 1 × 1 convolution, means: 'A $|w|$.', zh: 卷积, symbol: $s$}\n")
    texts = [cell.source for cell in glossary.notebook(chapters.entries()).cells]
    assert [text.splitlines()[0] for text in texts] == [
        "# Glossary and notation",
        "## Notation",
        "## 0–9",
        "## A",
        "## S",
    ]
    assert "| $\\vert s\\vert $ | a\\|b | [89](89_adding.ipynb) |" in texts[1]
    assert "| $s$ | 1 × 1 convolution | [90](90_adding.ipynb) |" in texts[1]
    assert texts[2].splitlines()[2:] == [
        "| term | symbol | meaning | 中文 | chapter |",
        "| --- | --- | --- | --- | --- |",
        "| **1 × 1 convolution** | $s$ | A $\\vert w\\vert $. | 卷积 | [90](90_adding.ipynb) |",
    ]
    assert "| **sum** |  | What is left. | 和 | [89](89_adding.ipynb) |" in texts[4]


def test_the_page_is_written_with_the_others_and_no_notebook_holds_the_terms(write, tmp_path):
    from course.authoring import notebooks

    chapter = write("# terms:\n" + TERM.format("sum"))
    assert "terms" not in notebooks.derive(chapter).metadata.course.header
    assert [path.name for path in pages.write_pages()] == ["index.ipynb", "glossary.ipynb"] and not pages.write_pages()
    assert "## S" in load_notebook(tmp_path / "notebooks" / "glossary.ipynb").cells[1].source


def test_a_new_chapter_shows_how_terms_and_symbols_are_written(write):
    chapter = chapters.read_chapter(skeleton.write_new("91_new_idea"))
    assert len(said(chapter, "term")) == len(said(chapter, "the header defines 1 terms")) == 1
    assert said(chapter, "the symbol") == [] and chapter.header["terms"][0]["zh"] == "平均值"
