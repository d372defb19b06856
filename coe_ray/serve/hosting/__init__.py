"""Deployments: models on vLLM, the retriever, where they fit and whether they are ready."""
