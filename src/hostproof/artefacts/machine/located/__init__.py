"""Documents of VM definitions whose every value says where it was read: JSON, TOML, YAML, words of a command line."""
