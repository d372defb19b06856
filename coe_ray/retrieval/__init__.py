"""Labelled questions near a question: encoder, index and vector store."""
