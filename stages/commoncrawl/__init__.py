"""CommonCrawl: WET, WARC and ARC files as documents."""
