"""Filters on metadata: what a ``where`` means, whoever answers it. ``docs/filters.md`` says it to users."""

from __future__ import annotations

from memvid.query.filters import AllOf, AnyOf, Compare, Condition, Contains, Exists, Filter, Not, OneOf, Prefix
from memvid.query.near_misses import missing_values_text, near_misses, near_misses_text
from memvid.query.parsing import parse_filter
from memvid.query.paths import paths_of, strings_at
from memvid.query.values import Kind, Value, value_of

__all__ = [
    "AllOf",
    "AnyOf",
    "Compare",
    "Condition",
    "Contains",
    "Exists",
    "Filter",
    "Kind",
    "Not",
    "OneOf",
    "Prefix",
    "Value",
    "missing_values_text",
    "near_misses",
    "near_misses_text",
    "parse_filter",
    "paths_of",
    "strings_at",
    "value_of",
]
