"""Schemas that manifests are held to, where no package brings them."""
