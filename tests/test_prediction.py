from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_msda.errors import UserError
from robustbench_msda.models.sources import build
from robustbench_msda.prediction import SMALLEST_BATCH, check_logits, forward, predict, summarise
from robustbench_msda.records import Batch, Predictions

# Small numbers with many ties among them, and very large ones.
LOGITS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 9)),
    elements=st.integers(-3, 3).map(float) | st.floats(-1e4, 1e4, width=32),
)


def batch_of(labels: list[int]) -> Batch:
    return Batch(torch.zeros(len(labels), 1, 1, 1), torch.tensor(labels), torch.arange(len(labels)) + 10)


def oracle(row: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Return the softmax of ``row`` and the logarithm of its denominator, in float64."""
    exact = row.astype(np.float64)
    largest = exact.max()
    total = np.exp(exact - largest).sum()
    return np.exp(exact - largest) / total, float(largest + np.log(total))


@given(logits=LOGITS, data=st.data())
def test_agrees_with_a_softmax_in_float64(logits: NDArray[np.float32], data: st.DataObject) -> None:
    n, classes = logits.shape
    labels = data.draw(st.lists(st.integers(-1, classes - 1), min_size=n, max_size=n))
    answer = summarise(batch_of(labels), torch.from_numpy(logits), keep_logits=True)
    for i, (row, label) in enumerate(zip(logits, labels, strict=True)):
        probs, logsumexp = oracle(row)
        assert answer.logsumexp[i] == pytest.approx(logsumexp, rel=2e-7, abs=1e-9)
        assert answer.sum_p2[i] == pytest.approx((probs**2).sum(), rel=1e-6)
        # A confidence is a difference of two stored float32: exact to their spacing.
        spacing = float(np.spacing(np.float32(max(abs(logsumexp), abs(row.max()), 1))))
        assert answer.confidence[i] == pytest.approx(probs.max(), rel=spacing, abs=1e-9)
        if label < 0:
            assert np.isnan(answer.label_logit[i])
        else:
            assert answer.label_logit[i] == row[label]
        # Python's sort is stable: ties stay in the order of classes.
        order = sorted(range(classes), key=(-row).__getitem__)[:5]
        assert answer.top5[i].tolist() == order + [-1] * (5 - len(order))
        assert answer.top5_logit[i].tolist() == [row[k] for k in order] + [-np.inf] * (5 - len(order))
    np.testing.assert_array_equal(answer.logits, logits)
    assert answer.index.tolist() == list(range(10, 10 + n))
    assert answer.frame.tolist() == [0] * n
    assert answer.correct.tolist() == [bool(row.argmax() == label) for row, label in zip(logits, labels, strict=True)]


def test_ties_go_to_the_lower_class() -> None:
    answer = summarise(batch_of([0]), torch.tensor([[1.0, 2.0] * 600]))
    assert answer.top5[0].tolist() == [1, 3, 5, 7, 9]


def test_columns_have_the_types_that_are_stored() -> None:
    batch = batch_of([0, 1])
    with_all = Batch(batch.images, batch.targets, batch.index, torch.tensor([3, 4]), delta_max=torch.ones(2).double())
    answer = summarise(with_all, torch.eye(2), keep_logits=True)
    dtypes = {name: value.dtype.name for name, value in vars(answer).items() if value is not None}
    whole = {"index": "int32", "frame": "int16", "label": "int16", "top5": "int16"}
    floats = ("top5_logit", "label_logit", "logsumexp", "sum_p2", "logits", "delta_max")
    assert dtypes == {**whole, **dict.fromkeys(floats, "float32")}
    assert answer.frame.tolist() == [3, 4]


def test_huge_logits_do_not_overflow() -> None:
    answer = summarise(batch_of([1]), torch.tensor([[3e38, -3e38]]))
    assert answer.confidence.tolist() == [1.0]
    assert answer.label_probability.tolist() == [0.0]
    assert answer.sum_p2.tolist() == [1.0]


def resnet() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build("resnet20", 10, {}).eval()


def batches(images: Tensor, size: int) -> Iterator[Batch]:
    for index in torch.arange(len(images)).split(size):
        yield Batch(images[index], index % 10, index)


def same(a: Predictions, b: Predictions) -> bool:
    return all(np.array_equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))


def test_the_batch_size_changes_no_bit() -> None:
    model, images = resnet(), torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    whole = predict(model, batches(images, 20), keep_logits=True)
    assert len(set(whole.logsumexp.tolist())) == 20
    different = [
        size for size in range(1, 21) if not same(predict(model, batches(images, size), keep_logits=True), whole)
    ]
    assert different == []


class Recording(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.grad = True

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        self.grad = torch.is_grad_enabled()
        return images.flatten(1)


def test_small_batches_are_padded_and_the_padding_is_not_answered() -> None:
    images = torch.arange(60.0).reshape(20, 3, 1, 1)
    for size in (1, 3, 15, 16, 17, 20):
        model = Recording()
        assert torch.equal(forward(model, images[:size]), images[:size].flatten(1))
        assert model.sizes == [max(size, SMALLEST_BATCH)]


def test_rows_keep_the_order_of_the_batches() -> None:
    images = torch.arange(33.0 * 10).reshape(33, 10, 1, 1)
    answer = predict(Recording(), batches(images, 7))
    assert answer.index.tolist() == list(range(33))
    assert answer.top5_logit[:, 0].tolist() == images.flatten(1).max(1).values.tolist()
    assert answer.logits is None


def test_networks_run_without_gradients_and_stimuli_with_them() -> None:
    """Stimuli that are attacks are made while batches are asked for."""

    def attacked() -> Iterator[Batch]:
        images = torch.ones(2, 3, 1, 1, requires_grad=True)
        images.square().sum().backward()
        assert images.grad is not None
        yield Batch(images.detach() + images.grad, torch.tensor([0, 1]), torch.arange(2))

    model = Recording()
    assert predict(model, attacked()).top5_logit[0, 0] == 3
    assert model.grad is False
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_answers_that_are_no_numbers_are_refused(bad: float) -> None:
    logits = torch.zeros(3, 4)
    logits[1, 2] = bad
    with pytest.raises(UserError, match="answers NaN or infinity"):
        summarise(batch_of([0, 1, 2]), logits)


@pytest.mark.parametrize("shape", [(3,), (3, 4, 1), (2, 4)])
def test_answers_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"must answer with logits \(3, classes\), found shape"):
        check_logits(torch.zeros(shape), torch.tensor([0, 1, 2]))


def test_too_few_classes_are_refused() -> None:
    with pytest.raises(UserError, match="answers with 3 classes, but the data set has label 3"):
        summarise(batch_of([0, 3]), torch.zeros(2, 3))


def test_another_number_of_classes_is_refused() -> None:
    images = torch.zeros(2, 3, 1, 1)
    assert len(predict(Recording(), batches(images, 2), classes=3)) == 2
    with pytest.raises(UserError, match="answers with 3 classes, the data set has 10"):
        predict(Recording(), batches(images, 2), classes=10)


def test_no_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one batch"):
        predict(Recording(), [])


class Refusing(nn.Module):
    def __init__(self, error: Exception, answers: int = 0) -> None:
        super().__init__()
        self.error, self.answers = error, answers

    def forward(self, images: Tensor) -> Tensor:
        self.answers -= 1
        if self.answers < 0:
            raise self.error
        return images.flatten(1)


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, AssertionError])
def test_a_network_that_refuses_the_size_is_the_users_to_change(kind: type[Exception]) -> None:
    reason = "Input height (8) doesn't match model (224).\n" + "shapes " * 100
    with pytest.raises(UserError) as caught:
        predict(Refusing(kind(reason)), batches(torch.zeros(2, 3, 8, 9), 2))
    text = str(caught.value)
    assert text.startswith("the network refuses images of 8×9 (Input height (8) doesn't match model (224). shapes")
    assert text.endswith("give a network made for this size, or data of another")
    assert text.isprintable()
    assert len(text) < 350
    with pytest.raises(UserError, match=rf"\({kind.__name__}\)"):
        predict(Refusing(kind()), batches(torch.zeros(2, 3, 8, 9), 2))


def test_too_little_memory_asks_for_smaller_batches() -> None:
    with pytest.raises(UserError, match="no memory for 20 images of 8×8 on cpu; give a smaller --batch-size"):
        predict(Refusing(torch.OutOfMemoryError("x")), batches(torch.zeros(20, 3, 8, 8), 20))


def test_a_network_that_breaks_later_is_no_mistake_of_the_users() -> None:
    with pytest.raises(RuntimeError, match="broken"):
        predict(Refusing(RuntimeError("broken"), 1), batches(torch.zeros(40, 10, 1, 1), 20))


def test_a_real_network_says_which_size_it_wants() -> None:
    vit = build("timm/vit_tiny_patch16_224", 10, {}).eval()
    with pytest.raises(UserError, match=r"refuses images of 32×32 \(Input height \(32\) doesn't match model \(224\)"):
        predict(vit, batches(torch.zeros(2, 3, 32, 32), 2))
