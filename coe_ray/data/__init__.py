"""Sample benchmark shipped with the package, and the generator of its AIOps half."""
