from __future__ import annotations

import io

import pytest
from rich.console import Console

from robustbench_msda.cli import display


def test_lines_tell_rate_and_time_left_at_intervals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 10.0, 40.0, 60.0, 100.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with display.progress("evaluating", "images") as update:
        update(100, 1100)
        update(500, 1100, "fog 3")
        update(600, 1100)
        update(1100, 1100)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "evaluating: 500/1100 images, 10 images/s, 1.0 min left (fog 3)",
        "evaluating: 1100/1100 images, 10 images/s, 0.0 min left",
    ]


def test_a_terminal_gets_a_bar_with_count_rate_and_note() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=160)
    with display._bar("training", "steps", console) as update:
        update(0, 40)
        update(30, 40, "epoch 1/1")
    shown = screen.getvalue()
    assert "training" in shown
    assert "30/40" in shown
    assert "steps/s" in shown
    assert "epoch 1/1" in shown


def test_a_table_lines_up(capsys: pytest.CaptureFixture[str]) -> None:
    display.table(["name", "n"], [["a", "1"], ["longer", "22"]])
    assert capsys.readouterr().out == "name    n\na       1\nlonger  22\n"
