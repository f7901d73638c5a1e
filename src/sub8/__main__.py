"""``python -m sub8``: the command line."""

from sub8.cli.main import main

if __name__ == "__main__":
    main()
