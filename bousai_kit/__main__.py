"""``python -m bousai_kit …``: the same as ``bousai …``."""

import sys

from bousai_kit.cli import main

if __name__ == "__main__":
    sys.exit(main())
