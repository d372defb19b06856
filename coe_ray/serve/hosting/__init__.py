"""Deployments on Serve: models on vLLM and the retriever, their placement, number and readiness."""
