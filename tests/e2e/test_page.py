"""The page at /, in a real browser, of a program whose names are markup."""
import contextlib
import os
import pathlib
import shutil
import subprocess

import pytest
from conftest import LOOPSIGHT, PYTHON, TARGETS, free_port, http_get, running, wait_for_port, wait_until

selenium = pytest.importorskip("selenium.webdriver", reason="python3-selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not CHROMIUM or not DRIVER:
    pytest.skip("chromium or its driver is not installed", allow_module_level=True)

from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

WAIT = 60
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A file's name has no slash, but it may be markup all the same.
PROGRAM = "<img src=x onerror=window.owned=1>.py"
SCRIPT, IMAGE = "<script>window.owned=1</script>", "<img src=x onerror=window.owned=1>"


class Browser:
    def __init__(self, profile):
        options = selenium.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in [*FLAGS, "--user-data-dir=%s" % profile]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = selenium.Chrome(service=Service(DRIVER), options=options)
        self.driver.set_page_load_timeout(WAIT)
        self.driver.set_script_timeout(WAIT)

    def emulate(self, width=1280, scheme="light"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def js(self, expression, *arguments):
        return self.driver.execute_script("return " + expression, *arguments)

    def waits_for(self, expression, *arguments):
        assert wait_until(lambda: self.js(expression, *arguments), WAIT), (
            expression,
            self.js("document.body.innerText")[:3000],
        )

    def press(self, *keys):
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def choose(self, select, value):
        self.driver.execute_script(
            "const box = document.getElementById(arguments[0]); box.value = arguments[1];"
            "box.dispatchEvent(new Event('change'))",
            select,
            value,
        )

    def complaints(self):
        return [one["message"] for one in self.driver.get_log("browser")]


def start_daemon(port):
    command = [LOOPSIGHT, "run", "--web.listen-address", "127.0.0.1:%d" % port]
    return running(command, stderr=subprocess.DEVNULL)


def wait_for_daemon(port):
    wait_for_port(port, WAIT)
    assert wait_until(lambda: http_get(port, "/-/ready")[0] == 200, WAIT)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    with contextlib.suppress(Exception):
        started.driver.quit()


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A daemon that watches the program of hostile names: its port."""
    program = tmp_path_factory.mktemp("program") / PROGRAM
    program.write_text((TARGETS / "page_stalls.py").read_text())
    port = free_port()
    with start_daemon(port) as process:
        wait_for_daemon(port)
        command = [PYTHON, str(program), "600"]
        with running(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as target:
            assert target.stdout.readline() == "ready\n"
            yield port, process


@pytest.fixture
def page(browser, watched):
    """The page with some stalls on it."""
    browser.driver.get("about:blank")
    browser.emulate()
    browser.complaints()
    browser.driver.get("http://127.0.0.1:%d/" % watched[0])
    browser.waits_for("document.querySelectorAll('#stalls details').length >= 4")
    browser.waits_for("document.querySelectorAll('#loops tbody tr').length >= 1")
    return browser


FIRST = "document.querySelector('#stalls details')"


def test_hostile_names_are_text(page):
    for name in (SCRIPT, IMAGE, PROGRAM):
        page.waits_for("document.body.innerText.includes(arguments[0])", name)
    # Also where they are opened, in the drawings, and in the choices.
    page.driver.execute_script(
        "for (const one of document.querySelectorAll('#stalls summary')) one.click()"
    )
    page.waits_for("document.querySelectorAll('#stalls .frames li').length > 4")
    page.waits_for("document.querySelector('#flame').textContent.includes(arguments[0])", SCRIPT)
    page.waits_for("[...document.querySelectorAll('#workload option')].some("
                   "(one) => one.value === arguments[0])", PROGRAM)
    assert page.js("window.owned === undefined")
    assert page.js("document.querySelectorAll('img').length") == 1  # the page's own icon
    assert page.js("document.querySelectorAll('body script').length") == 0
    assert page.complaints() == []  # of the Content-Security-Policy, for one


def test_it_uses_nothing_but_the_daemon(page, watched):
    sources = page.js("performance.getEntriesByType('resource').map((one) => one.name)")
    assert len(sources) >= 5
    assert all(one.startswith("http://127.0.0.1:%d/" % watched[0]) for one in sources)
    # An inline script or style would not run: the policy says so.
    page.driver.execute_script(
        "const style = document.createElement('style');"
        "style.textContent = 'body { outline: 9px solid red }'; document.head.append(style)"
    )
    assert page.js("getComputedStyle(document.body).outlineWidth") != "9px"


def test_a_stall_opens_by_keyboard_and_stays_open(page):
    page.driver.execute_script(FIRST + ".firstChild.focus(); window.opened = " + FIRST)
    page.press(Keys.ENTER)
    page.waits_for("window.opened.open && window.opened.querySelector('.advice') !== null")
    # Newer ones come, above; this one keeps its state, its place in the page, and the focus.
    page.waits_for(FIRST + " !== window.opened")
    assert page.js("window.opened.open && window.opened.isConnected")
    assert page.js("document.activeElement === window.opened.firstChild")


def test_the_drawings_are_used_by_keyboard(page):
    page.waits_for("document.querySelectorAll('#timeline .mark').length >= 4")
    stops = "document.querySelectorAll('#timeline .mark[tabindex=\"0\"]').length"
    assert page.js(stops) == 1  # one stop for all the marks
    page.driver.execute_script("document.querySelector('#timeline .mark').focus()")
    first = page.js("document.activeElement.dataset.key")
    page.press(Keys.ARROW_RIGHT)
    second = page.js("document.activeElement.dataset.key")
    assert second and second != first
    assert page.js("/ m?s, /.test(document.activeElement.getAttribute('aria-label'))")
    page.press(Keys.ENTER)
    page.waits_for("document.activeElement.closest('details')?.dataset.key === arguments[0]", second)
    assert page.js("document.activeElement.closest('details').open")

    page.driver.execute_script("document.querySelector('#flame .node').focus()")
    page.press(Keys.ARROW_DOWN)
    inner = page.js("document.activeElement.dataset.key")
    assert inner
    page.press(Keys.ENTER)
    page.waits_for("!document.getElementById('unzoom').hidden")
    assert page.js("document.activeElement.dataset.key") == inner
    page.press(Keys.ESCAPE)
    page.waits_for("document.getElementById('unzoom').hidden")


def test_every_control_has_a_name_and_shows_the_focus(page):
    page.driver.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
    body = page.driver.find_element("tag name", "body")
    body.send_keys(Keys.TAB)
    seen = []
    for _ in range(14):
        seen.append(
            page.js(
                "(() => { const at = document.activeElement; const style = getComputedStyle(at);"
                "return {name: at.getAttribute('aria-label') || at.labels?.[0]?.innerText ||"
                "  document.getElementById(at.getAttribute('aria-labelledby'))?.innerText ||"
                "  at.textContent, focus: style.outlineStyle !== 'none' ||"
                "  at.matches('.mark, .node')} })()"
            )
        )
        page.press(Keys.TAB)
    assert seen[0]["name"] == "Skip to the content"
    assert all(one["name"].strip() and one["focus"] for one in seen), seen


def test_filters_are_the_daemons(page):
    page.choose("workload", PROGRAM)
    page.choose("cause", "disk")
    page.waits_for("!document.getElementById('stalls-empty').hidden")
    assert page.js("document.querySelectorAll('#stalls details').length") == 0
    assert page.js("location.hash").endswith("&cause=disk")
    page.choose("cause", "sleep")
    page.waits_for("document.querySelectorAll('#stalls details').length >= 3")
    assert page.js(
        "[...document.querySelectorAll('#stalls .badge')].every((one) => one.innerText === 'sleep')"
    )
    page.driver.find_element("id", "clear").click()
    page.waits_for("location.hash === ''")
    page.waits_for("document.getElementById('workload').value === ''")


def test_dark_and_narrow(page):
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.js(ground)
    page.driver.execute_script(
        "for (const one of document.querySelectorAll('#stalls summary')) one.click()"
    )
    page.emulate(width=400, scheme="dark")
    page.waits_for(ground + " !== arguments[0]", light)
    page.waits_for("document.documentElement.scrollWidth <= 400")
    for folder in filter(None, [os.environ.get("LOOPSIGHT_PICTURES")]):  # for a person to look at
        for width in (400, 1280):
            for scheme in ("light", "dark"):
                page.emulate(width, scheme)
                page.driver.save_screenshot(str(pathlib.Path(folder) / f"{width}-{scheme}.png"))


def test_it_says_when_the_daemon_is_gone_and_comes_back(page, watched):
    """The last: it ends the daemon."""
    port, process = watched
    assert page.js("document.getElementById('gone').hidden")
    process.terminate()
    process.wait(30)
    page.waits_for("!document.getElementById('gone').hidden")
    assert page.js("document.getElementById('state').innerText") == "not up to date"
    assert page.js("document.getElementById('gone').innerText.includes('cannot be reached')")
    assert page.js("document.querySelectorAll('#stalls details').length") >= 4  # still to be read
    with start_daemon(port):
        page.waits_for("document.getElementById('gone').hidden")
        page.waits_for("document.getElementById('state').innerText === 'live'")
