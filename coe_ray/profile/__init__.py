"""A profile: one YAML file, validated, that says which models and experts there are; and the shipped ones."""
