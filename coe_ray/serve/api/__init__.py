"""The HTTP API: OpenAI's form in, the pipeline's answer out."""
