"""The path of the header filter that running clusters have in an environment variable: it must stay what it is."""

from coe_ray.serve.auth.header_filter import middlewares

__all__ = ["middlewares"]
