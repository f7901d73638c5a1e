"""``python -m sub8``: the command line."""

from sub8.cli.start import main

if __name__ == "__main__":
    main()
