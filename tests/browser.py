"""Pages in a real browser: Chromium without a window."""

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
_PHONE, _LAPTOP = (390, 3000), (1280, 3000)


@dataclass(frozen=True)
class Seen:
    """What a browser made of a page.

    Attributes:
        html: after everything was laid out.
        console: messages, errors of the page among them.
        picture: a screenshot.
    """

    html: str
    console: list[str]
    picture: Path

    def pixels(self) -> NDArray[np.uint8]:
        """The screenshot, (height, width, 3)."""
        with Image.open(self.picture) as image:
            return np.asarray(image.convert("RGB"))


def look(page: Path, picture: Path, *, phone: bool = False, dark: bool = False) -> Seen:
    """Open a page, take a picture, read the console."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    width, height = _PHONE if phone else _LAPTOP
    # Chromium's window is no narrower than 500 pixels: a phone is a frame in a page of our own.
    target = _framed(page, picture.with_suffix(".html"), width, height) if phone else page
    common = [
        program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--disable-dev-shm-usage", f"--user-data-dir={picture.parent / 'profile'}",
        "--enable-logging=stderr", "--v=0", f"--window-size={max(width, 500)},{height}",
        "--allow-file-access-from-files",
    ]  # fmt: skip
    if dark:
        common.append("--blink-settings=preferredColorScheme=0")
    environment = {**os.environ, "HOME": str(picture.parent)}

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [*common, *options, target.absolute().as_uri()]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120,
                              env=environment)  # fmt: skip

    told = run(f"--screenshot={picture}")
    return Seen(run("--dump-dom").stdout, re.findall(r"CONSOLE.*", told.stderr), picture)


def _framed(page: Path, frame: Path, width: int, height: int) -> Path:
    frame.write_text(
        f'<body style="margin:0"><iframe src="{page.absolute().as_uri()}" '
        f'style="border:0;width:{width}px;height:{height}px"></iframe>'
    )
    return frame
