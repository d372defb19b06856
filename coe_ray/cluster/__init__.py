"""What serving and jobs share on Ray: hosted models, the retriever and the governors."""
