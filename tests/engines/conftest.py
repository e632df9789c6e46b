from __future__ import annotations

import pytest
from small_study import kept, written

from robustbench_msda.cli.main import status


@pytest.fixture(scope="session")
def by_local_processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the small study leaves, run by the local engine."""
    folder = tmp_path_factory.mktemp("local")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert status(written(folder)) == 0
    return kept(folder)
