# SPDX-License-Identifier: Apache-2.0
import json
from argparse import ArgumentParser
from pathlib import Path

from repsim.measures import ALL_MEASURES


def verify_config(config):
    """Check the requested measures; a single name is read as a list of letters, as in the tool."""
    assert not ("included_measures" in config and "excluded_measures" in config), "either included or excluded"
    for key in "included_measures", "excluded_measures":
        assert all(name in ALL_MEASURES for name in config.get(key, [])), f"Some measures in {key} are not valid"
    assert "experiments" in config, "No experiments in config."


def get_measures(config):
    """Return the requested measures, or all."""
    included = config.get("included_measures", ALL_MEASURES)
    return [ALL_MEASURES[name] for name in included if name not in config.get("excluded_measures", [])]


def run(config_path):
    """Run the experiments of a configuration: here none, and as JSON, a subset of YAML."""
    config = json.loads(Path(config_path).read_text(encoding="utf-8"))
    verify_config(config)
    get_measures(config)
    assert config["experiments"] == [], "the double has no experiments"


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--config", "-c", type=str, required=True)
    run(parser.parse_args().config)
