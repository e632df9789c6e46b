"""The document of all tables of the papers compiles."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from test_papers_ours import half_of_classdep

from robustbench_msda.cli.main import status


@pytest.mark.extras
@pytest.mark.parametrize("show", ["paper", "both", "difference"])
def test_the_document_of_all_tables_compiles(tmp_path: Path, show: str) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    half_of_classdep(tmp_path / "mine")
    folders = ["--results", str(tmp_path / "mine"), "--reports", str(tmp_path)]
    assert status(["tables", "build", "--all", "--format", "latex", "--show", show, *folders]) == 0
    out = tmp_path / "papers" / "tables"
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, errors="replace", timeout=200)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "28 pages" in done.stdout
