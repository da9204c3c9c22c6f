"""C4: the published dataset, and the rules by which its authors made it from CommonCrawl.

See docs/sources/c4.md.
"""
