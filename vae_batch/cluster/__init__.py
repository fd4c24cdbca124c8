"""Ray: the replica pool and the jobs that run on it. The only package that imports ray."""
