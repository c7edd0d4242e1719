"""Where a lesson can be opened with one click: addresses made of one setting, that of the repository.

The setting is `Repository` among `[project.urls]` of pyproject.toml, or what `site/build.py --repository` is told.
While there is none, nothing is shown that would lead nowhere.
"""

import re
import tomllib
from dataclasses import dataclass

PUBLISHED = "gh-pages"  # the branch that the workflow puts the built site on
GITHUB = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?(?:/tree/([\w./-]+?))?/?")


class AddressError(ValueError):
    """An address that is not a repository's; the message says what it may be."""


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub, with the branch that lessons are opened from."""

    owner: str
    name: str
    branch: str

    @property
    def address(self):
        return f"https://github.com/{self.owner}/{self.name}"

    def wheel(self, name):
        """Where the published site's wheel is fetched from."""
        return f"{self.address}/raw/{PUBLISHED}/lessons/{name}"

    def launches(self, stem):
        """The ways to open a lesson: a list of (name, address, what it needs)."""
        lesson = f"{self.owner}/{self.name}/blob/{PUBLISHED}/launch/{stem}.ipynb"
        place = f"{self.owner}/{self.name}"
        binder = f"https://mybinder.org/v2/gh/{place}/{self.branch.replace('/', '%2F')}"
        return [
            ("Colab", f"https://colab.research.google.com/github/{lesson}", "a Google account"),
            ("Kaggle", f"https://kaggle.com/kernels/welcome?src=https://github.com/{lesson}", "a Kaggle account"),
            ("Binder", f"{binder}?urlpath=lab/tree/work/{stem}.ipynb", "no account, some minutes to start"),
            ("Codespaces", f"https://codespaces.new/{place}/tree/{self.branch}", "a GitHub account"),
        ]


def read(address):
    """The Repository of an address such as https://github.com/owner/name, or .../tree/branch; None where it is empty.
    Raises AddressError."""
    if not address:
        return None
    if not (found := GITHUB.fullmatch(address)):
        raise AddressError(
            f"{address!r} is not the address of a repository: write https://github.com/owner/name, with /tree/branch "
            "where its lessons are not on main"
        )
    return Repository(found[1], found[2], found[3] or "main")


def configured(pyproject):
    """The address that pyproject.toml gives, or "". pyproject: its path."""
    urls = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"].get("urls", {})
    return urls.get("Repository", "")


def install_cell(wheel):
    """The code that a launched lesson begins with. Colab and Kaggle bring all that a lesson imports, Keras and
    TensorFlow too, and --no-deps leaves their versions alone. wheel: its address."""
    return f"# Installs the course, and nothing else.\n%pip install -q --no-deps {wheel}"
