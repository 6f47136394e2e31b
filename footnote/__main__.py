"""``python -m footnote`` is ``footnote``."""


def main() -> None:
    # Imported here: each process that parses pages imports its parent's main module again, and needs nothing of that.
    from footnote.cli import main as run

    run()


if __name__ == "__main__":
    main()
