"""The result of a bench: a table for people, then one JSON line for machines."""

import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
}


@dataclass(frozen=True)
class Target:
    """One figure and its target. Without a target the figure is only reported."""

    name: str
    value: float
    compare: str = ">="
    target: float | None = None

    @property
    def ok(self) -> bool:
        """Return whether the figure meets its target."""
        return self.target is None or _COMPARE[self.compare](self.value, self.target)


@dataclass
class Report:
    """Collects rows for the table and targets for the last line."""

    bench: str
    columns: Sequence[str]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Return whether every target is met."""
        return all(target.ok for target in self.targets)

    def row(self, *cells: object) -> None:
        """Add a row to the table. Floats are shown with three significant digits."""
        self.rows.append(tuple(f"{cell:,.3g}" if isinstance(cell, float) else str(cell) for cell in cells))

    def target(self, name: str, value: float, compare: str = ">=", target: float | None = None) -> None:
        """Add a figure for the last line."""
        self.targets.append(Target(name, value, compare, target))

    def show(self) -> None:
        """Print the table and the JSON line."""
        table = Table(*self.columns, title=self.bench)
        for row in self.rows:
            table.add_row(*row)
        Console(soft_wrap=True).print(table)
        targets = [
            {
                "name": t.name,
                "value": round(t.value, 4),
                "target": None if t.target is None else f"{t.compare} {t.target:g}",
                "ok": t.ok,
            }
            for t in self.targets
        ]
        print(json.dumps({"bench": self.bench, "targets": targets}))
