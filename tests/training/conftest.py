from __future__ import annotations

import pytest
from training_runs import RECIPES, few_digits, fit


@pytest.fixture(autouse=True)
def _few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    few_digits(monkeypatch.setattr)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The checkpoint of each recipe, trained in one go."""
    with pytest.MonkeyPatch.context() as patch:
        few_digits(patch.setattr)
        return {name: fit(recipe, tmp_path_factory.mktemp(name)) for name, recipe in RECIPES.items()}
