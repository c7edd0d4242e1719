"""Sphinx's settings. `site/build.py` writes what it reads, and starts it."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

project = "Deep Vision in Keras"
author = "the authors of Deep Vision in Keras"
project_copyright = "the authors; code MIT, text and figures CC BY 4.0"

extensions = ["myst_nb", "sphinx_copybutton", "sphinx_design", "website.extension"]
exclude_patterns = ["anchors.json"]

# The notebooks are read as they are committed: nothing is executed.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
myst_heading_slug_func = "docutils.nodes.make_id"
myst_all_links_external = False
suppress_warnings = ["mystnb.unknown_mime_type"]
html_math_renderer = "katex"
copybutton_selector = "div.cell_input div.highlight pre, div.highlight-default div.highlight pre"

html_theme = "furo"
html_title = project
html_static_path = ["style"]  # and build.py adds KaTeX's
html_css_files = ["katex/katex.min.css", "course.css"]
html_js_files = [("course.js", {"defer": "defer"})]
html_show_sourcelink = False
html_copy_source = False
html_use_index = False
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {"color-brand-primary": "#5b3aa8", "color-brand-content": "#4b2f95"},
    "dark_css_variables": {"color-brand-primary": "#c3b1f5", "color-brand-content": "#c3b1f5"},
}
