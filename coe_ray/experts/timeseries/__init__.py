"""An expert that is no LLM: it answers multiple-choice questions about time series by statistics."""

from coe_ray.experts.timeseries.expert import TimeSeriesExpert

__all__ = ["TimeSeriesExpert"]
