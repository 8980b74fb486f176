"""`python -m workers` is `orderwright`, also where the console script is not installed."""

from workers.cli import main

if __name__ == "__main__":
    main()
