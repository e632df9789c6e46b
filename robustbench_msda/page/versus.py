"""What the compare view chooses from: every number of every method, as data for the script of the page."""

from __future__ import annotations

from collections.abc import Mapping

from robustbench_msda.page.leaderboard import Headlines
from robustbench_msda.page.summary import CLEAN, Summary, Who, estimates, format_of, plain
from robustbench_msda.records import level_value
from robustbench_msda.tables.values import Estimate

# Section, name, and how its numbers are printed.
Key = tuple[str, str, str]
# Mean, spread and number of networks.
Numbers = list[float | int | None]
SIMPLE = {"share": "share", "change": "share", "count": "count", "count_interval": "count"}


def versus(found: Headlines, summary: Summary, hrefs: Mapping[Who, str]) -> dict[str, object]:
    """Return the methods, and a line a number: its section, name and style, and a value a method, null for none."""
    table: dict[Key, dict[Who, Estimate]] = {}
    for column in found.columns:
        title = ": ".join(filter(None, (column.column.span, column.column.title)))
        key = ("At a glance", title, SIMPLE.get(column.column.format, "plain"))
        table[key] = {who: value for who in hrefs if (value := found.value(column, who)) is not None}
    for who in hrefs:
        for key, value in detailed(summary, who).items():
            table.setdefault(key, {})[who] = value
    sections = list(dict.fromkeys(key[0] for key in table))
    ordered = sorted(table, key=lambda key: sections.index(key[0]))
    return {
        "groups": [[*who, href] for who, href in hrefs.items()],
        "rows": [[*key, [numbers(table[key].get(who)) for who in hrefs]] for key in ordered],
    }


def detailed(summary: Summary, who: Who) -> dict[Key, Estimate]:
    """Return the numbers of one method beside its headline ones."""
    rows = summary.groups[who]
    clean = rows[rows["benchmark"] == CLEAN]
    found: dict[Key, Estimate] = {}
    for (metric,), value in estimates(clean[clean["subset"] == "all"], ["metric"]).items():
        style = "share" if format_of(metric) == "share" else "plain"
        found["Clean test set", metric, style] = value
    recalls = estimates(clean[clean["metric"] == "recall"], ["subset"])
    found |= {("Recall by class (%)", name, "share"): value for (name,), value in recalls.items()}
    for metric, title in (("corruption_error", "Error (%)"), ("flip_probability", "Flip probability (%)")):
        here = estimates(rows[rows["metric"] == metric], ["benchmark", "condition"])
        found |= {(f"{title}: {name}", plain(condition), "share"): value for (name, condition), value in here.items()}
    attacked = rows[rows["condition"].str.contains("(", regex=False) & (rows["metric"] == "error")]
    attacked = attacked[attacked["source"] == ""]
    levels = sorted(
        estimates(attacked, ["benchmark", "condition", "level"]).items(),
        key=lambda item: (item[0][0], level_value(item[0][2])),
    )
    found |= {
        ("Error under attack (%)", f"{name}: {text} at ε = {level}", "share"): v for (name, text, level), v in levels
    }
    return found


def numbers(value: Estimate | None) -> Numbers | None:
    """Return a number as it is written for the script; NaN is null there."""
    if value is None or value.mean != value.mean:
        return None
    return [float(f"{value.mean:.6g}"), None if value.spread != value.spread else float(f"{value.spread:.3g}"), value.n]
