"""Models that answer: over HTTP, recorded, scripted; the one retry policy and what errors mean."""
