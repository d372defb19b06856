"""What serving and jobs share on Ray: hosted models, the retriever, rate governors, health."""
