"""Pages in a real browser: Chromium without a window."""

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LAPTOP, PHONE = (1280, 900), (390, 844)
_TALLEST = 5_000  # of a picture; what is below is measured all the same
_NARROWEST = 500  # Chromium makes no window narrower: a phone is a frame in a page of our own

# Runs in the page around the frame (the page itself may run nothing) and writes down what a
# person would complain about. Everything is measured in pixels of the screen.
_MEASURE = """
const frame = document.querySelector("iframe");
frame.onload = () => {
  const page = frame.contentDocument, root = page.documentElement, faults = [];
  if (root.scrollWidth > frame.clientWidth) faults.push(`the page is ${root.scrollWidth} wide`);
  const charts = [...page.querySelectorAll("svg")].map(svg => {
    const box = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].filter(text => text.textContent)
      .map(text => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([text, at], place) => {
      if (at.left < box.left - 1 || at.right > box.right + 1 || at.top < box.top - 1 ||
          at.bottom > box.bottom + 1) faults.push(`cut off: ${text}`);
      for (const [other, there] of texts.slice(0, place)) {
        const wide = Math.min(at.right, there.right) - Math.max(at.left, there.left);
        const tall = Math.min(at.bottom, there.bottom) - Math.max(at.top, there.top);
        if (wide > 1 && tall > 0.3 * at.height) faults.push(`overlap: ${other} | ${text}`);
      }
    });
    return [box.width, box.height];
  });
  document.querySelector("pre").textContent = JSON.stringify({
    html: root.outerHTML, height: root.scrollHeight, charts, faults,
    dark: frame.contentWindow.matchMedia("(prefers-color-scheme: dark)").matches,
  });
  frame.style.height = `${root.scrollHeight}px`;  // the picture is of the whole page
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
        faults: texts of charts that are cut off or lie on each other; a page wider than its window.
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
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    width, height = PHONE if phone else LAPTOP
    frame = picture.with_suffix(".frame.html")
    frame.write_text(_framed(page, width, height))
    command = [
        program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--disable-dev-shm-usage", f"--user-data-dir={picture.parent / 'profile'}",
        "--enable-logging=stderr", "--v=0", "--allow-file-access-from-files",
        # 0 is dark, 1 is light; --force-dark-mode would leave the page's own colours alone.
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        f"--window-size={max(width, _NARROWEST)},{_TALLEST}",
        "--dump-dom", f"--screenshot={picture}", frame.absolute().as_uri(),
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(picture.parent)}
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120,
                          env=environment)  # fmt: skip
    measured = re.search(r"<pre hidden=\"\">(.+?)</pre>", told.stdout, re.DOTALL)
    assert measured, f"the page was not measured: {told.stderr[-2000:]}"
    found = json.loads(html.unescape(measured[1]))
    with Image.open(picture) as image:
        image.crop((0, 0, width, min(found.pop("height"), _TALLEST))).save(picture)
    console = re.findall(r"CONSOLE.*", told.stderr)
    charts = [(wide, tall) for wide, tall in found.pop("charts")]
    return Seen(console=console, picture=picture, charts=charts, **found)


def _framed(page: Path, width: int, height: int) -> str:
    return (
        '<!doctype html><html style="color-scheme:light dark"><body style="margin:0">'
        f'<iframe style="border:0;display:block;width:{width}px;height:{height}px"></iframe>'
        f"<pre hidden></pre><script>{_MEASURE}frame.src = {json.dumps(page.absolute().as_uri())};"
        "</script></body></html>"
    )
