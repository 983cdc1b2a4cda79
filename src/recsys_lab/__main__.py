"""``python -m recsys_lab`` is the same as ``recsys-lab``."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, which -m puts first: its files are no packages

    from recsys_lab.cli.main import main

    main()
