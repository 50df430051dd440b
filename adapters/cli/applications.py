"""Applications: from `MODULE:NAME`, as a user writes it, to the application that it names."""

import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from adapters.cli.failures import Refused
from bus import Application

DEMO: Final = "adapters.demo:TRAFFIC"


def load_application(path: str) -> Application:
    """Imports an application, also from the current directory; raises `Refused` where it is none."""
    found, module, name = _named(path, "application", "traffic:TRAFFIC")
    if isinstance(found, Application):
        return found
    others = [other for other, value in vars(module).items() if isinstance(value, Application)]
    hint = f"its applications are {', '.join(others)}" if others else "it has no Application"
    what = f"no {name}" if found is None else f"{name}, which is of type {type(found).__name__} and no Application"
    raise Refused(f"{module.__name__} has {what}: {hint}")


def load_function(path: str, what: str) -> Callable[..., Any]:
    """Imports a function by the same kind of name; `what` says what for."""
    found, module, name = _named(path, what, "traffic:week")
    if not callable(found):
        raise Refused(f"{module.__name__} has no function {name} for the {what}")
    return found


def _named(path: str, what: str, example: str) -> tuple[object, ModuleType, str]:
    """What a path names, or None; its module; and its name there."""
    module_name, colon, name = path.partition(":")
    if not colon or not name or not all(part.isidentifier() for part in module_name.split(".")):
        raise Refused(f"{path!r} names no {what}: write MODULE:NAME, such as {example}")
    module = _import(module_name)
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found, module, name


def _import(name: str) -> ModuleType:
    # The installed script's own directory is where Python looks first; a user expects the current one.
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise Refused(_missing(name)) from error
        raise Refused(_broken(name, error)) from error
    except (Exception, SystemExit) as error:
        raise Refused(_broken(name, error)) from error


def _missing(name: str) -> str:
    if name == DEMO.partition(":")[0]:
        return (
            "the demo is not part of the installed package: name your own application with --app MODULE:NAME, "
            "or run this in the source tree"
        )
    return f"there is no module {name}: run this in the directory that has it, or install it"


def _broken(name: str, error: BaseException) -> str:
    """What went wrong in a user's module, and where."""
    if isinstance(error, SyntaxError):
        where = f"{error.filename}:{error.lineno}"
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
        where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else name
    return f"{name} cannot be imported: {type(error).__name__}: {error} ({where})"


def _is_machinery(filename: str) -> bool:
    return filename.startswith("<frozen ") or filename == __file__ or "importlib" in filename
