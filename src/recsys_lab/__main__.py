"""``python -m recsys_lab`` is the same as ``recsys-lab``."""

from recsys_lab.cli.main import main

if __name__ == "__main__":
    main()
