"""The online side: a typed Serve application around `CompositionOfExperts`."""
