"""What a chapter keeps: a clear road, claims with controls, honest minutes, the field's words."""

from pathlib import Path

import pytest
from helpers import SMALL_SOURCE

from course.authoring import chapters, equations, review, road, wording
from course.files import load_notebook

CLAIM = 'claim("90.1", "adding adds", trained == 3)'


@pytest.fixture
def written(tmp_path):
    """A function that gives the small chapter with something in it replaced."""

    def chapter(before="", after=""):
        text = SMALL_SOURCE.read_text(encoding="utf-8")
        assert before in text
        path = tmp_path / SMALL_SOURCE.name
        path.write_text(text.replace(before, after, 1) if before else text, encoding="utf-8")
        return chapters.read_chapter(path)

    return chapter


def said(chapter, words):
    """The Problems, as texts, that hold these words."""
    return [str(problem) for problem in review.problems(chapter) if words in str(problem)]


def test_what_stands_open_is_counted(written):
    found = road.of(written())
    assert [count for _, count in found.cells] == [2, 2, 2, 1, 1] and (found.lines, found.longest) == (8, 2)
    assert (found.exercises, found.claims, found.controls) == (3, 1, 0)
    folded = written("# %%\ntrained", '# %% tags=["aside"]\n# @title Trains it\ntrained')
    assert [count for _, count in road.of(folded).cells] == [2, 2, 1, 1]


@pytest.mark.parametrize(
    "code, words",
    [
        ("\n".join(f"a{i} = {i}" for i in range(26)), "90_adding.py:26: a visible cell of 28 lines; at most 25"),
        ("\n\n# %%\n".join(f"a = {i}" for i in range(40)), "44 visible code cells; at most 40"),
        ("\n\n# %%\n".join("\n".join(["a = 1"] * 25) for _ in range(15)), "lines of visible code; at most 350"),
    ],
)
def test_too_much_open_code_is_named(written, code, words):
    chapter = written("trained = add(1, 2)", f"{code}\ntrained = add(1, 2)\n")
    assert len(said(chapter, words)) == 1


def test_the_lines_of_cells_are_counted_without_blank_ones_and_folded_ones_not_at_all(written):
    code = "\n\n".join(f"a{i} = {i}" for i in range(23))
    assert said(written("trained = add(1, 2)", f"{code}\ntrained = add(1, 2)"), "visible cell") == []
    long = "\n".join(f"a{i} = {i}" for i in range(99))
    assert said(written("# %%\ntrained", f'# %% tags=["aside"]\n# @title x\n{long}\ntrained'), "visible cell") == []


def test_words_and_minutes(written):
    chapter = written()
    assert said(chapter, "words; a chapter has 2,000 to 3,500")
    (one,) = said(chapter, "minutes")
    assert "the header says 1 minutes; words, code and exercises take 30 to 80" in one
    assert said(written("# minutes: 1", "# minutes: 45"), "minutes") == []
    assert said(written("# minutes: 1", "# minutes: 85"), "minutes")


@pytest.mark.parametrize(
    "claim, words",
    [
        (CLAIM, "90_adding.py:39: claim 90.1 has no control"),
        (CLAIM[:-1] + ", control=None)", "claim 90.1 has control=None: say in a comment"),
        ("# @title Claim\n" + CLAIM[:-1] + ", control=None)", "claim 90.1 has control=None: say in a comment"),
        (CLAIM[:-1] + ", control=False)", "claim 90.1: its control is False, which is no measurement"),
    ],
)
def test_a_claim_without_a_control_is_named(written, claim, words):
    assert len(said(written(CLAIM, claim), "claim 90.1")) == 1 and said(written(CLAIM, claim), words)


@pytest.mark.parametrize(
    "claim",
    [
        CLAIM[:-1] + ", control=trained == 4)",
        CLAIM[:-1] + ", trained == 4)",
        CLAIM[:-1] + ", control=None)  # a sum is a sum",
    ],
)
def test_a_claim_with_a_control_or_a_reason_will_do(written, claim):
    assert said(written(CLAIM, claim), "claim 90.1") == []


def test_private_words_are_named_once_with_all_their_places(written):
    chapter = written(
        "# Sum:", "# Two pictures, a heap, `picture`, $picture$, pictured.\n#\n# Two Pictures: ![picture](a)\n#"
    )
    assert said(chapter, "'pictures'") == ["90_adding.py:12: 'pictures': the field says 'images' (and in lines 14)"]
    assert said(chapter, "'picture'") == ["90_adding.py:14: 'picture': the field says 'image'"]
    assert said(chapter, "'heap'")


