"""`python -m omexp.cli`."""

from omexp.cli import run

if __name__ == "__main__":
    run()
