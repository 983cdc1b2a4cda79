"""Pages in a real browser: Chromium without a window."""

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LAPTOP, PHONE = (1280, 900), (390, 844)
_TALLEST = 5_000  # of a picture; what is below is measured all the same
_NARROWEST = 500  # Chromium makes no window narrower: a phone is a frame in a page of our own

# Texts of a chart that are cut off or overlap; in pixels of the screen.
CHART_FAULTS = """const texts = [...svg.querySelectorAll("text")].filter(text => text.textContent)
      .map(text => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([text, at], place) => {
      if (at.left < box.left - 1 || at.right > box.right + 1 || at.top < box.top - 1 ||
          at.bottom > box.bottom + 1) faults.push(`cut off: ${text}`);
      for (const [other, there] of texts.slice(0, place)) {
        const wide = Math.min(at.right, there.right) - Math.max(at.left, there.left);
        const tall = Math.min(at.bottom, there.bottom) - Math.max(at.top, there.top);
        if (wide > 1 && tall > 0.3 * at.height) faults.push(`overlap: ${other} | ${text}`);
      }
    });"""
# Runs in the page around the frame (the page itself may run nothing) and writes down what a
# person would complain about. Everything is measured in pixels of the screen.
_FAULTS = """
const measure = (frame, hints) => {
  const page = frame.contentDocument, root = page.documentElement, faults = [];
  const view = frame.contentWindow, wide = root.clientWidth;
  if (root.scrollWidth > wide) faults.push(`the page is ${root.scrollWidth} wide`);
  const name = el => `${el.tagName.toLowerCase()}.${el.className} ${el.textContent.trim()}`
    .slice(0, 60);
  const scrollers = new Set();
  for (const el of page.body.querySelectorAll("*")) {
    if (el.closest("svg")) continue;
    const style = view.getComputedStyle(el), hides = el.scrollWidth > el.clientWidth + 1;
    if (["auto", "scroll"].includes(style.overflowX)) scrollers.add(el);
    if (!hides || el.clientWidth === 0 || !el.checkVisibility()) continue;
    if (["hidden", "clip"].includes(style.overflowX)) faults.push(`cut off: ${name(el)}`);
    if (hints && scrollers.has(el)) {  // something must say so
      const hint = view.getComputedStyle(el, "::before");
      const says = !view.CSS.supports("animation-timeline", "scroll()") ||
        (hint.content.includes("scroll") && parseFloat(hint.height) > 10);
      const shaded = style.backgroundImage.split("linear-gradient").length > 4;
      if (!says || !shaded) faults.push(`scrolls without a hint: ${name(el)}`);
    }
  }
  for (const el of page.body.querySelectorAll("*")) {
    const at = el.getBoundingClientRect();
    let inside = el.parentElement;
    while (inside && !scrollers.has(inside)) inside = inside.parentElement;
    if (!inside && at.width && (at.right > wide + 1 || at.left < -1))
      faults.push(`beyond the window: ${name(el)}`);
  }
  const charts = [...page.querySelectorAll("svg")].map(svg => {
    const box = svg.getBoundingClientRect();
    CHART_FAULTS
    return [box.width, box.height];
  });
  return {charts, faults};
};
""".replace("CHART_FAULTS", CHART_FAULTS)
_MEASURE = """
const frame = document.querySelector("iframe");
frame.onload = () => {
  const root = frame.contentDocument.documentElement;
  document.querySelector("pre").textContent = JSON.stringify({
    ...measure(frame, false), html: root.outerHTML, height: root.scrollHeight,
    dark: frame.contentWindow.matchMedia("(prefers-color-scheme: dark)").matches,
  });
  frame.style.height = `${root.scrollHeight}px`;  // the picture is of the whole page
};
"""
# Hints that something can be scrolled appear once the page was drawn.
_MEASURE_ALL = """
const frames = [...document.querySelectorAll("iframe")];
const drawn = then => requestAnimationFrame(() => requestAnimationFrame(then));
onload = () => {
  for (const frame of frames)
    for (const part of frame.contentDocument.querySelectorAll("details")) part.open = true;
  drawn(() => {
    const found = frames.map(frame => measure(frame, true).faults);
    document.querySelector("pre").textContent = JSON.stringify(found);
  });
};
"""


