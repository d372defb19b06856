"""Load on an OpenAI-compatible endpoint: questions, the two loops, one request, several processes, figures."""
