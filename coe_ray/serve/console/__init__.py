"""The web page that the endpoint serves at `/`, and what it alone asks for: leaderboards before, and bench runs."""
