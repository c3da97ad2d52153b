"""A number of a result with its interval, the unit from which all results are made."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from harness.results.reasons import Reason

Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """A part of a result: immutable, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Estimate(Record):
    """A number with its confidence interval.

    Attributes:
        value: `None` where the number is undefined.
        low: Lower end of the interval; `None` where there is none.
        high: Upper end; `None` where there is none.
        unit: `1` for a dimensionless number.
        reason: Why the number or its interval is missing; `None` where neither is missing.
        n_clusters: Number of drawn fragments (or molecules, see `TaskResult.clusters`) behind the number; `None`
            where it is undefined.
    """

    value: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None
    unit: str
    reason: Reason | None
    n_clusters: Count | None = None

    @model_validator(mode="after")
    def _explains_what_is_missing(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval needs both ends or none")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"interval from {self.low} to {self.high} has its ends in the wrong order")
        if self.value is None and self.low is not None:
            raise ValueError("an undefined number has no interval")
        if (self.low is None) != (self.reason is not None):
            raise ValueError("a reason is required if a number or its interval is missing, and only then")
        return self
