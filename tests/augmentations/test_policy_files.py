from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from robustbench_msda.augmentations.policy_files import Entry, digest_of, policy_of, read_policy

POLICY = [[["ShearX", 0.4, 0.7], ["Invert", 0.1, 0.2]], [["Cutout", 1, 0]]]
PYTHON = """
import missing_module_that_would_fail_if_run
raise SystemExit("the file was run")

def other():
    p = [[["Invert", 0.5, 0.5]]]
    return p

def fa_reduced_cifar10():
    p = [[("ShearX", 0.4, 0.7), ("Invert", 0.1, 0.2)], [("Cutout", 1, 0)]]
    return p

def returned():
    return [[("Cutout", 1, 0)]]

def computed():
    return other() + other()
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    (tmp_path / "archive.py").write_text(PYTHON)
    return tmp_path


def test_json_and_the_literal_of_a_python_function_are_the_same_policy(archive: Path) -> None:
    policy = read_policy(str(archive / "policy.json"))
    assert policy == ((Entry("ShearX", 0.4, 0.7), Entry("Invert", 0.1, 0.2)), (Entry("Cutout", 1.0, 0.0),))
    assert read_policy(f"{archive / 'archive.py'}:fa_reduced_cifar10") == policy
    assert read_policy(f"{archive / 'archive.py'}:returned") == policy[1:]


def test_the_digest_is_of_the_canonical_json(archive: Path) -> None:
    policy = read_policy(str(archive / "policy.json"))
    canonical = b'[[["ShearX",0.4,0.7],["Invert",0.1,0.2]],[["Cutout",1.0,0.0]]]'
    assert digest_of(policy) == hashlib.sha256(canonical).hexdigest()[:12]
    assert digest_of(policy[1:]) != digest_of(policy)


def test_a_policy_is_checked_against_its_digest_and_read_once(archive: Path) -> None:
    path = archive / "policy.json"
    digest = digest_of(read_policy(str(path)))
    with pytest.raises(ValueError, match=f"expected the policy 0123456789ab in .*, found {digest}: the file has chang"):
        policy_of(str(path), "0123456789ab")
    policy = policy_of(str(path), digest)
    path.write_text("[]")
    assert policy_of(str(path), digest) == policy


@pytest.mark.parametrize("function", ["absent", "computed"])
def test_a_function_without_a_literal_is_refused(archive: Path, function: str) -> None:
    with pytest.raises(ValueError, match="expected a JSON file, or archive.py:function with a list"):
        read_policy(f"{archive / 'archive.py'}:{function}")


def test_a_missing_file_says_where_the_published_ones_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"No such file or directory; the published ones: .*fast-autoaugment"):
        read_policy(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "[]",
        "not json",
        "[[]]",
        "[3]",
        '[[["Shear", 0.1, 0.1]]]',
        '[[["ShearX", 1.1, 0.1]]]',
        '[[["ShearX", 0.1, -0.1]]]',
        '[[["ShearX", 0.1]]]',
        '[[["ShearX", "0.1", 0.1]]]',
        '[[["ShearX", NaN, 0.1]]]',
        "[[3]]",
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="cannot read the policy .*policy.json: expected") as caught:
        read_policy(str(path))
    assert "\n" not in str(caught.value)
