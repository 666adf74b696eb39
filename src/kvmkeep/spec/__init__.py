"""YAML files to a Spec, with every mistake reported in one run."""
