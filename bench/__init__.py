"""The benchmark: Footnote as it runs, beside the bare libraries doing the same work on the same data in the same run.

    python -m bench SITE [--pages 60] [--queries 50] [--questions 20] [--seed 1] [--json FILE]

Nothing here is part of the service, and a missed goal fails nothing. What is compared is interleaved wherever that is
possible, so that other load on the machine hits both sides alike; the report says how much of it there was.
"""
