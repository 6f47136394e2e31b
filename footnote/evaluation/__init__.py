"""Measuring Footnote on questions whose answers are known: ``footnote eval``.

::

    files ──▶ dataset  │ questions        what is asked, and what counts as found (strict readers)
              index                       documents through the real chunker, embedder and commit, into an index of their own
              systems                     every configuration of the search that is worth comparing
              run                         each question through each configuration, with its milliseconds
              metrics, statistics         figures with intervals, and paired differences
              report_*                    one table, one JSON file, one HTML file

This package is part of the front door: only it sees ingest and app at once, as a measurement must that leaves no step out.
"""
