"""The method of CoE-Ops: classify a question, pick the expert, fail over."""
