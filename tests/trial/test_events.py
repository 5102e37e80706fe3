from __future__ import annotations

import pickle
from dataclasses import fields, is_dataclass

import pytest

from qstress.trial import events
from qstress.trial.events import WatchAction, WatchEvent

KINDS = [
    kind for kind in vars(events).values() if isinstance(kind, type) and kind.__base__ in (WatchEvent, WatchAction)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_is_a_frozen_value_that_pickles(kind: type) -> None:
    assert is_dataclass(kind)
    assert not hasattr(kind(*range(len(fields(kind)))), "__dict__")
    made = kind(*range(len(fields(kind))))
    assert made == kind(*range(len(fields(kind))))
    assert hash(made) == hash(pickle.loads(pickle.dumps(made)))
    assert pickle.loads(pickle.dumps(made)) == made
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
