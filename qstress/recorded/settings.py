"""The settings of a recorded run, read back from its ``run.json``."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from qstress.config.settings import Settings
from qstress.errors import ConfigError
from qstress.model import Milestone


def settings_of(run: Mapping[str, object]) -> Settings:
    """Return the settings in the content of a ``run.json``: what ``resolved_document`` was given.

    :raises ConfigError: they are not settings of this version.
    """
    try:
        document: Any = copy.deepcopy(run["config"])
        for stratum in document["strata"]:
            for hammer in stratum["hammers"]:
                hammer |= {key: Milestone[hammer[key].upper()] for key in ("start", "until")}
            if churn := stratum.get("churn"):
                churn["at"] = [Milestone[name.upper()] for name in churn["at"]]
        return _adapter().validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"run.json: config.{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"run.json: these are no settings of this version: {error!r}") from error


@cache
def _adapter() -> TypeAdapter[Settings]:
    return TypeAdapter(Settings)
