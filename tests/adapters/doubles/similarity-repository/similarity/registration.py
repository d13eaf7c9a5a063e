# SPDX-License-Identifier: Apache-2.0
from fnmatch import fnmatch
from functools import partial

registry = {}


def match(id):
    """Return the ids that match a pattern."""
    return [known for known in registry if fnmatch(known, id)]


def register(id, obj=None, preprocessing=None, postprocessing=None):
    """Register an object, or decorate one; an earlier object with the same id is lost."""
    if obj is None:
        return partial(_decorated, id, preprocessing, postprocessing)
    changed = preprocessing is not None or postprocessing is not None
    registry[id] = wrap_measure(obj, preprocessing, postprocessing) if changed else obj
    return None


def make(id):
    """Return the object with an id, or all objects that match a pattern."""
    if id in registry:
        return registry[id]
    if not (found := match(id)):
        raise ValueError(f"`{id}` not found in registry. Use `similarity.register` to register a new entry.")
    return {known: registry[known] for known in found}


def all_measures():
    """Return all objects with a standardised id."""
    return make("measure/*/*")


def wrap_measure(measure, preprocessing=None, postprocessing=None):
    """Return a measure with functions, or names of functions, before and after."""
    return partial(_applied, measure=measure, preprocessing=preprocessing or [], postprocessing=postprocessing or [])


def _applied(X, Y, *, measure, preprocessing, postprocessing, **options):  # noqa: N803
    for step in preprocessing:
        function = make(f"preprocessing/{step}") if isinstance(step, str) else step
        X, Y = function(X), function(Y)  # noqa: N806
    score = measure(X, Y, **options)
    for step in postprocessing:
        score = (make(f"postprocessing/{step}") if isinstance(step, str) else step)(score)
    return score


def _decorated(id, preprocessing, postprocessing, obj):
    register(id, obj, preprocessing, postprocessing)
    return obj
