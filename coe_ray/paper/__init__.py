"""The paper's experiments: every system out of one matrix of answers, with statistics and nothing leaked."""
