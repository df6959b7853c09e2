"""`python -m homespun`: the same as the command `homespun`."""

from homespun.cli.main import main

if __name__ == "__main__":
    main()
