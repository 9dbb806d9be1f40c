"""`python -m bench NAME [options]` runs `bench/NAME.py`; without a name it lists them."""

import importlib
import sys
from pathlib import Path

from bench.report import Report


def names() -> list[str]:
    """Return the name of every bench."""
    return sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in {"__init__", "__main__", "report"}
    )


def main() -> int:
    """Run one bench; 0 when every target is met, 1 when one is missed, 2 for an unknown name."""
    if len(sys.argv) < 2 or sys.argv[1] not in names():
        print("usage: python -m bench NAME\nbenches:", *names())
        return 2
    report: Report = importlib.import_module(f"bench.{sys.argv[1]}").run(sys.argv[2:])
    report.show()
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
