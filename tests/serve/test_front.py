"""The path that running clusters have in an environment variable: it leads to the header filter."""

from importlib import import_module

from coe_ray.serve.auth import header_filter
from coe_ray.serve.auth.header_filter import RAY_ENVIRONMENT

PATH = "coe_ray.serve.front:middlewares"


def test_the_path_in_users_clusters_leads_to_the_header_filter() -> None:
    module, _, name = PATH.partition(":")
    assert getattr(import_module(module), name) is header_filter.middlewares


def test_new_clusters_get_the_same_path() -> None:
    assert RAY_ENVIRONMENT["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] == PATH