def test_what_is_no_prose_keeps_its_room():
    text = "a `b\nc $x\ny$ d\n```\ncode\n```\n[e](f) $$g\n$$ h"
    plain = wording.prose(text)
    assert len(plain) == len(text) and plain.split() == ["a", "`b", "c", "d", "[e", "h"]
    assert plain.count("\n") == text.count("\n")


def test_the_first_image_comes_before_any_code(small, written):
    chapter = written()
    notebook = load_notebook(small / "notebooks" / "90_adding.ipynb")
    assert road.opening(notebook) == (None, 2)
    (one,) = review.opening_problems(chapter, notebook)
    assert str(one).startswith("90_adding.py:15: this visible code comes before the first image")
    notebook.cells[2].outputs = [{"output_type": "display_data", "data": {"image/png": ""}, "metadata": {}}]
    assert review.opening_problems(chapter, notebook), "a drawing's code is on the road before the drawing"
    notebook.cells[1].source = "![A sum](attachment:sum.png)"
    assert review.opening_problems(chapter, notebook) == []


# Pixels that JupyterLab's MathJax took for equations of the chapters, their numbers with them.
MEASURED = [
    (250, r"W_\text{SN} = \frac{W}{\sigma(W)} \tag{18.14}"),
    (316, r"C_{ij} = \sum_{t} \mathbb{1}[y_t = i]\; \mathbb{1}[\hat y_t = j] \tag{6.6}"),
    (352, r"J_l = s_l\, J_{l-1} = \prod_{i=1}^{l} s_i, \qquad J_0 = 1 \tag{4.1}"),
    (475, r"(P x)^\mathsf{T} (P W) + b = x^\mathsf{T} P^\mathsf{T} P\, W + b = x^\mathsf{T} W + b \tag{6.12}"),
    (643, r"P(j = k \mid x, y_1, \dots, y_N) = \frac{r(x, y_k)}{\sum_{m=1}^{N} r(x, y_m)}, \qquad"
          r"r(x, y) = \frac{p(x, y)}{p(x)\, p(y)} \tag{21.2}"),
    (766, r"\begin{aligned} P_\text{AlexNet} &= 60{,}965{,}224, & P_\text{VGG-16} &= 138{,}357{,}544, & "
          r"P_\text{GoogLeNet} &= 6{,}998{,}552, \\ P_\text{ResNet-50} &= 25{,}636{,}712, & "
          r"P_\text{DenseNet-121} &= 8{,}062{,}504 \end{aligned} \tag{7.9}"),
    (770, r"\frac{\partial L}{\partial I(r, c)} = \begin{cases} \delta(u, v) & \text{if } I(r, c) = M(u, v) \\ 0 & "
          r"\text{else} \end{cases} \quad \text{(max)}, \qquad \frac{\partial L}{\partial I(r, c)} = "
          r"\frac{\delta(u, v)}{k^2} \quad \text{(average)} \tag{4.6}"),
]  # fmt: skip


@pytest.mark.parametrize("pixels, latex", MEASURED)
def test_the_width_of_an_equation_is_about_right(pixels, latex):
    assert equations.pixels(latex) == pytest.approx(pixels, rel=0.14)
    assert (equations.pixels(latex) > equations.ROOM) == (pixels > 550)


@pytest.mark.parametrize("latex", ["", "{", "\\frac", "\\begin{cases} a", "x^", "a & b \\\\ c", "\\text{a b}^{2}_{3}"])
def test_any_text_has_a_width(latex):
    assert 0 <= equations.width(latex) < 5


def test_a_wide_equation_is_named_and_a_broken_one_is_not(written):
    wide = " + ".join(["a^2"] * 20)
    assert said(written("s = a + b", f"s = {wide}"), "90_adding.py:12: an equation about")
    lines = " \\\\\n# &+ ".join([" + ".join(["a^2"] * 5)] * 4)
    assert said(written("s = a + b", f"\\begin{{aligned}} s &= {lines} \\end{{aligned}}"), "an equation about") == []


def test_a_report_has_figures_and_all_problems(small):
    line, problems = review.report(chapters.read_chapter(Path(small) / "solutions" / SMALL_SOURCE.name))
    assert line.startswith("90 words ") and "claims 1, with a control 0 · first image none · minutes 1 of 3" in line
    assert any("first image" in str(one) for one in problems) and any("minutes" in str(one) for one in problems)
