"""The paper's experiments: all systems out of one matrix of answers, with statistics and without leaks."""
