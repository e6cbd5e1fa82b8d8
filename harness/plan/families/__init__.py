"""Families of models: how the fields of a configuration are called in each, and what parts a model of it has."""
