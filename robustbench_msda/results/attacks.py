"""Score rows of white-box attacks made ready for tables and figures."""

from __future__ import annotations

import pandas as pd

from robustbench_msda.records import level_value
from robustbench_msda.results.aggregates import Absent, ordered_levels

# Printed behind a number that failed a check.
DAGGER = "†"
# What the flags of a box begin with where it is a mean: nothing that failed.
SEVERAL = r"mean over \d+ substitutes"
WORST = "worst case"
# The ε by which attacks are compared at a glance, by the norm that starts the name of a benchmark.
SHOWN_EPSILON, SHOWN_L2 = "8/255", "0.5"
WHERE = ["dataset", "model", "benchmark"]


def attack_name(condition: str) -> str:
    """Return the name of the attack that ``condition`` is the text of."""
    return condition.partition("(")[0]


def norm_title(name: str) -> str:
    """Return how the ball is printed of the attack, or of the benchmark, whose name or text is ``name``."""
    return "L2" if name.startswith("l2_") else "L∞"


def single(rows: pd.DataFrame) -> pd.DataFrame:
    """Return those ``rows`` of attacks whose benchmark is one attack, and is named after it."""
    return rows[rows["condition"].map(attack_name) == rows["benchmark"]]


def suites(rows: pd.DataFrame) -> pd.DataFrame:
    """Return those ``rows`` of attacks whose benchmark is several attacks."""
    return rows[rows["condition"].map(attack_name) != rows["benchmark"]]


def worst_cases(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the errors in the worst case over attacks; those over some of the attacks only where none is over all.

    The condition of the rows is ``WORST``.
    """
    rows = frame[(frame["metric"] == "worst_case_error") & (frame["subset"] == "all") & (frame["source"] == "")]
    partial = rows["flags"].str.contains("partial:", regex=False)
    fewest = partial.groupby([rows[name] for name in (*WHERE, "level")]).transform("min")
    return rows[partial == fewest].assign(condition=WORST)


def suite_rows(frame: pd.DataFrame, errors: pd.DataFrame) -> pd.DataFrame:
    """Return the errors of suites, of every attack and in the worst case.

    Args:
        frame: all rows.
        errors: those of ``error`` under white-box attack.

    Raises:
        Absent: no suite was scored.
    """
    rows = suites(errors)
    if rows.empty:
        raise Absent("no rows of several attacks, such as the benchmark linf_attacks")
    found = pd.concat([rows, worst_cases(frame)], ignore_index=True)
    return found.assign(norm=found["benchmark"].map(norm_title))


def shown_level(benchmark: str, levels: pd.Series[str]) -> str:
    """Return the ε nearest to 8/255 among ``levels``, in L2 to 0.5."""
    shown = level_value(SHOWN_L2 if norm_title(benchmark) == "L2" else SHOWN_EPSILON)
    return min(ordered_levels(levels), key=lambda level: abs(level_value(level) - shown))


def told_attack_flags(rows: pd.DataFrame) -> str:
    """Return what failed a check among ``rows``, each flag once, with the attacks and the ε that it is said of."""
    told = []
    for benchmark, of_benchmark in rows.groupby("benchmark", sort=False):
        flagged = of_benchmark[of_benchmark["flags"] != ""]
        split = flagged.assign(flag=flagged["flags"].str.split("; ")).explode("flag")
        for flag, here in split.groupby("flag", sort=False):
            attacks = list(dict.fromkeys(here["condition"]))
            places = [of_attack(attack, here[here["condition"] == attack], of_benchmark) for attack in attacks]
            told.append(f"{benchmark}: {flag} ({'; '.join(places)})")
    return f"{DAGGER} {'; '.join(told)}." if told else ""


def of_attack(attack: str, flagged: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Return at which ε rows of ``attack`` are ``flagged``, of all its ``rows``."""
    levels = ordered_levels(flagged["level"])
    everywhere = 1 < len(levels) == rows[rows["condition"] == attack]["level"].nunique()
    return f"{attack_name(attack)} at {'every ε' if everywhere else 'ε = ' + ', '.join(levels)}"
