# SPDX-License-Identifier: Apache-2.0
"""The adapters' tests, with tools that are not on PyPI: checkouts of them in place of our doubles.

Each tool gets an environment of its own, as some share a name; it is kept, and used again. Prints, for each tool, the
commit of the checkout and what the tests came to. The exit code is 1 if any failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = ("-e", f"{ROOT}[torch]", "pytest")
MADE = "requirements.txt"


@dataclass(frozen=True)
class Peer:
    """What a tool needs to be imported from a checkout.

    Attributes
    ----------
    requirements : str
        What pip installs, with blanks between.
    beside : tuple of str
        Other tools that it imports, from their checkouts.
    stubs : mapping of str to str
        Files of packages that it imports and that pip cannot install, or not so that they load: path to text.
    """

    requirements: str
    beside: tuple[str, ...] = ()
    stubs: Mapping[str, str] = field(default_factory=dict)


TORCH = "torch==2.13.0"
PEERS = {
    "resi": Peer(
        "torch==2.15.0 torchvision==0.29.2 torch_geometric torcheval ogb datasets transformers albumentations medmnist "
        "scikit-learn einops loguru xmltodict pyyaml gitpython pyarrow pandas<3"  # it calls DataFrame._append
    ),
    "similarity-repository": Peer(
        f"{TORCH} pydantic scikit-learn matplotlib requests seaborn einops loguru numba rsatoolbox torchmetrics POT "
        "fastprogress torchtyping boto3 netCDF4 xarray entrypoints tqdm",
        beside=("netrep", "repsim"),
        stubs={
            "msid.py": "def msid_score(x, y):\n    raise NotImplementedError\n",
            "torchaudio/__init__.py": "",
            "torchaudio/functional.py": "",
        },
    ),
    "netrep": Peer(f"{TORCH} scikit-learn tqdm"),
    "repsim": Peer(f"{TORCH} scikit-learn"),
}


@dataclass(frozen=True)
class Result:
    """What the tests of one tool came to.

    Attributes
    ----------
    tool : str
    commit : str
        Of the checkout.
    summary : str
        The last line that the tests printed.
    passed : bool
    """

    tool: str
    commit: str
    summary: str
    passed: bool

    def __str__(self) -> str:
        return f"{self.tool:22} {self.commit:12} {self.summary}"


def main() -> None:
    """Test with each checkout that is given."""
    options = _read_options()
    checkouts = {tool: path.resolve() for tool in PEERS if (path := getattr(options, tool.replace("-", "_")))}
    results: list[Result] = []
    try:
        results.extend(run_all(checkouts, options.environments.resolve()))
    except KeyboardInterrupt:
        print("\nstopped")
    except FileExistsError as error:
        print(f"\nerror: {error}")
    print("\n" + "\n".join(map(str, results)), flush=True)
    sys.exit(len(results) < len(checkouts) or not all(result.passed for result in results))


def run_all(checkouts: Mapping[str, Path], environments: Path) -> Iterator[Result]:
    """Yield the result of each tool, making its environment first.

    Parameters
    ----------
    checkouts : mapping of str to path
        By tool.
    environments : path
        The folder that has an environment for each tool, or is to have it.
    """
    for number, (tool, checkout) in enumerate(checkouts.items(), 1):
        print(f"[{number}/{len(checkouts)}] {tool}: {checkout}", flush=True)
        folder = environments / tool
        try:
            python = environment(folder, PEERS[tool].requirements.split())
        except subprocess.CalledProcessError as error:
            yield Result(tool, commit_of(checkout), f"no environment: pip ended with {error.returncode}", False)
            continue
        beside = [source_of(checkouts[other]) for other in PEERS[tool].beside]
        paths = [*beside, write_stubs(folder / "stubs", PEERS[tool].stubs)]
        yield run_tests(tool, checkout, python, paths)


def environment(folder: Path, requirements: Sequence[str]) -> Path:
    """Return the interpreter of a virtual environment with simplugins and these requirements, made if need be.

    Raises
    ------
    subprocess.CalledProcessError
        If pip fails.
    FileExistsError
        If there is a folder that is no virtual environment.
    """
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = "\n".join([*OURS, *requirements, ""])
    made = folder / MADE
    if made.is_file() and made.read_text(encoding="utf-8") == wanted:
        return python
    if folder.exists() and not (folder / "pyvenv.cfg").is_file():
        raise FileExistsError(f"{folder} is there, and is no virtual environment: choose another folder")
    print(f"installing {len(requirements)} packages, and what they need, in {folder}: some minutes", flush=True)
    venv.create(folder, clear=True, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *OURS, *requirements], check=True)
    made.write_text(wanted, encoding="utf-8")
    return python


def write_stubs(folder: Path, stubs: Mapping[str, str]) -> Path:
    """Write files of stubs, by path, and return their folder."""
    for name, text in stubs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def run_tests(tool: str, checkout: Path, python: Path, paths: Sequence[Path]) -> Result:
    """Run the tests of a tool's adapter with a checkout of the tool, and show what they print.

    Parameters
    ----------
    tool : str
    checkout : path
    python : path
        The interpreter.
    paths : sequence of path
        What else it imports from.
    """
    tests = f"tests/adapters/test_{tool.replace('-', '_')}.py"
    command = [str(python), "-m", "pytest", tests, "--checkout", f"{tool}={checkout}", "-q", "-p", "no:cacheprovider"]
    surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"}
    printed = ""
    with subprocess.Popen(command, cwd=ROOT, env=surroundings, stdout=subprocess.PIPE, text=True) as tests_run:
        assert tests_run.stdout is not None
        while character := tests_run.stdout.read(1):  # a dot of pytest at a time
            print(character, end="", flush=True)
            printed += character
    lines = printed.split("\n")
    summary = next((line for line in reversed(lines) if line.strip()), "the tests printed nothing")
    return Result(tool, commit_of(checkout), summary, tests_run.returncode == 0)


def source_of(checkout: Path) -> Path:
    """Return the folder of a checkout that its packages are imported from."""
    return checkout / "src" if (checkout / "src").is_dir() else checkout


def commit_of(checkout: Path) -> str:
    """Return what git calls the commit of a checkout."""
    told = subprocess.run(
        ["git", "-C", checkout, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "no commit"


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for tool in PEERS:
        parser.add_argument(f"--{tool}", type=Path, metavar="CHECKOUT", help=f"test the adapter of {tool}")
    kept = Path(tempfile.gettempdir()) / "simplugins-peers"
    parser.add_argument("--environments", type=Path, default=kept, help=f"folder that keeps them (default: {kept})")
    options = parser.parse_args()
    given = {tool: getattr(options, tool.replace("-", "_")) for tool in PEERS}
    if not any(given.values()):
        parser.error(f"expected a checkout of at least one of {', '.join(PEERS)}")
    for tool, checkout in given.items():
        if checkout and not checkout.is_dir():
            parser.error(f"--{tool}: there is no folder {checkout}")
        if missing := [other for other in PEERS[tool].beside if checkout and not given[other]]:
            parser.error(f"--{tool} imports others too: add {' and '.join(f'--{other}' for other in missing)}")
    return options


if __name__ == "__main__":
    main()