@dataclass(frozen=True)
class Seen:
    """What a browser made of a page.

    Attributes:
        html: after everything was laid out.
        console: messages, errors of the page among them.
        picture: a screenshot, as wide as the window, of the whole page down to `_TALLEST` pixels.
        charts: width and height of every SVG, in pixels of the screen.
        faults: texts of charts that are cut off or lie on each other; what is cut off or wider than
            the window, unless it can be scrolled.
        dark: whether the page was shown to someone who prefers dark colours.
    """

    html: str
    console: list[str]
    picture: Path
    charts: list[tuple[float, float]]
    faults: list[str]
    dark: bool

    def pixels(self) -> NDArray[np.uint8]:
        """The screenshot, (height, width, 3)."""
        with Image.open(self.picture) as image:
            return np.asarray(image.convert("RGB"))


def look(page: Path, picture: Path, *, phone: bool = False, dark: bool = False) -> Seen:
    """Open a page, measure it, take a picture, read the console.

    Args:
        page: an HTML file.
        picture: is written; what Chromium needs besides goes to files beside it.
        phone: in a window of `PHONE`, else of `LAPTOP`.
        dark: as one sees it who prefers dark colours.
    """
    width, height = PHONE if phone else LAPTOP
    frame = picture.with_suffix(".frame.html")
    script = f"{_FAULTS}{_MEASURE}frame.src = {json.dumps(page.absolute().as_uri())};"
    frame.write_text(_framed([(None, width)], height, script))
    shot = [f"--window-size={max(width, _NARROWEST)},{_TALLEST}", f"--screenshot={picture}"]
    found, console = _run(frame, shot, dark=dark)
    with Image.open(picture) as image:
        image.crop((0, 0, width, min(found.pop("height"), _TALLEST))).save(picture)
    charts = [(wide, tall) for wide, tall in found.pop("charts")]
    return Seen(console=console, picture=picture, charts=charts, **found)


def faults(pages: Sequence[tuple[Path, int]], folder: Path) -> list[list[str]]:
    """The faults of many pages, each in a window of its own width.

    As in `Seen`, and what can be scrolled without a hint that says so.

    Args:
        pages: HTML files with the width of the window.
        folder: for what Chromium writes.
    """
    file = folder / "frames.html"
    file.write_text(_framed(pages, LAPTOP[1], _FAULTS + _MEASURE_ALL))
    found, _ = _run(file, [], dark=False)
    assert len(found) == len(pages)
    return list(found)


def _run(file: Path, options: Sequence[str], *, dark: bool) -> tuple[Any, list[str]]:
    """What the page of our own wrote down, and the messages of the console."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    command = [
        program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--disable-dev-shm-usage", f"--user-data-dir={file.parent / 'profile'}",
        "--enable-logging=stderr", "--v=0", "--allow-file-access-from-files",
        # 0 is dark, 1 is light; --force-dark-mode would leave the page's own colours alone.
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        "--virtual-time-budget=10000",  # for the frames that are drawn before the page is measured
        "--dump-dom", *options, file.absolute().as_uri(),
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(file.parent)}
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120,
                          env=environment)  # fmt: skip
    measured = re.search(r"<pre hidden=\"\">(.+?)</pre>", told.stdout, re.DOTALL)
    assert measured, f"the page was not measured: {told.stderr[-2000:]}"
    return json.loads(html.unescape(measured[1])), re.findall(r"CONSOLE.*", told.stderr)


def _framed(pages: Sequence[tuple[Path | None, int]], height: int, script: str) -> str:
    """A page with a frame for each page; None: the script sets its source."""
    frames = "".join(
        f'<iframe style="border:0;display:block;width:{width}px;height:{height}px"'
        f"{'' if page is None else f' src={json.dumps(page.absolute().as_uri())}'}></iframe>"
        for page, width in pages
    )
    return (
        '<!doctype html><html style="color-scheme:light dark"><body style="margin:0">'
        f"{frames}<pre hidden></pre><script>{script}</script></body></html>"
    )
