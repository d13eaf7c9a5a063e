# SPDX-License-Identifier: Apache-2.0
"""Run tests against tools that are not on PyPI, using checkouts: those of the adapters, and of other tools' formulas.

Each tool has its own environment, because some share a module name; environments are kept and reused. For each tool,
prints the commit of the checkout and the result of the tests. The exit code is 1 if any test fails.
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
OWN_REQUIREMENTS = ("-e", f"{ROOT}[torch]", "pytest")
REQUIREMENTS_FILE = "requirements.txt"


@dataclass(frozen=True)
class Peer:
    """The requirements for importing a tool from a checkout.

    Attributes
    ----------
    requirements : str
        Packages to install with pip, separated by blanks.
    imports : tuple of str
        Other tools that it imports, also as checkouts.
    stubs : mapping of str to str
        Stub files for packages that it imports but that cannot be installed or loaded, as path to text.
    tests : tuple of str
        Files of tests; by default those of the tool's adapter.
    """

    requirements: str
    imports: tuple[str, ...] = ()
    stubs: Mapping[str, str] = field(default_factory=dict)
    tests: tuple[str, ...] = ()


TORCH = "torch==2.13.0"
NEIGHBOURS = "tests/comparisons/test_neighbour_peers.py"
PEERS = {
    "resi": Peer(
        "torch==2.15.0 torchvision==0.29.2 torch_geometric torcheval ogb datasets transformers albumentations medmnist "
        "scikit-learn einops loguru xmltodict pyyaml gitpython pyarrow pandas<3",  # it calls DataFrame._append
        tests=("tests/adapters/test_resi.py", NEIGHBOURS),
    ),
    "platonic-rep": Peer(f"{TORCH} scikit-learn", tests=(NEIGHBOURS,)),
    "similarity-repository": Peer(
        f"{TORCH} pydantic scikit-learn matplotlib requests seaborn einops loguru numba rsatoolbox torchmetrics POT "
        "fastprogress torchtyping boto3 netCDF4 xarray entrypoints tqdm",
        imports=("netrep", "repsim"),
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
    """The result of the tests of one tool.

    Attributes
    ----------
    tool : str
    commit : str
        The commit of the checkout.
    summary : str
        The last line printed by the tests.
    passed : bool
    """

    tool: str
    commit: str
    summary: str
    passed: bool

    def __str__(self) -> str:
        return f"{self.tool:22} {self.commit:12} {self.summary}"


def main() -> None:
    """Run the tests with each checkout."""
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
    """Create the environment of each tool, run its tests, and yield the result.

    Parameters
    ----------
    checkouts : mapping of str to path
        Checkouts by tool.
    environments : path
        The folder of the environments.
    """
    for number, (tool, checkout) in enumerate(checkouts.items(), 1):
        print(f"[{number}/{len(checkouts)}] {tool}: {checkout}", flush=True)
        folder = environments / tool
        try:
            python = environment(folder, PEERS[tool].requirements.split())
        except subprocess.CalledProcessError as error:
            yield Result(
                tool, commit_of(checkout), f"no environment: pip failed with exit code {error.returncode}", False
            )
            continue
        imports = [source_of(checkouts[other]) for other in PEERS[tool].imports]
        paths = [*imports, write_stubs(folder / "stubs", PEERS[tool].stubs)]
        yield run_tests(tool, checkout, python, paths)


def environment(folder: Path, requirements: Sequence[str]) -> Path:
    """Return the interpreter of a virtual environment with simplugins and these requirements, created if necessary.

    Raises
    ------
    subprocess.CalledProcessError
        If pip fails.
    FileExistsError
        If the folder exists and is not a virtual environment.
    """
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    content = "\n".join([*OWN_REQUIREMENTS, *requirements, ""])
    installed = folder / REQUIREMENTS_FILE
    if installed.is_file() and installed.read_text(encoding="utf-8") == content:
        return python
    if folder.exists() and not (folder / "pyvenv.cfg").is_file():
        raise FileExistsError(f"{folder} exists and is not a virtual environment: choose another folder")
    print(
        f"installing {len(requirements)} packages and their dependencies in {folder}; this takes some minutes",
        flush=True,
    )
    venv.create(folder, clear=True, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *OWN_REQUIREMENTS, *requirements], check=True)
    installed.write_text(content, encoding="utf-8")
    return python


def write_stubs(folder: Path, stubs: Mapping[str, str]) -> Path:
    """Write stub files, and return their folder."""
    for name, text in stubs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def run_tests(tool: str, checkout: Path, python: Path, paths: Sequence[Path]) -> Result:
    """Run the tests of a tool's adapter with a checkout of the tool, and forward their output.

    Parameters
    ----------
    tool : str
    checkout : path
    python : path
        The interpreter to use.
    paths : sequence of path
        Further folders to import from.
    """
    tests = PEERS[tool].tests or (f"tests/adapters/test_{tool.replace('-', '_')}.py",)
    command = [str(python), "-m", "pytest", *tests, "--checkout", f"{tool}={checkout}", "-q", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"}
    printed = ""
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as tests_run:
        assert tests_run.stdout is not None
        while character := tests_run.stdout.read(1):  # character by character, to show pytest's progress
            print(character, end="", flush=True)
            printed += character
    lines = printed.split("\n")
    summary = next((line for line in reversed(lines) if line.strip()), "the tests printed nothing")
    return Result(tool, commit_of(checkout), summary, tests_run.returncode == 0)


def source_of(checkout: Path) -> Path:
    """Return the folder of a checkout that contains its packages."""
    return checkout / "src" if (checkout / "src").is_dir() else checkout


def commit_of(checkout: Path) -> str:
    """Return the abbreviated commit of a checkout."""
    process = subprocess.run(
        ["git", "-C", checkout, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    )
    return process.stdout.strip() or "no commit"


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for tool in PEERS:
        parser.add_argument(f"--{tool}", type=Path, metavar="CHECKOUT", help=f"test with {tool}")
    default = Path(tempfile.gettempdir()) / "simplugins-peers"
    parser.add_argument("--environments", type=Path, default=default, help=f"their folder (default: {default})")
    options = parser.parse_args()
    checkouts = {tool: getattr(options, tool.replace("-", "_")) for tool in PEERS}
    if not any(checkouts.values()):
        parser.error(f"expected a checkout of at least one of {', '.join(PEERS)}")
    for tool, checkout in checkouts.items():
        if checkout and not checkout.is_dir():
            parser.error(f"--{tool}: folder {checkout} does not exist")
        if missing := [other for other in PEERS[tool].imports if checkout and not checkouts[other]]:
            parser.error(f"--{tool} imports other tools: add {' and '.join(f'--{other}' for other in missing)}")
    return options


if __name__ == "__main__":
    main()
