"""JupyterLab's page as a person uses it: notebooks, cells, menus and dialogs, by what stands in them.

Every function takes Selenium's driver first, waits for what it needs, and raises Selenium's TimeoutException where that
does not come within SECONDS.
"""

import contextlib
import re
import shutil

from selenium import webdriver
from selenium.common import exceptions
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

SECONDS = 90  # for anything to happen, on a busy machine
SWITCHES = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
)
FRONT = ".jp-NotebookPanel:not(.lm-mod-hidden)"  # those of the tabs behind it are in the page too
# The first element that fits a selector and holds, or begins with, some words, brought into sight: asked in one go,
# since a chapter has a hundred cells. What is far from sight need not be in the page yet, so where there is none, the
# notebook is turned to its end, where the exercises and the links are, and from there up by pages.
LOOK = """
const [front, selector, words, begins] = arguments;
const fits = one => begins ? one.textContent.startsWith(words) : one.textContent.includes(words);
const found = Array.from(document.querySelectorAll(`${front} ${selector}`)).find(fits);
if (found) {
    found.scrollIntoView({block: "center"});
    return found;
}
const pane = document.querySelector(`${front} .jp-WindowedPanel-outer`);
if (pane) {
    pane.scrollTop = pane.scrollTop ? Math.max(0, pane.scrollTop - pane.clientHeight) : pane.scrollHeight;
}
"""
TAB = "#jp-main-dock-panel .lm-TabBar-tab.jp-mod-current"
FADING = (exceptions.StaleElementReferenceException, exceptions.ElementNotInteractableException,
          exceptions.ElementClickInterceptedException, exceptions.NoSuchElementException)  # fmt: skip


def missing():
    """What there is no browser test without and is not installed here, in words, or ""."""
    absent = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    return f"no {' and no '.join(absent)} here" if absent else ""


@contextlib.contextmanager
def browser(profile, width=1280, height=900):
    """Chromium without a window; yields its driver. profile: a new folder for what it keeps."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for switch in (*SWITCHES.split(), f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(switch)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.save_screenshot(f"{profile}.png")  # pytest keeps it for the last runs: what was there when a test failed
        driver.quit()


def wait(driver, condition, what, seconds=SECONDS):
    """Wait until condition() gives something, and return it. what: is waited for, in words."""
    waiting = WebDriverWait(driver, seconds, poll_frequency=0.1, ignored_exceptions=FADING)
    return waiting.until(lambda _: condition(), f"waited in vain for {what}")


def find(driver, selector, text=""):
    """The first element in sight that a CSS selector fits and whose text begins so."""

    def found():
        every = driver.find_elements(By.CSS_SELECTOR, selector)
        return next((one for one in every if one.is_displayed() and one.text.strip().startswith(text)), None)

    return wait(driver, found, f"{selector} with {text!r}")


def click(driver, selector, text=""):
    """Click on the first element in sight that a CSS selector fits and whose text begins so."""
    wait(driver, lambda: find(driver, selector, text).click() or True, f"a click on {selector} with {text!r}")


def front(driver):
    """The name of the notebook whose tab is in front."""
    tabs = driver.find_elements(By.CSS_SELECTOR, TAB)
    return tabs[0].text.strip() if tabs else ""


def at(driver, name):
    """Wait until a notebook is in front, with its cells and its kernel: who runs a cell earlier is asked for one."""
    wait(driver, lambda: front(driver) == name, f"{name} in front")
    find(driver, f"{FRONT} .jp-Cell")
    status = "return document.querySelector('#jp-main-statusbar').textContent"
    wait(driver, lambda: re.search(r"\| (Idle|Busy)", driver.execute_script(status)), f"the kernel of {name}")


def cell(driver, words):
    """The first cell of the notebook in front whose text holds some words, brought into sight."""
    look = (LOOK, FRONT, ".jp-Cell", words, False)
    return wait(driver, lambda: driver.execute_script(*look), f"a cell with {words!r}")


def follow(driver, words):
    """Click on the link, in the text of the notebook in front, whose words begin so."""
    look = (LOOK, FRONT, ".jp-RenderedMarkdown a[href]", words, True)
    wait(driver, lambda: (link := driver.execute_script(*look)) and (link.click() or True), f"a link {words!r}")


def edit(driver, words, text):
    """Put a text in the place of a cell's, as one pastes it."""
    _into(driver, words)
    press(driver, Keys.CONTROL, "a")
    driver.execute_script(
        "const data = new DataTransfer(); data.setData('text/plain', arguments[0]);"
        "document.activeElement.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}))",
        text,
    )


def run(driver, words):
    """Run a cell with Shift+Enter; once more where that is lost, as it is while a kernel is being connected to."""

    def prompt():
        return cell(driver, words).find_element(By.CSS_SELECTOR, ".jp-InputPrompt").text

    def pressed():
        _into(driver, words)
        press(driver, Keys.SHIFT, Keys.ENTER)
        with contextlib.suppress(exceptions.TimeoutException):
            return wait(driver, lambda: prompt() != before, "the cell to run", seconds=2)

    before = prompt()
    wait(driver, pressed, f"the cell with {words!r} to run")


def _into(driver, words):
    def done():
        cell(driver, words).find_element(By.CSS_SELECTOR, ".cm-content").click()
        return "cm-content" in driver.switch_to.active_element.get_attribute("class")

    wait(driver, done, f"the cursor in the cell with {words!r}")


def said(driver, words, text):
    """Wait until a cell's outputs hold a text; all that they say, as a reader sees it."""

    def shown():
        outputs = cell(driver, words).find_elements(By.CSS_SELECTOR, ".jp-OutputArea-output")
        return "\n".join(one.text for one in outputs)

    try:
        return wait(driver, lambda: (all_ := shown()) and text in all_ and all_, text)
    except exceptions.TimeoutException:
        raise AssertionError(f"the cell with {words!r} says {shown()!r}, and not {text!r}") from None


def is_error(driver, words):
    """Whether what a cell says is shown as an error."""
    kinds = "[data-mime-type='application/vnd.jupyter.stderr'], [data-mime-type='application/vnd.jupyter.error']"
    return bool(cell(driver, words).find_elements(By.CSS_SELECTOR, kinds))


def choose(driver, menu, item, accept=False):
    """Choose an item of a menu; accept: say yes to the question that it asks."""
    click(driver, ".lm-MenuBar-item", menu)
    click(driver, ".lm-Menu-itemLabel", item)
    if accept:
        click(driver, ".jp-Dialog button.jp-mod-accept")
        wait(driver, lambda: not driver.find_elements(By.CSS_SELECTOR, ".jp-Dialog"), "the question to go")


def save(driver):
    """Save the notebook in front with Ctrl+S, and wait until it is."""
    press(driver, Keys.CONTROL, "s")
    saved(driver)


def saved(driver):
    """Wait until the notebook in front has nothing that is not saved."""
    wait(driver, lambda: "jp-mod-dirty" not in find(driver, TAB).get_attribute("class"), "the notebook to be saved")


def press(driver, held, key):
    """Press a key while another is held."""
    ActionChains(driver).key_down(held).send_keys(key).key_up(held).perform()
